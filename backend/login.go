package backend

import (
	"errors"
	"io"

	"postern/pop3"
)

// Bounds on what a backend may say before we are in, in octets.
const (
	// maxReplyLine is four times what RFC 2449, section 4, allows: real servers
	// put host names, session ids and advertisements into their greetings.
	maxReplyLine = 4 * pop3.MaxResponseLine
	// maxBuffered bounds all that is held of a backend's octets, those behind its
	// last +OK included.
	maxBuffered = 4 << 10
	// maxReplyText is what fits into a line of RFC 2449's length behind "+OK ".
	maxReplyText = pop3.MaxResponseLine - len("+OK \r\n")
)

// What is wrong where the line itself is well formed.
var (
	errOutOfTurn = errors.New("the backend spoke before it was asked")
	errControl   = errors.New("control octets can't be sent")
	errTooLong   = errors.New("longer than a command line may be")
	errUnseen    = errors.New("the backend accepted credentials that it hasn't seen")
	errChallenge = errors.New("a challenge where none belongs")
)

// Entry is what a login is made from.
type Entry struct {
	// User is what the backend gets as user name. An OAuth message names the user
	// itself, as the client typed it, and can't be rewritten without its maker's
	// consent: there the backend has to know the user by that name.
	User        string
	Credentials pop3.Credentials
	AuthPlain   bool // the backend is known to offer AUTH PLAIN
}

// Login is the dialogue with a backend from its greeting to its verdict. It owns
// no socket, clock or goroutine: a driver feeds Input with what the backend said,
// sends what Output returns, bounds the time of each Step, looks for a Challenge,
// and reports through Stop what ended the dialogue from outside.
//
// There are three ways in, see auth.go for the last two. USER goes out after the
// greeting and PASS only after USER's +OK, so that nothing beyond RFC 1939 is
// asked of a server of which nothing is known. AUTH PLAIN is one round trip
// instead of two. An OAuth message is passed on with its own mechanism.
type Login struct {
	credentials pop3.Credentials // with the user that the backend gets
	mechanism   pop3.Mechanism   // of AUTH; empty for USER and PASS
	refusals    *Refusals
	lines       *pop3.LineReader

	step    Step
	shown   bool                      // the backend was sent the secret
	short   [pop3.MaxCommandLine]byte // holds each command but a long message
	command []byte                    // the last one written; the driver may hold it
	pending []byte                    // the command, until Output hands it out

	challenge string // what the backend said to an OAuth message
	asked     bool   // and what the driver has not acknowledged yet

	done  bool
	reply pop3.Reply
	err   *Error
}

// NewLogin prepares a login. The secret stays the caller's: it must live until
// there is a result, and the caller wipes it. The refusals may not be nil.
//
// A user or password that can't be sent as one line (control octets, or more
// than the 255 octets of RFC 2449) is refused here, with AUTH as for every name
// that nobody has: there is a result at once, and no need to connect.
func NewLogin(entry Entry, refusals *Refusals) *Login {
	l := &Login{
		credentials: entry.Credentials,
		mechanism:   entry.mechanism(),
		refusals:    refusals,
		lines:       pop3.NewLineReader(maxBuffered),
		step:        Greeting,
	}
	l.credentials.User = entry.User
	if !l.mechanism.OAuth() { // whose message goes in base64, and holds control octets
		l.refuseUnsendable(User, []byte(entry.User))
		l.refuseUnsendable(Pass, l.secret())
	}
	return l
}

func (l *Login) refuseUnsendable(step Step, argument []byte) {
	var err error
	switch {
	case l.done:
		return
	case pop3.HasControl(argument):
		err = errControl
	case len("USER \r\n")+len(argument) > pop3.MaxCommandLine:
		err = errTooLong
	default:
		return
	}
	l.step = step
	l.fail(Error{Kind: Refused, Code: pop3.Auth, Err: err})
}

// Step tells what is being waited for, or where the dialogue ended.
func (l *Login) Step() Step { return l.step }

