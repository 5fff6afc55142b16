package directory

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shadowQueue   = 1000        // comparisons that wait; more are dropped: a slow shadow costs the gateway nothing
	shadowWorkers = 4           // comparisons at once
	shadowPause   = time.Second // between two records of differences
	shadowWait    = 30 * time.Second
)

// shadow is a source that is compared with those that serve, and never used: the one that an operator
// means to move to.
type shadow struct {
	place *place
	queue chan comparison

	same, different, unknownThere, unknownHere, failed, dropped atomic.Uint64

	mu      sync.Mutex
	logged  time.Time
	skipped int // differences since then that were not logged
}

// comparison is what the sources that serve said of a mailbox.
type comparison struct {
	mailbox, typed string
	route          Route
	unknown        bool
}

// ShadowCounters are what a shadow's comparisons came to.
type ShadowCounters struct {
	Source       string
	Same         uint64
	Different    uint64 // in backend, login or state
	UnknownThere uint64 // the shadow does not know the mailbox
	UnknownHere  uint64 // only the shadow does
	Failed       uint64 // the shadow can't answer, or its entry leads nowhere
	Dropped      uint64 // not compared: too many waited
}

func newShadow(p *place) *shadow {
	return &shadow{place: p, queue: make(chan comparison, shadowQueue)}
}

// compare has every shadow compared with an answer, later. What is no answer can't be compared.
func (d *Directory) compare(mailbox, typed string, route Route, err error) {
	if err != nil && err != ErrUnknown {
		return
	}
	c := comparison{mailbox: mailbox, typed: typed, unknown: err != nil}
	if err == nil {
		c.route = Route{Backend: route.Backend, Login: route.Login, State: route.State} // no password
	}
	for _, s := range d.shadows {
		select {
		case s.queue <- c:
		default:
			s.dropped.Add(1)
		}
	}
}

// run compares until ctx is done.
func (s *shadow) run(ctx context.Context, d *Directory) {
	var working sync.WaitGroup
	for range shadowWorkers {
		working.Go(func() {
			for {
				select {
				case c := <-s.queue:
					s.one(ctx, d, c)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	working.Wait()
}

func (s *shadow) one(ctx context.Context, d *Directory, c comparison) {
	asking, cancel := context.WithTimeout(ctx, shadowWait)
	defer cancel()
	var route Route
	var err error
	if s.place.follower != nil {
		route, err = d.current.Load().sources[s.place.follower.order].locate(c.mailbox, c.typed)
	} else {
		route, err = s.place.asked.locate(asking, c.mailbox, Query{User: c.typed})
	}
	unknown := errors.Is(err, ErrUnknown)
	switch {
	case ctx.Err() != nil:
	case err != nil && !unknown:
		s.failed.Add(1)
	case unknown && c.unknown:
		s.same.Add(1)
	case unknown:
		s.unknownThere.Add(1)
		s.log(d, c, "unknown in the shadow")
	case c.unknown:
		s.unknownHere.Add(1)
		s.log(d, c, "known only in the shadow", "shadow_backend", route.Backend.Name)
	case route.Backend.Name != c.route.Backend.Name || route.Login != c.route.Login || route.State != c.route.State:
		s.different.Add(1)
		s.log(d, c, "different in the shadow", "shadow_backend", route.Backend.Name, "shadow_login", route.Login,
			"shadow_state", route.State.String())
	default:
		s.same.Add(1)
	}
}

// log writes one record a second at most. The mailbox is known to one side or the other, so it is no
// password that somebody typed in the wrong place.
func (s *shadow) log(d *Directory, c comparison, what string, more ...any) {
	s.mu.Lock()
	skip := time.Since(s.logged) < shadowPause
	skipped := s.skipped
	if skip {
		s.skipped++
	} else {
		s.logged, s.skipped = time.Now(), 0
	}
	s.mu.Unlock()
	if skip {
		return
	}
	fields := []any{"source", s.place.name, "mailbox", c.mailbox, "difference", what, "not_logged", skipped}
	if !c.unknown {
		fields = append(fields, "backend", c.route.Backend.Name, "login", c.route.Login, "state", c.route.State.String())
	}
	d.log.Info("directory shadow differs", append(fields, more...)...)
}

func (s *shadow) counters() ShadowCounters {
	return ShadowCounters{
		Source: s.place.name, Same: s.same.Load(), Different: s.different.Load(), UnknownThere: s.unknownThere.Load(),
		UnknownHere: s.unknownHere.Load(), Failed: s.failed.Load(), Dropped: s.dropped.Load(),
	}
}
