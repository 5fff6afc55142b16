package maildrop

import (
	"errors"

	"postern/pop3"
)

// maxFaults is how often a session may be wrong, in commands or passwords.
const maxFaults = 10

// state is one of RFC 1939's. UPDATE is no state of its own: QUIT enters and leaves it.
type state uint8

const (
	authorization state = iota
	transaction
)

// session is the dialogue with one client, without I/O: a line in, one answer out.
type session struct {
	find   func(user string) *mailbox // nil: nobody
	state  state
	user   string // since USER; taken by PASS
	faults int

	box      *mailbox // locked, in the TRANSACTION state
	messages []*stored
	deleted  []bool
}

// answer is what one line of the client's leads to.
type answer struct {
	wire  [][]byte // to be sent in this order
	late  bool     // to be sent after the failure delay
	last  bool     // the connection is closed behind it
	fault bool     // one off the budget

	verdict string // on a login, for the log
	mailbox string // of that login; "" for a name without its password, since people type passwords there
}

func ok(text string) answer { return line(pop3.Reply{OK: true, Text: text}) }

func refuse(code pop3.Code, text string) answer { return line(pop3.Reply{Code: code, Text: text}) }

func line(r pop3.Reply) answer { return answer{wire: [][]byte{r.Append(nil)}} }

// multi is a reply with lines behind it, which are stuffed already.
func multi(text string, lines []byte) answer {
	a := ok(text)
	a.wire = append(a.wire, lines, []byte(terminator))
	return a
}

func wrong(text string) answer {
	a := refuse(pop3.NoCode, text)
	a.fault = true
	return a
}

type handler func(*session, pop3.Command) answer

// table says what a client may say when (RFC 1939, sections 4 to 7; RFC 2449, CAPA).
var table = [...]map[pop3.Verb]handler{
	authorization: {
		pop3.CAPA: (*session).capa,
		pop3.USER: (*session).nameUser,
		pop3.PASS: (*session).logIn,
		pop3.QUIT: (*session).leave,
	},
	transaction: {
		pop3.CAPA: (*session).capa,
		pop3.STAT: (*session).stat,
		pop3.LIST: (*session).list,
		pop3.UIDL: (*session).uidl,
		pop3.RETR: (*session).retr,
		pop3.TOP:  (*session).top,
		pop3.DELE: (*session).dele,
		pop3.RSET: (*session).rset,
		pop3.NOOP: (*session).noop,
		pop3.QUIT: (*session).update,
	},
}

// handle answers a line as the LineReader gave it.
func (s *session) handle(text []byte, err error) answer {
	a := s.dispatch(text, err)
	if a.fault {
		s.faults++
	}
	if s.faults >= maxFaults {
		a.last = true
	}
	return a
}

func (s *session) dispatch(text []byte, err error) answer {
	switch {
	case errors.Is(err, pop3.ErrLineTooLong):
		a := wrong("line too long")
		a.last = true
		return a
	case err != nil:
		return wrong("NUL and CR have no place in a line")
	}
	cmd := pop3.ParseCommand(text)
	if h := table[s.state][cmd.Verb]; h != nil {
		return h(s, cmd)
	}
	return wrong("no such command here")
}

// release gives the mailbox back as it was: what was marked stays, as after any end
// that QUIT didn't bring (RFC 1939, section 6).
func (s *session) release() {
	if s.box != nil {
		s.box.unlock(s.messages)
		s.box = nil
	}
}

func (s *session) capa(pop3.Command) answer {
	list := pop3.Capabilities{User: true, Top: true, UIDL: true, RespCodes: true, AuthRespCode: true, Pipelining: true}
	return answer{wire: [][]byte{list.Append(nil)}}
}

// nameUser takes any name: who exists is told to nobody without a password.
func (s *session) nameUser(c pop3.Command) answer {
	if len(c.Arg()) == 0 {
		return wrong("USER wants a name")
	}
	s.user = string(c.Arg())
	return ok("and the password?")
}

func (s *session) logIn(c pop3.Command) answer {
	user := s.user
	if user == "" {
		return wrong("USER comes first")
	}
	s.user = ""
	box := s.find(user)
	if box == nil || !box.accepts(c.Arg()) {
		a := refuse(pop3.Auth, "invalid user or password")
		a.late, a.fault, a.verdict = true, true, "refused"
		return a
	}
	messages, free := box.lock()
	if !free {
		a := refuse(pop3.InUse, "another session has the mailbox")
		a.verdict, a.mailbox = "in use", box.name
		return a
	}
	s.state, s.box, s.messages, s.deleted = transaction, box, messages, make([]bool, len(messages))
	a := ok(plural(s.sum()))
	a.verdict, a.mailbox = "ok", box.name
	return a
}

func (s *session) leave(pop3.Command) answer {
	a := ok("bye")
	a.last = true
	return a
}
