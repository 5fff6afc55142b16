package backend

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Settings are what an operator may tune of a [Pool].
type Settings struct {
	Interval     time.Duration // between checks while nothing is known; 0: none
	DownInterval time.Duration // between checks of what is down
	Timeout      time.Duration // of a whole check
	Fall         int           // failed checks in a row that make a rumour
	Rise         int           // good checks in a row that end it, and open the way back in
	QueueTimeout time.Duration // how long a login waits for its turn
}

// Prober finds out whether a backend is there. Its errors are an *[Error].
// entered tells that it has logged in, which proves more than a greeting.
type Prober interface {
	Probe(context.Context, Target) (entered bool, err error)
}

// PoolOptions are what a [Pool] is made of.
type PoolOptions struct {
	Settings Settings
	Prober   Prober // nil: no checks, and an open breaker stays open
	Logger   *slog.Logger
}

// How many backends that no Sync named are remembered, and for how long: a
// directory may bring as many as its networks hold addresses.
const (
	maxVisitors = 4096
	forgetAfter = 10 * time.Minute
)

// Pool knows of each backend whether it is usable, and who may log in there now.
// One lock holds it all: it is taken twice for each login, for less than a
// microsecond, and everything that is decided together is seen together. It is safe
// for concurrent use.
type Pool struct {
	prober Prober
	log    *slog.Logger
	probes sync.WaitGroup

	mu       sync.Mutex
	set      Settings
	members  map[string]*member // by the target's name
	drains   drains
	distrust distrust
	pulse    pulse
	probing  int
	records  []entry // written when the lock is free: a log that blocks holds nobody up
}

// NewPool returns a pool without backends. Checks begin with Run.
func NewPool(o PoolOptions) *Pool {
	return &Pool{prober: o.Prober, log: o.Logger, set: o.Settings, members: map[string]*member{}, drains: drains{}}
}

// Reconfigure changes the settings, for who comes from now on.
func (p *Pool) Reconfigure(s Settings) {
	p.lock()
	defer p.unlock()
	p.set = s
}

// Sync replaces the backends. What is known of one is kept while its name and its
// addresses stay. One that is gone takes no new sessions, and is forgotten when the last
// of its sessions is over.
func (p *Pool) Sync(targets []Target) {
	now := p.lock()
	defer p.unlock()
	named := make(map[string]bool, len(targets))
	for _, t := range targets {
		named[t.Name] = true
		p.admit(t, now)
	}
	for name, m := range p.members {
		if m.listed && !named[name] {
			m.listed, m.gone = false, true
			m.dispatch(now)
		}
		p.note(m)
	}
}

func (p *Pool) admit(t Target, now time.Time) {
	m := p.members[t.Name]
	switch {
	case m == nil:
		m = newMember(p, t, now)
		p.members[t.Name] = m
		m.notBefore = now.Add(rand.N(max(1, min(p.set.Interval, firstCheck))))
	case !slices.Equal(m.target.Addresses, t.Addresses):
		m.move(t)
	default:
		m.target = t
	}
	if m.gone {
		m.shown.by = "it is among the backends again"
	}
	m.listed, m.gone = true, false
	m.dispatch(now)
}

// Enter waits for a backend's leave to log in. The error is an *[Unavailable], or an
// *[Error] of the kind Canceled where the context was.
func (p *Pool) Enter(ctx context.Context, t Target, v Visit) (*Turn, error) {
	v.Client = sharing(v.Client)
	now := p.lock()
	m, refused := p.find(t, now)
	var turn *Turn
	var w *waiter
	if m != nil {
		turn, w, refused = m.enter(v, now)
	}
	timeout := p.set.QueueTimeout
	p.unlock()
	switch {
	case refused != nil:
		return nil, refused
	case turn != nil:
		return turn, nil
	}
	return p.wait(ctx, m, w, now, timeout)
}

// find returns a backend's record. A route may bring one that no Sync named, by
// its address; one that was declared and isn't in the record is gone.
func (p *Pool) find(t Target, now time.Time) (*member, *Unavailable) {
	if m := p.members[t.Name]; m != nil {
		return m, nil
	}
	if !t.Visitor || len(p.members) >= maxVisitors+p.named() {
		return nil, &Unavailable{Backend: t.Name, Reason: Unlisted}
	}
	m := newMember(p, t, now)
	p.members[t.Name] = m
	return m, nil
}

func (p *Pool) named() int {
	n := 0
	for _, m := range p.members {
		if m.listed {
			n++
		}
	}
	return n
}

// keep returns the record under a member's name: it may have been forgotten
// between the end of a login and the beginning of its session.
func (p *Pool) keep(m *member) *member {
	if current := p.members[m.target.Name]; current != nil {
		return current
	}
	p.members[m.target.Name] = m
	return m
}

// wait waits in the queue.
func (p *Pool) wait(ctx context.Context, m *member, w *waiter, since time.Time, timeout time.Duration) (*Turn, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-w.called:
	case <-timer.C:
	case <-ctx.Done():
	}
	now := p.lock()
	defer p.unlock()
	canceled := errors.Is(ctx.Err(), context.Canceled)
	if !w.decided() {
		m.abandon(w)
		if !canceled {
			w.refused = m.refuse(Busy)
		}
	}
	switch {
	case w.refused != nil:
		w.refused.Waited = now.Sub(since)
		return nil, w.refused
	case canceled:
		if w.turn != nil { // called in the same moment
			w.turn.finish(now, Outcome{Err: errNeither})
		}
		return nil, &Error{Kind: Canceled, Step: Connect, Err: ctx.Err()}
	}
	return w.turn, nil
}

// Ask tells what Enter would say now, and takes nothing: nil is a turn, maybe
// behind others in the queue.
func (p *Pool) Ask(t Target, v Visit) error {
	v.Client = sharing(v.Client)
	now := p.lock()
	defer p.unlock()
	m := p.members[t.Name]
	if m == nil {
		if !t.Visitor {
			return &Unavailable{Backend: t.Name, Reason: Unlisted}
		}
		return nil
	}
	reason := m.usable(v, now)
	if reason == 0 && !m.admission.free(v.Client, m.limit()) && !m.admission.mayQueue(v.Client, m.target.MaxLogins) {
		reason = Busy
	}
	if reason == 0 {
		return nil
	}
	return &Unavailable{Backend: t.Name, Reason: reason, Why: m.because(reason)}
}

// Hearsay takes what the catalogue says of a backend. Of one that isn't there it
// says nothing.
func (p *Pool) Hearsay(name string, bad bool, why string) {
	now := p.lock()
	defer p.unlock()
	if m := p.members[name]; m != nil {
		m.hear(bad, why)
		m.dispatch(now)
		p.note(m)
	}
}

// Run checks the backends until the context ends, and returns when no check runs
// any more.
func (p *Pool) Run(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	defer p.probes.Wait()
	for {
		p.step(ctx, time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			p.lock()
			p.pulse.last = time.Time{}
			p.unlock()
			return
		}
	}
}

func (p *Pool) step(ctx context.Context, now time.Time) {
	p.mu.Lock() // without the time: the heartbeat's own is the one that counts
	defer p.unlock()
	p.beat(now)
	p.startChecks(ctx, now)
}

// lock takes the lock and the time, in this order: else two that wait for it
// would see time go backwards.
func (p *Pool) lock() time.Time {
	p.mu.Lock()
	return time.Now()
}

// unlock frees the lock, and then says what was to be said.
func (p *Pool) unlock() {
	records := p.records
	p.records = nil
	p.mu.Unlock()
	for _, r := range records {
		p.log.Log(context.Background(), r.level, r.text, r.attrs...)
	}
}