// Input takes what the backend said and tells how many octets it took. That is
// less than all of p only when there is a result; the octets not taken, and
// before them Rest, are the client's then.
func (l *Login) Input(p []byte) int {
	if l.done || len(p) == 0 {
		return 0
	}
	if len(l.pending) > 0 || l.asked {
		l.fail(Error{Kind: Protocol, Err: errOutOfTurn})
		return 0
	}
	l.forget()
	taken := l.lines.Write(p)
	switch line, ok, err := l.lines.Next(maxReplyLine); {
	case err != nil:
		l.fail(Error{Kind: Protocol, Err: err})
	case ok:
		l.answer(line)
	}
	return taken
}

func (l *Login) answer(line []byte) {
	if text, ok := pop3.ParseChallenge(line); ok && l.step >= Auth {
		l.challenged(string(text))
		return
	}
	reply, err := pop3.ParseReply(line)
	switch {
	case err != nil:
		l.fail(Error{Kind: Protocol, Text: l.quote(line), Err: err})
	case !reply.OK && l.step == Greeting:
		l.fail(Error{Kind: Temporary, Text: l.quote(line)})
	case !reply.OK:
		l.fail(Error{Kind: Refused, Code: l.refusals.Code(reply), Text: l.quote(line)})
	case l.shown:
		reply.Text = pop3.Printable(reply.Text, maxReplyText)
		l.reply = reply
		l.finish()
	case l.step == Auth:
		l.fail(Error{Kind: Protocol, Text: l.quote(line), Err: errUnseen})
	default:
		l.proceed()
	}
}

// proceed goes on to the next step.
func (l *Login) proceed() {
	switch {
	case l.step == User:
		l.shown = true
		l.send(Pass, l.line("PASS ", l.secret()))
	case l.mechanism != "" && l.auth():
	default:
		l.send(User, l.line("USER ", []byte(l.credentials.User)))
	}
}

// line is a command whose length refuseUnsendable has checked.
func (l *Login) line(verb string, argument []byte) []byte {
	return append(append(append(l.short[:0], verb...), argument...), "\r\n"...)
}

// send makes a command ready. What lies in the buffer already would be taken for
// its answer, so nothing may.
func (l *Login) send(step Step, command []byte) {
	l.step, l.command, l.pending = step, command, command
	if l.lines.Buffered() > 0 {
		l.fail(Error{Kind: Protocol, Err: errOutOfTurn})
	}
}

// Output returns what is to be sent next, all of it, or nothing. It is valid
// until the next call of Input, Acknowledge or Stop, which overwrite it.
func (l *Login) Output() []byte {
	out := l.pending
	l.pending = nil
	return out
}

// Stop ends the dialogue from outside: Closed with the reading error (nil for a
// FIN), TimedOut, or Canceled. After a verdict it changes nothing.
func (l *Login) Stop(kind Kind, err error) {
	if l.done {
		return
	}
	if kind == Closed && err == nil {
		err = io.ErrUnexpectedEOF
	}
	l.fail(Error{Kind: kind, Err: err})
}

// Result returns the verdict, once done: the backend's +OK with its text made
// printable and cut to one response line, or an error.
func (l *Login) Result() (reply pop3.Reply, err *Error, done bool) {
	return l.reply, l.err, l.done
}

// Rest takes what the backend sent behind the +OK of a successful login. It
// belongs to the client, and is valid until the Login is dropped.
func (l *Login) Rest() []byte {
	if !l.done || l.err != nil {
		return nil
	}
	return l.lines.Rest()
}

func (l *Login) fail(err Error) {
	err.Step = l.step
	l.err = &err
	l.finish()
}

func (l *Login) finish() {
	l.done, l.asked = true, false
	l.pending = nil
	l.credentials = pop3.Credentials{}
	l.forget()
}

// forget overwrites the command that was sent: it may have held the secret.
func (l *Login) forget() { clear(l.command) }

func (l *Login) secret() []byte { return l.credentials.Secret.Reveal() }
