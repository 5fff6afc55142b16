package pop3

import (
	"bytes"
	"fmt"
	"io"
)

// Verb is a command's keyword in upper case; Unknown for what is no keyword.
type Verb string

// The keywords of RFC 1939, 2449, 2595, 5034 and 6856.
const (
	Unknown Verb = ""
	APOP    Verb = "APOP"
	AUTH    Verb = "AUTH"
	CAPA    Verb = "CAPA"
	DELE    Verb = "DELE"
	LANG    Verb = "LANG"
	LIST    Verb = "LIST"
	NOOP    Verb = "NOOP"
	PASS    Verb = "PASS"
	QUIT    Verb = "QUIT"
	RETR    Verb = "RETR"
	RSET    Verb = "RSET"
	STAT    Verb = "STAT"
	STLS    Verb = "STLS"
	TOP     Verb = "TOP"
	UIDL    Verb = "UIDL"
	USER    Verb = "USER"
	UTF8    Verb = "UTF8"
	XCLIENT Verb = "XCLIENT" // Dovecot's, between proxies
)

var verbs = map[string]Verb{
	"APOP": APOP, "AUTH": AUTH, "CAPA": CAPA, "DELE": DELE, "LANG": LANG, "LIST": LIST,
	"NOOP": NOOP, "PASS": PASS, "QUIT": QUIT, "RETR": RETR, "RSET": RSET, "STAT": STAT,
	"STLS": STLS, "TOP": TOP, "UIDL": UIDL, "USER": USER, "UTF8": UTF8, "XCLIENT": XCLIENT,
}

const longestVerb = len(XCLIENT)

// Command is one line of a client: a keyword and what follows the first space.
// It is a view on the line, valid as long as that is, and doesn't print its
// argument, which may be a password. The argument is behind a function for the
// reason given at Secret: fmt doesn't look inside, also where it can't call Format.
type Command struct {
	Verb Verb
	arg  func() []byte // nil without a space
}

// ParseCommand reads a line without its end. A keyword is taken in any case
// (RFC 1939, section 3); one that isn't known is Unknown, without argument.
func ParseCommand(line []byte) Command {
	word, arg, hasArg := bytes.Cut(line, []byte{' '})
	if len(word) > longestVerb {
		return Command{}
	}
	var upper [longestVerb]byte
	for i, c := range word {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	verb := verbs[string(upper[:len(word)])]
	if verb == Unknown || !hasArg {
		return Command{Verb: verb}
	}
	return Command{Verb: verb, arg: func() []byte { return arg }}
}

// Arg returns all that follows the keyword's space, to the octet: a password
// may begin, end or consist of spaces (RFC 1939, section 7, PASS).
func (c Command) Arg() []byte {
	if c.arg == nil {
		return nil
	}
	return c.arg()
}

// Word returns the argument without the spaces around it, for commands whose
// argument is one.
func (c Command) Word() []byte { return bytes.Trim(c.Arg(), " ") }

// Words returns the argument's first word and what is behind its space, as AUTH
// has them.
func (c Command) Words() (first, rest []byte) {
	first, rest, _ = bytes.Cut(c.Word(), []byte{' '})
	return first, rest
}

// BeginsWith tells whether a line begins with text given in upper case, in any case.
func BeginsWith(line []byte, upper string) bool {
	return len(line) >= len(upper) && isWord(line[:len(upper)], upper)
}

// Format prints the keyword only, whatever the verb of the format.
func (c Command) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, string(c.Verb))
	if c.arg != nil {
		_, _ = io.WriteString(f, " "+redacted)
	}
}

// HasControl tells whether p holds octets below space or DEL. Neither a user's
// name nor a password may: on the way to the backend they would end the line early.
func HasControl(p []byte) bool {
	return bytes.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// The methods of RFC 9110 and 5789, and the preface of HTTP/2.
var httpMethods = [...]string{
	"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH ", "TRACE ", "PRI ",
}

// LooksLikeHTTP tells whether a line begins like an HTTP request. A browser that
// was tricked into talking to a POP3 port must not get a second line (the
// cross-protocol attacks of which ALPACA is the best known).
func LooksLikeHTTP(line []byte) bool {
	for _, method := range httpMethods {
		if len(line) >= len(method) && string(line[:len(method)]) == method {
			return true
		}
	}
	return false
}
