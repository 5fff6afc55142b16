package pop3

import (
	"bytes"
	"errors"
	"strings"
)

// Code is a response code without its brackets (RFC 2449, section 8).
type Code string

// The codes a gateway may pass or give: RFC 2449 and RFC 3206.
const (
	NoCode     Code = ""
	Auth       Code = "AUTH"        // the credentials are wrong
	SysTemp    Code = "SYS/TEMP"    // something is broken and will pass
	SysPerm    Code = "SYS/PERM"    // something is wrong until an operator acts
	InUse      Code = "IN-USE"      // the maildrop is locked by another session
	LoginDelay Code = "LOGIN-DELAY" // too soon after the last login
)

var codes = [...]Code{Auth, SysTemp, SysPerm, InUse, LoginDelay}

// ParseCode reads a code as it stands between brackets, in any case. A code
// below a known one counts as that one (RFC 2449, section 8: levels behind a
// slash refine what is before it); any other is NoCode.
func ParseCode(s string) Code {
	for _, code := range codes {
		n := len(code)
		if len(s) >= n && strings.EqualFold(s[:n], string(code)) && (len(s) == n || s[n] == '/') {
			return code
		}
	}
	return NoCode
}

// ErrNotReply says that a line is neither +OK nor -ERR.
var ErrNotReply = errors.New("neither +OK nor -ERR")

// Reply is the first, often the only line of an answer.
type Reply struct {
	OK   bool
	Code Code   // with -ERR only
	Text string // without the code
}

// Append writes the reply as a line. The text must be printable: it is ours,
// or went through Printable.
func (r Reply) Append(dst []byte) []byte {
	if r.OK {
		dst = append(dst, "+OK"...)
	} else {
		dst = append(dst, "-ERR"...)
	}
	if r.Code != NoCode {
		dst = append(append(append(dst, " ["...), r.Code...), ']')
	}
	if r.Text != "" {
		dst = append(append(dst, ' '), r.Text...)
	}
	return append(dst, "\r\n"...)
}

// ParseReply reads a line without its end. The status is a word of its own:
// "+OKAY" is no success (RFC 1939, section 3; upper case is a must there).
// A code that isn't known stays in the text.
func ParseReply(line []byte) (Reply, error) {
	status, text, _ := bytes.Cut(line, []byte{' '})
	switch string(status) {
	case "+OK":
		return Reply{OK: true, Text: string(text)}, nil
	case "-ERR":
		code, rest := cutCode(string(text))
		return Reply{Code: code, Text: rest}, nil
	}
	return Reply{}, ErrNotReply
}

func cutCode(text string) (Code, string) {
	if !strings.HasPrefix(text, "[") {
		return NoCode, text
	}
	inside, rest, closed := strings.Cut(text[1:], "]")
	code := ParseCode(inside)
	if !closed || code == NoCode {
		return NoCode, text
	}
	return code, strings.TrimLeft(rest, " ")
}

// Printable makes a peer's text fit for a reply or a log: ASCII without control
// characters, each other octet a question mark, at most max octets.
func Printable(text string, max int) string {
	text = text[:min(len(text), max)]
	clean := func(c byte) bool { return ' ' <= c && c <= '~' }
	for i := range len(text) {
		if clean(text[i]) {
			continue
		}
		out := []byte(text)
		for j := i; j < len(out); j++ {
			if !clean(out[j]) {
				out[j] = '?'
			}
		}
		return string(out)
	}
	return text
}
