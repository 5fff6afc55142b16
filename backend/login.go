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
	Pipelining  bool // and PIPELINING: what needs no answer in between goes in one segment

	STLS    bool // nothing is said of the client or the user before TLS is up
	XCLIENT bool // the backend is told of the origin
	Origin  Origin
}

// Login is the dialogue with a backend from its greeting to its verdict. It owns
// no socket, clock or goroutine: a driver feeds Input with what the backend said,
// sends what Output returns, bounds the time of each Step, looks whether TLS is
// asked for (NeedsTLS) and for a Challenge, and reports through Stop what ended the
// dialogue from outside.
//
// There are three ways in, see auth.go for the last two. USER goes out after the
// greeting and PASS only after USER's +OK, so that nothing beyond RFC 1939 is
// asked of a server of which nothing is known; where it is known for PIPELINING,
// both go in one segment. AUTH PLAIN is one round trip always. An OAuth message is
// passed on with its own mechanism. What comes before these is in preamble.go.
type Login struct {
	credentials pop3.Credentials // with the user that the backend gets
	mechanism   pop3.Mechanism   // of AUTH; empty for USER and PASS
	stls        bool
	xclient     bool
	pipelining  bool
	origin      Origin
	refusals    *Refusals
	lines       *pop3.LineReader

	step    Step
	behind  []Step                        // whose answers are outstanding behind that of step
	steps   [3]Step                       // holds them
	shown   bool                          // the backend was sent the secret
	short   [3 * pop3.MaxCommandLine]byte // holds each segment but a long message
	command []byte                        // the last one written; the driver may hold it
	pending []byte                        // the command, until Output hands it out
	needs   bool                          // TLS, from the driver

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
		stls:        entry.STLS,
		xclient:     entry.XCLIENT,
		pipelining:  entry.Pipelining,
		origin:      entry.Origin,
		refusals:    refusals,
		lines:       pop3.NewLineReader(maxBuffered),
		step:        Greeting,
	}
	l.credentials.User = entry.User
	if !l.mechanism.OAuth() { // whose message goes in base64, and holds control octets
		l.refuseUnsendable(User, []byte(entry.User))
		l.refuseUnsendable(Pass, l.secret())
	}
	l.refuseLoop()
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
func (l *Login) Input(p []byte) (taken int) {
	for taken < len(p) && !l.done {
		if l.ours() {
			l.fail(Error{Kind: Protocol, Err: early(l.step)})
			return taken
		}
		l.forget()
		taken += l.lines.Write(p[taken:])
		l.read()
	}
	return taken
}

// ours tells whether it is our side's turn.
func (l *Login) ours() bool { return len(l.pending) > 0 || l.asked || l.needs }

// read takes the answers that are there. More than one may be, if more than one
// command went out together.
func (l *Login) read() {
	for !l.done && !l.ours() {
		line, ok, err := l.lines.Next(maxReplyLine)
		switch {
		case err != nil:
			l.fail(Error{Kind: Protocol, Err: err})
		case !ok:
			return
		default:
			l.answer(line)
		}
	}
}

func (l *Login) answer(line []byte) {
	if text, ok := pop3.ParseChallenge(line); ok && l.step.ofAuth() {
		l.challenged(string(text))
		return
	}
	reply, err := pop3.ParseReply(line)
	switch {
	case err != nil:
		l.fail(Error{Kind: Protocol, Text: l.quote(line), Err: err})
	case !reply.OK:
		l.refused(reply, line)
	case len(l.behind) > 0:
		l.step, l.behind = l.behind[0], l.behind[1:]
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

// refused ends the login, whatever is outstanding: the first refusal is the verdict.
// Only what was said to user and secret may be held against them.
func (l *Login) refused(reply pop3.Reply, line []byte) {
	verdict := Error{Kind: Refused, Text: l.quote(line)}
	switch {
	case l.step == Stls:
		verdict.Kind = Unsecured
	case l.step == Greeting || l.step == Xclient || l.step == Auth && isUnknown(reply):
		verdict.Kind = Temporary
	default:
		verdict.Code = l.refusals.Code(reply)
	}
	l.fail(verdict)
}

// proceed goes on to the next step, behind a +OK or the handshake.
func (l *Login) proceed() {
	begun := l.step == Greeting || l.step == Secure
	l.command, l.behind = l.short[:0], l.steps[:0]
	switch {
	case l.step == Greeting && l.stls:
		l.add(Stls, append(l.command, sendStls...))
	case l.step == Stls:
		l.needTLS()
		return
	case begun && l.xclient:
		l.add(Xclient, l.origin.appendXCLIENT(l.command))
		if l.pipelining {
			l.enter()
		}
	case l.step == User:
		l.pass()
	default:
		l.enter()
	}
	l.launch()
}

// enter begins to log in.
func (l *Login) enter() {
	if l.mechanism != "" && l.auth() {
		return
	}
	l.add(User, line(l.command, "USER ", []byte(l.credentials.User)))
	if l.pipelining {
		l.pass()
	}
}

func (l *Login) pass() {
	l.shown = true
	l.add(Pass, line(l.command, "PASS ", l.secret()))
}

// line is a command whose length refuseUnsendable has checked.
func line(dst []byte, verb string, argument []byte) []byte {
	return append(append(append(dst, verb...), argument...), "\r\n"...)
}

// add makes segment, which ends in the step's command, what is sent next.
func (l *Login) add(step Step, segment []byte) {
	l.command, l.behind = segment, append(l.behind, step)
}

// launch makes the segment ready. What lies in the buffer already would be taken
// for an answer to it, so nothing may.
func (l *Login) launch() {
	l.step, l.behind = l.behind[0], l.behind[1:]
	l.pending = l.command
	if l.lines.Buffered() > 0 {
		l.fail(Error{Kind: Protocol, Err: errOutOfTurn})
	}
}

// send makes a single command ready.
func (l *Login) send(step Step, command []byte) {
	l.behind = l.steps[:0]
	l.add(step, command)
	l.launch()
}

// Output returns what is to be sent next, all of it, or nothing. It is valid
// until the next call of Input, Acknowledge, Secured or Stop, which overwrite it.
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
	l.done, l.asked, l.needs = true, false, false
	l.pending, l.behind = nil, nil
	l.credentials = pop3.Credentials{}
	l.forget()
}

// forget overwrites the command that was sent: it may have held the secret.
func (l *Login) forget() { clear(l.command) }

func (l *Login) secret() []byte { return l.credentials.Secret.Reveal() }
