package backend

import (
	"bytes"
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
)

// withheld stands for a text that repeats the password.
const withheld = "[withheld: it repeats the password]"

// Login is the dialogue with a backend from its greeting to its verdict. It owns
// no socket, clock or goroutine: a driver feeds Input with what the backend said,
// sends what Output returns, bounds the time of each Step, and reports through
// Stop what ended the dialogue from outside.
//
// USER goes out after the greeting, PASS only after USER's +OK. Nothing is asked
// of the server beyond RFC 1939, so one that knows no CAPA works.
type Login struct {
	user     string
	password pop3.Secret
	refusals *Refusals
	lines    *pop3.LineReader

	step    Step
	command [pop3.MaxCommandLine]byte // the last one written; the driver may hold it
	pending []byte                    // of command, until Output hands it out

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
func NewLogin(user string, password pop3.Secret, refusals *Refusals) *Login {
	l := &Login{
		user:     user,
		password: password,
		refusals: refusals,
		lines:    pop3.NewLineReader(maxBuffered),
		step:     Greeting,
	}
	l.refuseUnsendable(User, []byte(user))
	l.refuseUnsendable(Pass, password.Reveal())
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
	if len(l.pending) > 0 {
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
	reply, err := pop3.ParseReply(line)
	switch {
	case err != nil:
		l.fail(Error{Kind: Protocol, Text: l.quote(line), Err: err})
	case !reply.OK && l.step == Greeting:
		l.fail(Error{Kind: Temporary, Text: l.quote(line)})
	case !reply.OK:
		l.fail(Error{Kind: Refused, Code: l.refusals.Code(reply), Text: l.quote(line)})
	case l.step == Pass:
		reply.Text = pop3.Printable(reply.Text, maxReplyText)
		l.reply = reply
		l.finish()
	default:
		l.ask()
	}
}

// ask goes on to the next step, by its command. What lies in the buffer already
// would be taken for the answer, so nothing may.
func (l *Login) ask() {
	switch l.step {
	case Greeting:
		l.step = User
		l.pending = append(append(l.command[:0], "USER "...), l.user...)
	case User:
		l.step = Pass
		l.pending = append(append(l.command[:0], "PASS "...), l.password.Reveal()...)
	}
	l.pending = append(l.pending, "\r\n"...)
	if l.lines.Buffered() > 0 {
		l.fail(Error{Kind: Protocol, Err: errOutOfTurn})
	}
}

// Output returns what is to be sent next, all of it, or nothing. It is valid
// until the next call of Input or Stop, which overwrite it.
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
	l.done = true
	l.pending = nil
	l.password = pop3.Secret{}
	l.forget()
}

// forget overwrites the command that was sent: it may have been PASS.
func (l *Login) forget() { clear(l.command[:]) }

// quote makes a peer's line fit for a log, without its status word. A server that
// repeats the password in its refusal may not bring it there.
func (l *Login) quote(line []byte) string {
	if password := l.password.Reveal(); len(password) > 0 && bytes.Contains(line, password) {
		return withheld
	}
	return pop3.Printable(string(bytes.TrimPrefix(line, []byte("-ERR "))), maxText)
}
