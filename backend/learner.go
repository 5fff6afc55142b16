package backend

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"postern/pop3"
)

// When backends are asked. What one offers changes with a new release or a new
// configuration of its own, a few times a year.
const (
	askFirst     = time.Second      // within that time: soon, but not by all gateways at one moment
	askAgain     = 10 * time.Minute // after an answer
	askAgainSoon = 30 * time.Second // after a failure
	askedAtOnce  = 8

	// suspicion is how old knowledge has to be for a login that it misled to have it
	// looked at: a backend that contradicts itself isn't asked for each login.
	suspicion = 10 * time.Second
)

// spread is d, give or take a tenth, so that gateways that started together don't
// ask together for ever.
func spread(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5) }

// Learner knows what the backends offer. It asks each of them now and then, and
// keeps the last answer of one that can't be reached: a backend that is down
// today must not change what clients are told tomorrow. It is safe for concurrent
// use; what sessions ask of it is answered from memory.
type Learner struct {
	connector Connector
	log       *slog.Logger
	common    atomic.Pointer[pop3.Capabilities]
	news      chan struct{} // wakes Run: somebody may have to be asked earlier than it thinks

	mu       sync.RWMutex
	subjects map[string]*subject // by the target's name
}

// subject is one backend.
type subject struct {
	target  Target
	offer   pop3.Capabilities
	seen    bool // offer is known
	failing bool // the last time it didn't answer
	asking  bool
	due     time.Time
	asked   time.Time // when the last answer or failure came
}

// errand is one backend to be asked, as it was known when it was due.
type errand struct {
	subject *subject
	target  Target
}

// NewLearner returns a learner that knows no backend yet. Nothing is asked before Run.
func NewLearner(connector Connector, log *slog.Logger) *Learner {
	l := &Learner{connector: connector, log: log, news: make(chan struct{}, 1)}
	l.settle()
	return l
}

// Sync replaces the backends that are asked. What is known of one is kept while
// its name and the way to it stay. One whose configuration says what it offers is
// not asked.
func (l *Learner) Sync(targets []Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[string]*subject, len(targets))
	for _, t := range targets {
		old := l.subjects[t.Name]
		switch {
		case t.Capabilities != nil:
			next[t.Name] = &subject{target: t, offer: *t.Capabilities, seen: true}
		case old != nil && old.target.Capabilities == nil && old.target.sameWay(t):
			old.target = t
			next[t.Name] = old
		default:
			next[t.Name] = &subject{target: t, due: time.Now().Add(rand.N(askFirst))}
		}
	}
	l.subjects = next
	l.settle()
	l.wake()
}

// Common returns what all backends offer that ever said so, and TOP and UIDL
// while none did. Only what a backend can promise is in it, see
// [pop3.Capabilities.Intersect].
func (l *Learner) Common() pop3.Capabilities { return *l.common.Load() }

// Of returns what a backend offers. Without ok it never said so, or isn't one.
func (l *Learner) Of(name string) (offer pop3.Capabilities, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s, known := l.subjects[name]
	if !known || !s.seen {
		return pop3.Capabilities{}, false
	}
	return s.offer, true
}

// Suspect says that a login found a backend not to offer what it was known to
// offer ([Error.Unlearnt]): it is asked again soon.
func (l *Learner) Suspect(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.subjects[name]
	now := time.Now()
	if s == nil || s.target.Capabilities != nil || s.asking || now.Sub(s.asked) < suspicion {
		return
	}
	s.due = now
	l.wake()
}

// Run asks until the context ends, and returns when nobody is asked any more.
func (l *Learner) Run(ctx context.Context) {
	queue := make(chan errand)
	var askers sync.WaitGroup
	defer askers.Wait()
	defer close(queue)
	for range askedAtOnce {
		askers.Go(func() { l.work(ctx, queue) })
	}
	for ctx.Err() == nil {
		e, pause := l.next(time.Now())
		if e.subject == nil {
			l.rest(ctx, pause)
			continue
		}
		select {
		case queue <- e:
		case <-ctx.Done():
		}
	}
}

// rest waits for a time, or for news.
func (l *Learner) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.news:
	case <-ctx.Done():
	}
}

func (l *Learner) wake() {
	select {
	case l.news <- struct{}{}:
	default: // Run has yet to hear of the last
	}
}

// next takes the backend that is to be asked first, or tells for how long nobody is.
func (l *Learner) next(now time.Time) (e errand, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first *subject
	for _, s := range l.subjects {
		switch {
		case s.asking || s.target.Capabilities != nil:
		case first == nil || s.due.Before(first.due):
			first = s
		}
	}
	switch {
	case first == nil:
		return errand{}, askAgain // or until there is news
	case first.due.After(now):
		return errand{}, first.due.Sub(now)
	}
	first.asking = true
	return errand{first, first.target}, 0
}

// work is one of those who ask.
func (l *Learner) work(ctx context.Context, queue <-chan errand) {
	for e := range queue {
		offer, err := ask(ctx, l.connector, e.target)
		if ctx.Err() == nil {
			l.learnt(e.subject, offer, err)
		}
	}
}

func (l *Learner) learnt(s *subject, offer pop3.Capabilities, err error) {
	l.mu.Lock()
	before := *s
	s.asking, s.failing, s.asked = false, err != nil, time.Now()
	if err == nil {
		s.offer, s.seen, s.due = offer, true, time.Now().Add(spread(askAgain))
	} else {
		s.due = time.Now().Add(spread(askAgainSoon))
	}
	current := l.subjects[s.target.Name] == s // else Sync dropped it meanwhile
	l.settle()
	l.mu.Unlock()
	l.wake()
	if current {
		l.report(before, offer, err)
	}
}

// settle works out what all offer. The caller holds the lock.
func (l *Learner) settle() {
	common, seen := everything, false
	for _, s := range l.subjects {
		if s.seen {
			common, seen = common.Intersect(s.offer), true
		}
	}
	if !seen {
		common = withoutCapa
	}
	l.common.Store(&common)
}

// report logs what is new about a backend: that it doesn't answer, that it does
// again, that it changed. Each is said once.
func (l *Learner) report(before subject, offer pop3.Capabilities, err error) {
	log := l.log.With("backend", before.target.Name)
	switch {
	case err != nil && !before.failing:
		log.Info("can't learn what the backend offers", "err", err, "known", before.seen)
	case err != nil:
	case before.seen && !same(before.offer, offer):
		log.Info("the backend changed what it offers", "offers", tags(offer), "before", tags(before.offer))
	case before.failing:
		log.Info("the backend tells what it offers again", "offers", tags(offer))
	case !before.seen: // hundreds at a start
		log.Debug("learnt what the backend offers", "offers", tags(offer))
	}
}
