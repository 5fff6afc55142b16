package relay

import "bytes"

// framing knows from the octets that pass whether a command is outstanding, so that
// a word of ours can be put between two commands, and never into a message.
//
// It looks at each octet from the client, which are few, and from the backend only at the
// ends of what was read: where one command is outstanding, nothing can follow its answer, so
// that is complete when the octets end as an answer ends. Only while a client
// pipelines, the ends are searched for.
//
// It never guesses. An answer to a command that it doesn't know, an answer that
// nobody asked for, more commands ahead than it counts: the session is lost to it from
// then on, and gets no word.
type framing struct {
	word    [8]byte // the beginning of the client's line, in upper case
	length  int     // of the line so far
	blank   bool    // there was a blank in it: the word is complete
	operand bool    // and something behind it
	last    byte    // the octet before

	queue [maxOutstanding]form // of the answers that are awaited, a ring
	first int
	count int

	tail   [5]byte // the last octets of the answer under way
	seen   int     // octets of it
	failed bool    // it begins with -ERR: one line, whatever was asked

	verb string // of the last command
	quit bool   // QUIT was said: the rest is between the two
	lost bool
}

// maxOutstanding is how many commands a client may send ahead of their answers before
// that is lost.
const maxOutstanding = 64

// form is how an answer ends.
type form uint8

const (
	oneLine   form = iota // CRLF
	manyLines             // CRLF.CRLF, RFC 1939 section 3
	unknown               // CRLF if it is -ERR, and nobody knows otherwise
)

// forms are the answers' forms by verb: that of the command alone, and with an
// operand. What RFC 1939, 2449 and 6856 have in the TRANSACTION state.
var forms = map[string][2]form{
	"STAT": {oneLine, oneLine}, "DELE": {oneLine, oneLine}, "NOOP": {oneLine, oneLine},
	"RSET": {oneLine, oneLine}, "QUIT": {oneLine, oneLine}, "UTF8": {oneLine, oneLine},
	"LIST": {manyLines, oneLine}, "UIDL": {manyLines, oneLine}, "LANG": {manyLines, oneLine},
	"RETR": {manyLines, manyLines}, "TOP": {manyLines, manyLines}, "CAPA": {manyLines, manyLines},
}

// asked takes what the client said.
func (f *framing) asked(data []byte) {
	for _, c := range data {
		if f.lost {
			return
		}
		if c == '\n' {
			f.endLine()
			continue
		}
		f.length++
		switch {
		case f.last == '\r' || c == 0: // a CR that ends nothing, or a NUL: who knows what a server makes of it
			f.lost = true
		case c == '\r':
		case c == ' ' || c == '\t':
			f.blank = true
		case f.blank:
			f.operand = true
		case f.length <= len(f.word):
			f.word[f.length-1] = upper(c)
		}
		f.last = c
	}
}

func (f *framing) endLine() {
	word := f.word[:min(f.length, len(f.word))]
	if end := bytes.IndexAny(word, " \t\r"); end >= 0 {
		word = word[:end]
	}
	word = bytes.TrimRight(word, "\x00")
	if f.last != '\r' || len(word) == 0 || f.count == maxOutstanding {
		f.lost = true
		return
	}
	answer := unknown
	f.verb = ""
	if known, ok := forms[string(word)]; ok {
		answer, f.verb = known[0], string(word)
		if f.operand {
			answer = known[1]
		}
	}
	f.quit = f.quit || f.verb == "QUIT"
	f.queue[(f.first+f.count)%maxOutstanding] = answer
	f.count++
	f.word, f.length, f.blank, f.operand, f.last = [8]byte{}, 0, false, false, 0
}

// answered takes what the backend said and the client was given.
func (f *framing) answered(data []byte) {
	for len(data) > 0 && !f.lost {
		if f.count == 0 { // it speaks unasked
			f.lost = true
			return
		}
		if f.seen == 0 {
			f.failed = data[0] == '-'
		}
		answer := f.queue[f.first]
		if answer == unknown && !f.failed {
			f.lost = true
			return
		}
		n, ended := len(data), false
		if f.count == 1 {
			f.keep(data)
			ended = f.ends(answer)
		} else {
			n, ended = f.search(data, answer)
		}
		data = data[n:]
		if ended {
			f.first, f.count = (f.first+1)%maxOutstanding, f.count-1
			f.seen = 0
		}
	}
}

// keep moves the tail behind data.
func (f *framing) keep(data []byte) {
	f.seen += len(data)
	if len(data) >= len(f.tail) {
		copy(f.tail[:], data[len(data)-len(f.tail):])
		return
	}
	copy(f.tail[:], f.tail[len(data):])
	copy(f.tail[len(f.tail)-len(data):], data)
}

var (
	lineEnd = []byte("\r\n")
	textEnd = []byte("\r\n.\r\n")
)

func (f *framing) terminator(answer form) []byte {
	if answer == manyLines && !f.failed {
		return textEnd
	}
	return lineEnd
}

// ends tells whether the answer under way is complete as far as it was kept.
func (f *framing) ends(answer form) bool {
	end := f.terminator(answer)
	return f.seen >= len(end) && bytes.HasSuffix(f.tail[:], end)
}

// search finds the end of the answer under way in data, and returns how much of it
// was looked at. The terminator may begin in the tail.
func (f *framing) search(data []byte, answer form) (n int, ended bool) {
	for n = 0; n < len(data) && n < len(f.tail)-1; n++ {
		f.keep(data[n : n+1])
		if f.ends(answer) {
			return n + 1, true
		}
	}
	end := f.terminator(answer)
	begin := max(0, n-len(end)+1)
	i := bytes.Index(data[begin:], end)
	if i < 0 {
		f.keep(data[n:])
		return len(data), false
	}
	whole := begin + i + len(end)
	f.keep(data[n:whole])
	return whole, true
}

// between tells whether the session is certainly between two commands.
func (f *framing) between() bool { return !f.lost && !f.quit && f.count == 0 && f.length == 0 }

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}
