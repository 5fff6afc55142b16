package backend

import (
	"io"

	"postern/pop3"
)

// Inquiry is the dialogue that learns what a backend offers: its greeting, STLS
// where logins use it, CAPA, QUIT. Like a [Login] it owns no socket, clock or goroutine, and is driven alike.
//
// A backend that was asked hears QUIT, whatever came of it: who only connects and
// disappears looks like an attack in its log.
type Inquiry struct {
	lines   *pop3.LineReader
	stls    bool
	step    Step
	needs   bool   // TLS, from the driver
	pending string // the command to be sent, until Output hands it out
	listing bool   // within the lines of CAPA's answer
	list    pop3.CapabilityReader

	offer pop3.Capabilities
	done  bool
	err   *Error
}

// The commands of an inquiry.
const (
	sendCapa = "CAPA\r\n"
	sendQuit = "QUIT\r\n"
)

// NewInquiry prepares an inquiry of a backend whose octets are read as they come.
func NewInquiry() *Inquiry {
	return &Inquiry{lines: pop3.NewLineReader(maxBuffered), step: Greeting}
}

// NewInquiryBehindSTLS prepares one that asks behind STLS. What a backend offers
// there is another list, and whoever sits on the line can't shorten it.
func NewInquiryBehindSTLS() *Inquiry {
	q := NewInquiry()
	q.stls = true
	return q
}

// Step tells what is being waited for, or where the dialogue ended.
func (q *Inquiry) Step() Step { return q.step }

// Input takes what the backend said.
func (q *Inquiry) Input(p []byte) {
	for len(p) > 0 && !q.done {
		if q.pending != "" || q.needs {
			q.fail(Error{Kind: Protocol, Err: early(q.step)})
			return
		}
		p = p[q.lines.Write(p):]
		q.read()
	}
}

// read takes all whole lines, so that the buffer has room again.
func (q *Inquiry) read() {
	for !q.done && !q.needs {
		line, ok, err := q.lines.Next(maxReplyLine)
		switch {
		case err != nil:
			q.fail(Error{Kind: Protocol, Err: err})
		case !ok:
			return
		case q.listing:
			q.listed(line)
		default:
			q.answer(line)
		}
	}
}

func (q *Inquiry) answer(line []byte) {
	reply, err := pop3.ParseReply(line)
	switch {
	case q.step == Quit: // whatever it says, it is the last word
		q.done = true
	case err != nil:
		q.fail(Error{Kind: Protocol, Text: quoted(line), Err: err})
	case !reply.OK && q.step == Stls:
		q.fail(Error{Kind: Unsecured, Text: quoted(line)})
	case !reply.OK && (q.step == Greeting || reply.Code != pop3.NoCode):
		q.fail(Error{Kind: Temporary, Text: quoted(line)})
	case q.step == Greeting && q.stls:
		q.ask(Stls, sendStls)
	case q.step == Greeting:
		q.ask(Capa, sendCapa)
	case q.step == Stls:
		q.needTLS()
	case reply.OK:
		q.listing = true
	default: // a server from before RFC 2449
		q.offer = withoutCapa
		q.ask(Quit, sendQuit)
	}
}

func (q *Inquiry) needTLS() {
	q.step, q.needs = Secure, true
	if q.lines.Buffered() > 0 {
		q.fail(Error{Kind: Protocol, Err: errInjected})
	}
}

// NeedsTLS tells whether the backend waits for the TLS handshake, as [Login.NeedsTLS] does.
func (q *Inquiry) NeedsTLS() bool { return q.needs }

// Secured tells how the handshake went.
func (q *Inquiry) Secured(err error) {
	switch {
	case !q.needs:
	case err != nil:
		q.fail(unsecured(err))
	default:
		q.needs = false
		q.ask(Capa, sendCapa)
	}
}

func (q *Inquiry) listed(line []byte) {
	done, err := q.list.Take(line)
	switch {
	case err != nil:
		q.fail(Error{Kind: Protocol, Err: err})
	case done:
		q.listing = false
		q.offer = q.list.Capabilities()
		q.ask(Quit, sendQuit)
	}
}

// ask makes a command ready. What lies in the buffer already would be taken for
// its answer; after QUIT that doesn't matter.
func (q *Inquiry) ask(step Step, command string) {
	q.step, q.pending = step, command
	if step != Quit && q.lines.Buffered() > 0 {
		q.fail(Error{Kind: Protocol, Err: errOutOfTurn})
	}
}

// Output returns what is to be sent next, or nothing. Once there is a result, that
// may be a QUIT whose answer nobody waits for.
func (q *Inquiry) Output() []byte {
	out := []byte(q.pending)
	q.pending = ""
	return out
}

// Stop ends the dialogue from outside: Closed with the reading error (nil for a
// FIN), TimedOut, or Canceled. Behind CAPA's answer it is no error any more.
func (q *Inquiry) Stop(kind Kind, err error) {
	if q.done {
		return
	}
	if kind == Closed && err == nil {
		err = io.ErrUnexpectedEOF
	}
	q.fail(Error{Kind: kind, Err: err})
}

// Result returns what the backend offers, or an error, once done.
func (q *Inquiry) Result() (offer pop3.Capabilities, err *Error, done bool) {
	return q.offer, q.err, q.done
}

func (q *Inquiry) fail(err Error) {
	q.done, q.needs = true, false
	if q.step == Quit { // the offer is known
		return
	}
	err.Step = q.step
	q.err, q.pending = &err, ""
	if (q.step == Capa || q.step == Stls) && err.Kind != Closed {
		q.pending = sendQuit
	}
}
