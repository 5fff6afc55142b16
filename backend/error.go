package backend

import (
	"bytes"
	"strconv"
	"strings"

	"postern/pop3"
)

// Kind says what went wrong with a backend, as far as somebody branches on it.
type Kind uint8

// The zero value is no kind, so that a forgotten field shows.
const (
	Unreachable Kind = iota + 1 // no connection: refused, no route, name not found
	TimedOut                    // a step took longer than it may
	Closed                      // the connection ended within a step
	Protocol                    // not POP3, spoke out of turn, or an endless line
	Temporary                   // greeted with -ERR, or doesn't know what it was known to know
	Refused                     // an answer to the login; Code says why
	Canceled                    // our side gave up: the client left, shutdown
	Unsecured                   // no TLS: STLS refused, no common version, a certificate not to be believed
	Local                       // this machine's own fault: descriptors, ports or memory used up
	Loop                        // the session came through too many proxies already
)

var kinds = [...]string{
	Unreachable: "unreachable",
	TimedOut:    "timed out",
	Closed:      "closed",
	Protocol:    "protocol error",
	Temporary:   "temporary failure",
	Refused:     "refused",
	Canceled:    "canceled",
	Unsecured:   "no tls",
	Local:       "this machine's fault",
	Loop:        "proxies loop",
}

// String returns the kind as logs have it.
func (k Kind) String() string { return word(kinds[:], uint8(k)) }

// Step is a part of the way into a backend. Each is bounded in time by whoever
// drives it, and named in each error.
type Step uint8

// The steps of a [Login] and of an [Inquiry]: what is awaited is the answer to the
// command of that name, and with the three of AUTH to one after the other.
const (
	Connect Step = iota + 1
	Greeting
	User
	Pass
	Auth      // AUTH, with the message on its line or before it
	Message   // the message of a mechanism, on a line of its own
	Challenge // the client's answer to an OAuth mechanism's error, then the backend's to that
	Capa
	Quit
	Stls
	Secure  // the TLS handshake
	Xclient // who the client is, in Dovecot's way
)

var steps = [...]string{
	Connect: "connect", Greeting: "greeting", User: "user", Pass: "pass",
	Auth: "auth", Message: "message", Challenge: "challenge", Capa: "capa", Quit: "quit",
	Stls: "stls", Secure: "secure", Xclient: "xclient",
}

// String returns the step as logs have it.
func (s Step) String() string { return word(steps[:], uint8(s)) }

func word(words []string, i uint8) string {
	if int(i) < len(words) && words[i] != "" {
		return words[i]
	}
	return "unknown " + strconv.Itoa(int(i))
}

// maxText bounds what a log keeps of a peer's text, in octets.
const maxText = 160

// quoted makes a peer's line fit for a log, without its status word.
func quoted(line []byte) string {
	return pop3.Printable(string(bytes.TrimPrefix(line, []byte("-ERR "))), maxText)
}

// Error is the only error that leaves this package's way into a backend. It is
// for logs and for decisions; nothing of it goes to a client but what the proxy's
// failure table makes of Kind and Code.
type Error struct {
	Kind Kind
	Step Step
	Code pop3.Code // with Refused only, and then never NoCode
	Text string    // the peer's, printable and cut to 160 octets; never for the wire
	Err  error     // what lies below; may be nil
}

// Error names step and kind, then the code, the peer's text and the cause, where
// there are any: `pass: refused [IN-USE] "Mailbox in use"`.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Step.String() + ": " + e.Kind.String())
	if e.Code != pop3.NoCode {
		b.WriteString(" [" + string(e.Code) + "]")
	}
	if e.Text != "" {
		b.WriteString(" " + strconv.Quote(e.Text))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
