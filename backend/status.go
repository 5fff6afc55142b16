package backend

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// State sums up what a backend is to its users.
type State uint8

// The states; the first that holds, from below, is shown.
const (
	StateUsable   State = iota + 1 // logins go in
	StateHalfOpen                  // a few at a time, and they decide
	StateOpen                      // none: the breaker is open
	StateDrained                   // none: an operator said so
	StateRemoved                   // none: it is no backend any more, but has sessions
)

var states = [...]string{
	StateUsable: "usable", StateHalfOpen: "half-open", StateOpen: "open",
	StateDrained: "drained", StateRemoved: "removed",
}

// String returns the state as logs, tables and metrics have it.
func (s State) String() string { return word(states[:], uint8(s)) }

// States lists all there are, for metrics.
func States() []State {
	return []State{StateUsable, StateHalfOpen, StateOpen, StateDrained, StateRemoved}
}

// Status is what there is to say of a backend. A plain value.
type Status struct {
	Name      string
	Addresses []string
	State     State
	Reason    string // why it is in this state; may be empty for a usable one
	Since     time.Time
	Drain     *Drain // an operator's word, whatever the state

	Breaker     string // closed, half-open, open
	Failures    int    // connects and greetings in a row, while closed
	Suspects    int    // mailboxes that failed behind USER, PASS or AUTH lately
	Rumour      string // what checks or the catalogue say against it, unless disproved
	LastCheck   time.Time
	CheckError  string // of the last one
	LastSuccess time.Time
	LastFailure time.Time
	LastError   string // of that failure

	Logins      int // in progress
	Limit       int // how many there may be now; 0 is no limit
	MaxLogins   int
	Queued      int
	Sessions    int
	MaxSessions int
	Refused     map[string]uint64 // by reason, since the start

	Connect, Greeting, Login Latency
}

// Snapshot returns all backends, sorted by name.
func (p *Pool) Snapshot() []Status {
	now := p.lock()
	defer p.unlock()
	all := make([]Status, 0, len(p.members))
	for _, m := range p.members {
		all = append(all, m.status(now))
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Distrusts tells since when the gateway distrusts itself, see [distrust].
func (p *Pool) Distrusts() (since time.Time, on bool) {
	p.lock()
	defer p.unlock()
	return p.distrust.since, p.distrust.on
}

func (m *member) status(now time.Time) Status {
	state, why := m.state()
	s := Status{
		Name: m.target.Name, Addresses: slices.Clone(m.target.Addresses),
		State: state, Reason: why, Since: m.shown.since,
		Breaker: m.breaker(), Failures: int(m.circuit.Counts().ConsecutiveFailures), Suspects: len(m.suspects), Rumour: m.rumour(),
		LastCheck: m.checkedAt, CheckError: m.checkError, LastSuccess: m.lastSuccess,
		LastFailure: m.ends.failedAt, LastError: m.ends.fault,
		Logins: len(m.turns), MaxLogins: m.target.MaxLogins, Queued: len(m.admission.queue),
		Sessions: m.sessions, MaxSessions: m.target.MaxSessions, Refused: map[string]uint64{},
		Connect: m.latencies.connect.sum(now), Greeting: m.latencies.greeting.sum(now), Login: m.latencies.login.sum(now),
	}
	if limit := m.limit(); limit < unlimited {
		s.Limit = limit
	}
	for _, r := range Reasons() {
		s.Refused[r.String()] = m.refused[r]
	}
	if d, drained := m.pool.drains[m.target.Name]; drained {
		s.Drain = &d
	}
	return s
}

// breaker is the breaker's state as users meet it: gobreaker's own is half-open
// as soon as a check may ask.
func (m *member) breaker() string {
	switch {
	case m.broken():
		return "open"
	case m.proven:
		return "half-open"
	}
	return "closed"
}

// state says what the backend is to its users, and why.
func (m *member) state() (State, string) {
	switch {
	case m.gone:
		return StateRemoved, "it is no backend any more"
	case m.pool.drains.has(m.target.Name):
		return StateDrained, m.because(Drained)
	case m.broken():
		return StateOpen, m.why
	case m.proven:
		return StateHalfOpen, "a check got through, a login decides; before: " + m.why
	case m.rumour() != "" && !m.pool.distrust.on:
		return StateHalfOpen, m.rumour()
	case m.rumour() != "":
		return StateUsable, "the gateway distrusts itself; " + m.rumour()
	}
	return StateUsable, m.shown.by
}

// because is what lies behind a reason.
func (m *member) because(r Reason) string {
	switch r {
	case Drained:
		d := m.pool.drains[m.target.Name]
		return "by " + d.By + " since " + d.Since.UTC().Format(time.RFC3339)
	case Broken:
		return m.why
	case Full:
		return fmt.Sprintf("%d sessions", m.sessions)
	case Busy:
		return fmt.Sprintf("%d logins in progress, %d wait", m.admission.slots, len(m.admission.queue))
	}
	return ""
}

// ends is how logins ended.
type ends struct {
	failedAt time.Time
	fault    string
}

// noteEnd keeps the last failure that speaks against the backend.
func (m *member) noteEnd(now time.Time, err error) {
	if v := judge(err); v != healthy && v != neither {
		m.ends = ends{now, err.Error()}
	}
}

// shown is the state that was last recorded.
type shown struct {
	state State
	since time.Time
	by    string // what made it usable
}

// entry is a log record to be.
type entry struct {
	level slog.Level
	text  string
	attrs []any
}

func (p *Pool) say(e entry) { p.records = append(p.records, e) }

// show takes over the current state. changed tells whether it is another.
func (m *member) show(now time.Time) (was State, changed bool) {
	was = m.shown.state
	state, _ := m.state()
	if state == was {
		return was, false
	}
	m.shown.state, m.shown.since = state, now
	if state != StateUsable {
		m.shown.by = ""
	}
	return was, true
}

// note records a change of a backend's state, with its reason.
func (p *Pool) note(m *member) {
	now := time.Now()
	was, changed := m.show(now)
	if !changed {
		return
	}
	state, why := m.state()
	level := slog.LevelInfo
	if state == StateOpen || state == StateHalfOpen && was == StateUsable {
		level = slog.LevelWarn
	}
	p.say(entry{level, "the backend's state changed", []any{
		"backend", m.target.Name, "state", state.String(), "was", was.String(), "reason", why,
	}})
}

func lostTurn(name string, t *Turn, now time.Time) entry {
	return entry{slog.LevelError, "a login never ended: its place is taken back", []any{
		"backend", name, "mailbox", t.visit.Mailbox, "after", now.Sub(t.began).Round(time.Second),
	}}
}
