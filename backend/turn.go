package backend

import (
	"net/netip"
	"time"
)

// Visit is who wants to log in.
type Visit struct {
	Client  netip.Addr // the zero address has no share to keep to: webmail, a migration
	Mailbox string     // canonical
}

// Outcome is how a login ended. Durations of 0 are not known.
type Outcome struct {
	Err      error // nil: +OK. An *Error; what is none says nothing of the backend
	Connect  time.Duration
	Greeting time.Duration // from the connection to the greeting
	Login    time.Duration // from the greeting to the verdict
}

// Turn is the leave to log in to a backend, once. It has two lives: a login in
// progress, which Done ends, and the session behind it, from Stay to Leave.
//
// A turn that nobody ends would hold its slot: so its owner defers Leave where it
// got it. After [turnLimit] without Done it is taken back all the same, with a
// record, because a gateway that refuses everybody for a forgotten slot is worse.
type Turn struct {
	member  *member
	visit   Visit
	began   time.Time
	epoch   int         // of the member's breaker
	report  func(error) // to the breaker
	done    bool
	staying bool
	left    bool
}

// turnLimit is far beyond each bound of a login.
const turnLimit = 10 * time.Minute

// Began is when the turn was given: the moment from which the backend is asked.
func (t *Turn) Began() time.Time { return t.began }

// Done ends the login and frees its slot. Only the first call counts.
func (t *Turn) Done(o Outcome) {
	p := t.member.pool
	now := p.lock()
	defer p.unlock()
	t.finish(now, o)
}

// Stay makes a session of the turn: it counts for max_sessions until Leave. Before
// Done it keeps the turn's place; behind it, somebody else may have got that.
func (t *Turn) Stay() {
	p := t.member.pool
	p.lock()
	defer p.unlock()
	if t.staying || t.left {
		return
	}
	t.staying = true
	if t.done {
		t.member = p.keep(t.member)
	} else {
		t.member.staying++
	}
	t.member.sessions++
}

// Leave ends the session, and the login too where that wasn't ended, as one that
// says nothing of the backend. Only the first call counts.
func (t *Turn) Leave() {
	p := t.member.pool
	now := p.lock()
	defer p.unlock()
	t.finish(now, Outcome{Err: errNeither})
	t.left = true
	if t.staying {
		t.staying = false
		t.member.sessions--
		t.member.dispatch(now)
	}
}

func (t *Turn) finish(now time.Time, o Outcome) {
	if t.done {
		return
	}
	t.done = true
	m := t.member
	delete(m.turns, t)
	if t.staying {
		m.staying--
	}
	if t.epoch == m.epoch {
		m.admission.leave(t.visit.Client)
	}
	m.suspects.tried(t.visit.Mailbox, false)
	m.latencies.add(now, o)
	m.noteEnd(now, o.Err)
	m.settle(t, now, o.Err)
	m.dispatch(now)
	m.pool.note(m)
}
