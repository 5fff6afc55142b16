package backend

import (
	"net/netip"
	"slices"
	"time"
)

// trials is how many logins at once find out what a rumour is worth.
const trials = 3

// member is one backend's live record. All of it is read and written under the
// pool's lock.
type member struct {
	pool   *Pool
	target Target
	listed bool // Sync named it; else a route brought it, or sessions keep it
	gone   bool // Sync doesn't name it any more

	circuit      *circuit
	epoch        int  // counts the breaker's moves
	tripping     bool // the failure being reported opens the breaker
	opened       bool // notes of the breaker, see tell
	closed       bool
	openedAt     time.Time
	deep         bool   // it opened for failures behind USER, PASS or AUTH
	proven       bool   // and a check has got as far as a check can: a login decides
	why          string // it opened
	suspects     suspects
	provedAt     time.Time // when the latest login that succeeded began
	refusedSince time.Time

	hearsay hearsay
	checks

	admission admission
	turns     map[*Turn]struct{} // logins in progress
	sessions  int
	staying   int // of the turns, those that are sessions already

	latencies latencies
	refused   map[Reason]uint64
	ends      ends
	shown     shown
	idleSince time.Time
	downSince time.Time // as far as distrust is concerned
}

// usable is THE rule: may this visit have a login, now or when it is its turn?
// 0 says yes.
func (m *member) usable(v Visit, now time.Time) Reason {
	if reason := m.shut(); reason != 0 {
		return reason
	}
	if m.suspects.refuses(v.Mailbox, now) {
		return Sick
	}
	return 0
}

// shut is the part of the rule that is the same for all.
func (m *member) shut() Reason {
	switch {
	case m.gone:
		return Unlisted
	case m.pool.drains.has(m.target.Name):
		return Drained
	case m.broken():
		return Broken
	case m.target.MaxSessions > 0 && m.sessions >= m.target.MaxSessions:
		return Full
	}
	return 0
}

// limit is how many logins may be in progress: the operator's bound, or less
// where little is known of the backend.
func (m *member) limit() int {
	limit := unlimited
	bound := func(n int, holds bool) {
		if holds {
			limit = min(limit, n)
		}
	}
	bound(m.target.MaxLogins, m.target.MaxLogins > 0)
	bound(m.admission.ramp.limit, m.admission.ramp.limit > 0)
	bound(trials, m.rumour() != "" && !m.pool.distrust.on)
	bound(1, m.proven)
	bound(m.admission.slots+m.seats(), m.target.MaxSessions > 0)
	return limit
}

// seats are the sessions that there is room for, besides those that a login in
// progress may become.
func (m *member) seats() int {
	return max(0, m.target.MaxSessions-m.sessions-(len(m.turns)-m.staying))
}

// enter gives a turn, a place in the queue, or a refusal.
func (m *member) enter(v Visit, now time.Time) (*Turn, *waiter, *Unavailable) {
	if reason := m.usable(v, now); reason != 0 {
		return nil, nil, m.refuse(reason)
	}
	if m.admission.free(v.Client, m.limit()) {
		if t := m.grant(v, now); t != nil {
			return t, nil, nil
		}
	}
	if !m.admission.mayQueue(v.Client, m.target.MaxLogins) {
		return nil, nil, m.refuse(Busy)
	}
	return nil, m.admission.enqueue(v), nil
}

// grant gives a turn, unless the breaker has another trial running.
func (m *member) grant(v Visit, now time.Time) *Turn {
	report, err := m.circuit.Allow()
	if err != nil {
		return nil
	}
	t := &Turn{member: m, visit: v, began: now, epoch: m.epoch, report: report}
	m.turns[t] = struct{}{}
	m.admission.take(v.Client)
	m.suspects.tried(v.Mailbox, true)
	return t
}

// dispatch answers those in the queue who can be answered. Whatever changes what
// usable or limit say calls it.
func (m *member) dispatch(now time.Time) {
	if reason := m.shut(); reason != 0 {
		for len(m.admission.queue) > 0 {
			m.admission.call(0).answer(nil, m.refuse(reason))
		}
		return
	}
	for {
		i := m.admission.next(m.limit())
		if i < 0 {
			return
		}
		v := m.admission.queue[i].visit
		if m.suspects.refuses(v.Mailbox, now) { // it failed while this one waited
			m.admission.call(i).answer(nil, m.refuse(Sick))
			continue
		}
		t := m.grant(v, now)
		if t == nil {
			return
		}
		m.admission.call(i).answer(t, nil)
	}
}

// abandon takes a waiter out of the queue who wasn't called yet.
func (m *member) abandon(w *waiter) {
	if i := slices.Index(m.admission.queue, w); i >= 0 {
		m.admission.call(i)
	}
}

func (m *member) refuse(reason Reason) *Unavailable {
	m.refused[reason]++
	return &Unavailable{Backend: m.target.Name, Reason: reason, Why: m.because(reason)}
}

func newMember(p *Pool, t Target, now time.Time) *member {
	m := &member{
		pool: p, target: t, suspects: suspects{}, turns: map[*Turn]struct{}{}, refused: map[Reason]uint64{},
		admission: admission{shares: map[netip.Addr]int{}, places: map[netip.Addr]int{}},
		idleSince: now, checks: checks{factor: 1},
	}
	m.circuit = newCircuit(m)
	m.shown = shown{state: StateUsable, since: now}
	return m
}

// move follows a backend to other addresses: what was learnt of it was learnt of
// the old ones. Its sessions and the operator's word stay.
func (m *member) move(t Target) {
	m.target = t
	m.circuit = newCircuit(m)
	m.epoch++
	m.proven, m.why, m.openedAt = false, "", time.Time{}
	m.provedAt, m.refusedSince = time.Time{}, time.Time{}
	m.admission.forget()
	m.admission.ramp = ramp{}
	m.suspects.reset()
	m.hearsay, m.checks = hearsay{}, checks{factor: 1, checking: m.checking}
}

// idle tells whether nothing of it is left in the gateway.
func (m *member) idle() bool {
	return m.sessions == 0 && len(m.turns) == 0 && len(m.admission.queue) == 0
}

// beat does what only time does.
func (m *member) beat(now time.Time) {
	before := m.admission.ramp
	m.admission.ramp.climb(now, m.target.MaxLogins)
	m.suspects.expire(now)
	for t := range m.turns {
		if now.Sub(t.began) > turnLimit {
			m.pool.say(lostTurn(m.target.Name, t, now))
			t.finish(now, Outcome{Err: errNeither})
		}
	}
	if m.admission.ramp != before {
		m.dispatch(now)
	}
	if !m.idle() {
		m.idleSince = now
	}
}
