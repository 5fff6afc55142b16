package mapfile

import (
	"bytes"
	"fmt"

	"postern/directory"
)

// parser reads lines. It keeps what they share: a file of a million lines names a few
// hundred backends.
type parser struct {
	backends map[string]string
	address  []byte // scratch
	text     []byte // scratch
}

func newParser() *parser { return &parser{backends: make(map[string]string)} }

// word is a piece of a line, and where it begins.
type word struct {
	text   []byte
	column int
}

// line is what one line says, still in the file's spelling where it points into it.
type line struct {
	address word // decoded; not canonical yet
	backend word
	value   directory.Value
	login   bool // it was given
	state   bool // it was given
	popmap  bool
	empty   bool
}

// parse reads a line without its end. The result is valid until the next call.
func (p *parser) parse(text []byte) (line, *Fault) {
	if len(text) > maxLine {
		return line{}, fault(1, "the line is longer than %d octets", maxLine)
	}
	for at, c := range text {
		if isControl(c) {
			return line{}, fault(at+1, "control octet 0x%02x", c)
		}
	}
	first, rest := cut(word{text, 1})
	if len(first.text) == 0 {
		return line{empty: true}, nil
	}
	l := line{address: first}
	l.backend, rest = cut(rest)
	if f := l.split(); f != nil {
		return line{}, f
	}
	if f := p.names(&l); f != nil {
		return line{}, f
	}
	for {
		var attribute word
		attribute, rest = cut(rest)
		if len(attribute.text) == 0 {
			return l, nil
		}
		if f := p.attribute(&l, attribute); f != nil {
			return line{}, f
		}
	}
}

// split sorts out popmap lines: "alice: guest-01", or "alice:guest-01" on its own.
func (l *line) split() *Fault {
	if before, found := bytes.CutSuffix(l.address.text, []byte{':'}); found {
		l.popmap, l.address.text = true, before
	} else if colon := bytes.IndexByte(l.address.text, ':'); colon >= 0 && len(l.backend.text) == 0 {
		l.popmap = true
		l.backend = word{l.address.text[colon+1:], l.address.column + colon + 1}
		l.address.text = l.address.text[:colon]
	}
	switch {
	case len(l.address.text) == 0:
		return fault(l.address.column, "no address before the colon")
	case len(l.backend.text) == 0:
		return fault(l.address.column+len(l.address.text), "no backend behind the address")
	}
	return nil
}

// names decodes address and backend. In a popmap line a user before the backend's
// last @ is the login there.
func (p *parser) names(l *line) (f *Fault) {
	if at := bytes.LastIndexByte(l.backend.text, '@'); l.popmap && at >= 0 {
		login := word{l.backend.text[:at], l.backend.column}
		l.backend = word{l.backend.text[at+1:], l.backend.column + at + 1}
		if f := p.login(l, login); f != nil {
			return f
		}
	}
	if p.address, f = decode(p.address[:0], l.address); f != nil {
		return f
	}
	l.address.text = p.address
	if p.text, f = decode(p.text[:0], l.backend); f != nil {
		return f
	}
	if len(p.text) == 0 {
		return fault(l.backend.column, "no backend behind the @")
	}
	name, known := p.backends[string(p.text)]
	if !known {
		name = string(p.text)
		p.backends[name] = name
	}
	l.value.Backend = name
	return nil
}

// attribute reads NAME=VALUE.
func (p *parser) attribute(l *line, w word) *Fault {
	name, text, _ := bytes.Cut(w.text, []byte{'='})
	value := word{text, w.column + len(name) + 1}
	switch string(name) {
	case "login":
		return p.login(l, value)
	case "state":
		return p.state(l, value)
	}
	return fault(w.column, "%.80q is no attribute: want login=NAME or state=active, suspended or moving", w.text)
}

func (p *parser) login(l *line, w word) (f *Fault) {
	if l.login {
		return fault(w.column, "a second login")
	}
	if p.text, f = decode(p.text[:0], w); f != nil {
		return f
	}
	if len(p.text) == 0 {
		return fault(w.column, "an empty login")
	}
	l.login, l.value.Login = true, string(p.text)
	if err := directory.CheckLogin(l.value.Login); err != nil {
		return fault(w.column, "%v", err)
	}
	return nil
}

func (p *parser) state(l *line, w word) (f *Fault) {
	if l.state {
		return fault(w.column, "a second state")
	}
	if p.text, f = decode(p.text[:0], w); f != nil {
		return f
	}
	state, err := directory.ParseState(string(p.text))
	if err != nil {
		return fault(w.column, "%v", err)
	}
	l.state, l.value.State = true, state
	return nil
}

// cut takes the next word. A # begins a comment, but only at a word's start.
func cut(rest word) (first, after word) {
	begin := 0
	for begin < len(rest.text) && isSpace(rest.text[begin]) {
		begin++
	}
	end := begin
	for end < len(rest.text) && !isSpace(rest.text[end]) {
		end++
	}
	if begin < end && rest.text[begin] == '#' {
		begin, end = len(rest.text), len(rest.text)
	}
	return word{rest.text[begin:end], rest.column + begin}, word{rest.text[end:], rest.column + end}
}

// decode appends a word with its %XX read. What they stand for may be anything but a control octet: a
// CR LF in a login would be a second command to the backend.
func decode(dst []byte, w word) ([]byte, *Fault) {
	if bytes.IndexByte(w.text, '%') < 0 {
		return append(dst, w.text...), nil
	}
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		if c == '%' {
			high, low := -1, -1
			if i+2 < len(w.text) {
				high, low = hex(w.text[i+1]), hex(w.text[i+2])
			}
			if high < 0 || low < 0 {
				return dst, fault(w.column+i, "%% without two hexadecimal digits behind it; %% itself is written %%25")
			}
			c = byte(high<<4 | low)
			if isControl(c) || c == '\t' {
				return dst, fault(w.column+i, "%s is a control octet", w.text[i:i+3])
			}
			i += 2
		}
		dst = append(dst, c)
	}
	return dst, nil
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isControl knows what no line may hold. A tab may stand between words.
func isControl(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

func fault(column int, format string, args ...any) *Fault {
	return &Fault{Column: column, Text: fmt.Sprintf(format, args...)}
}
