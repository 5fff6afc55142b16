package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errUnknown = errors.New("unknown")
	errDown    = errors.New("down")
)

// place is one that a test has in its hands.
type place struct {
	mu    sync.Mutex
	says  map[string]string
	down  bool
	takes time.Duration // each question
	asked map[string]int
	most  int // questions at once
	now   int

	tells  chan string // to the listener
	loses  chan error
	stored int
	moved  int
}

func (p *place) ask(ctx context.Context, address string) (string, error) {
	p.mu.Lock()
	p.asked[address]++
	p.now++
	p.most = max(p.most, p.now)
	takes := p.takes
	p.mu.Unlock()
	defer func() { p.mu.Lock(); p.now--; p.mu.Unlock() }()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.says[address]
	switch {
	case p.down:
		return "", errDown
	case !ok:
		return "", fmt.Errorf("asking: %w", errUnknown)
	}
	return v, nil
}

func (p *place) listen(ctx context.Context, forget func(string)) error {
	forget("")
	for {
		select {
		case address := <-p.tells:
			forget(address)
		case err := <-p.loses:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type bench struct {
	*Cache[string]
	*place
	t *testing.T
}

// usual are the options of tests that have no wishes.
var usual = Options{Size: 100, TTL: time.Minute, NegativeTTL: 10 * time.Second, Stale: time.Hour, Timeout: 10 * time.Second, InFlight: 4}

// try runs a test of a cache in a bubble, with alice at a and bob at b.
func try(t *testing.T, o Options, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &place{
			says: map[string]string{"alice": "a", "bob": "b"}, asked: make(map[string]int),
			tells: make(chan string), loses: make(chan error),
		}
		c := New(o, Place[string]{
			Ask: p.ask, Listen: p.listen, Unknown: errUnknown,
			Stored: func() { p.stored++ }, Moved: func() { p.moved++ },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		synctest.Wait()
		time.Sleep(time.Nanosecond) // the listener's start makes what is older outdated
		test(&bench{c, p, t})
		cancel()
		running.Wait()
		c.Close()
	})
}

// set changes what the place does.
func (b *bench) set(change func(p *place)) {
	b.place.mu.Lock()
	defer b.place.mu.Unlock()
	change(b.place)
}

// gets resolves and wants an answer: a value, unknown, or down for any other error.
func (b *bench) gets(address, want string) {
	b.t.Helper()
	b.getsFresh(address, 0, want)
}

func (b *bench) getsFresh(address string, fresh time.Duration, want string) {
	b.t.Helper()
	answer, err := b.Resolve(b.t.Context(), address, fresh)
	got := answer.Value
	switch {
	case err == errUnknown: // the very error: the cache promises that
		got = "unknown"
	case err != nil:
		got = "down"
	}
	if got != want {
		b.t.Errorf("%s: %q (%v), want %q", address, got, err, want)
	}
}

// was wants the place to have been asked for an address so many times in all.
func (b *bench) was(address string, times int) {
	b.t.Helper()
	synctest.Wait()
	b.place.mu.Lock()
	defer b.place.mu.Unlock()
	if got := b.place.asked[address]; got != times {
		b.t.Errorf("the place was asked for %s %d times, want %d", address, got, times)
	}
}

func down(p *place) { p.down = true }
func up(p *place)   { p.down = false }

func TestAnswersLiveTheirTime(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		time.Sleep(44 * time.Second)
		b.gets("alice", "a")
		b.was("alice", 1)
		time.Sleep(17 * time.Second)
		b.set(func(p *place) { p.says["alice"] = "a2" })
		b.gets("alice", "a2")
		b.was("alice", 2)
	})
}

func TestUnknownLivesItsOwnTime(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("carol", "unknown")
		b.set(func(p *place) { p.says["carol"] = "c" })
		time.Sleep(9 * time.Second)
		b.gets("carol", "unknown")
		b.was("carol", 1)
		time.Sleep(2 * time.Second)
		b.gets("carol", "c")
		b.set(func(p *place) { delete(p.says, "carol") })
		time.Sleep(time.Minute)
		b.gets("carol", "unknown")
		if s := b.Status(); s.Entries != 0 || s.Unknown != 1 {
			b.t.Errorf("status %+v", s)
		}
	})
}

func TestWithoutTimesEachIsAsked(t *testing.T) {
	try(t, Options{}, func(b *bench) {
		for range 3 {
			b.gets("alice", "a")
			b.gets("carol", "unknown")
		}
		b.was("alice", 3)
		b.was("carol", 3)
	})
}

func TestSizeIsBounded(t *testing.T) {
	try(t, usual, func(b *bench) {
		for i := range 1000 {
			b.set(func(p *place) { p.says[fmt.Sprintf("user%d", i)] = "x" })
			b.gets(fmt.Sprintf("user%d", i), "x")
			b.gets(fmt.Sprintf("nobody%d", i), "unknown")
			b.gets("user0", "x") // in use, so it stays
		}
		if s := b.Status(); s.Entries != 100 || s.Unknown != 10 {
			b.t.Errorf("%d entries and %d unknown, want 100 and 10", s.Entries, s.Unknown)
		}
		b.was("user0", 1)
		b.was("user1", 1)
		b.gets("user1", "x")
		b.was("user1", 2)
	})
}

func TestManyShareAQuestion(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.set(func(p *place) { p.takes = 5 * time.Second })
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { b.gets("alice", "a") })
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if _, err := b.Resolve(ctx, "alice", 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				b.t.Errorf("a session that left: %v after %v", err, time.Since(began))
			}
		})
		all.Wait()
		b.was("alice", 1)
		if c := b.Counters(); c.Misses != 101 || c.Questions != 1 {
			b.t.Errorf("counters %+v", c)
		}
	})
}

func TestAnAnswerNobodyWaitsForIsKept(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.set(func(p *place) { p.takes = 5 * time.Second })
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
		defer cancel()
		if _, err := b.Resolve(ctx, "alice", 0); !errors.Is(err, context.DeadlineExceeded) {
			b.t.Errorf("the session: %v", err)
		}
		time.Sleep(5 * time.Second)
		b.gets("alice", "a")
		b.was("alice", 1)
	})
}

func TestAQuestionHasItsOwnTime(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.set(func(p *place) { p.takes = time.Hour })
		began := time.Now()
		b.gets("alice", "down")
		if took := time.Since(began); took != 10*time.Second {
			b.t.Errorf("the question took %v", took)
		}
		if s := b.Status(); !errors.Is(s.Err, context.DeadlineExceeded) {
			b.t.Errorf("status %+v", s)
		}
	})
}

func TestStaleServesWhileThePlaceIsDown(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		b.gets("carol", "unknown")
		b.set(down)
		time.Sleep(30 * time.Minute)
		b.gets("alice", "a")
		b.gets("bob", "down") // and not unknown
		b.gets("carol", "down")
		time.Sleep(31 * time.Minute)
		b.gets("alice", "down") // the last good answer is too old
		if c := b.Counters(); c.Stale != 1 || c.Errors != 4 {
			b.t.Errorf("counters %+v", c)
		}
		b.set(up)
		b.gets("alice", "a")
		if s := b.Status(); s.Err != nil || s.LastGood != time.Now() {
			b.t.Errorf("status %+v", s)
		}
	})
}

func TestNobodyWaitsForAPlaceThatIsDown(t *testing.T) {
	try(t, usual, func(b *bench) {
		for i := range 5 {
			b.set(func(p *place) { p.says[fmt.Sprint(i)] = "x" })
			b.gets(fmt.Sprint(i), "x")
		}
		b.set(func(p *place) { p.takes = time.Hour })
		time.Sleep(2 * time.Minute)
		took := func(address string) time.Duration {
			began := time.Now()
			b.gets(address, "x")
			return time.Since(began)
		}
		for range 3 { // one mailbox that can't be answered is no outage
			if d := took("0"); d != 10*time.Second {
				b.t.Errorf("the same mailbox waited %v", d)
			}
		}
		took("1")
		took("2")
		for i := range 5 {
			if d := took(fmt.Sprint(i)); d != 0 {
				b.t.Errorf("mailbox %d waited %v", i, d)
			}
		}
		b.set(func(p *place) { p.takes = 0; p.says["3"] = "y" })
		time.Sleep(10 * time.Second)
		b.gets("4", "x") // asks in the background, and so finds out
		synctest.Wait()
		b.gets("3", "y")
	})
}

func TestRefreshAheadOfExpiry(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.gets("alice", "a")
		b.gets("bob", "b")
		time.Sleep(46 * time.Second)
		b.set(func(p *place) { p.says["alice"] = "a2"; p.takes = time.Second })
		b.gets("alice", "a") // served at once
		time.Sleep(2 * time.Second)
		b.was("alice", 2)
		b.was("bob", 1) // not in use
		b.gets("alice", "a2")
		b.was("alice", 2)
	})
}

func TestQuestionsInFlightAreLimited(t *testing.T) {
	try(t, usual, func(b *bench) {
		b.set(func(p *place) { p.takes = 5 * time.Second })
		var all sync.WaitGroup
		for i := range 20 {
			b.set(func(p *place) { p.says[fmt.Sprint(i)] = "x" })
			all.Go(func() { b.gets(fmt.Sprint(i), "x") })
		}
		synctest.Wait()
		if c := b.Counters(); c.InFlight != 4 {
			b.t.Errorf("in flight: %d", c.InFlight)
		}
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
		defer cancel()
		if _, err := b.Resolve(ctx, "alice", 0); !errors.Is(err, context.DeadlineExceeded) {
			b.t.Errorf("a session that waits for its turn: %v", err)
		}
		all.Wait()
		time.Sleep(time.Minute)
		b.was("alice", 0) // the last who waited for it left before its turn
		if b.most != 4 {
			b.t.Errorf("%d questions at once", b.most)
		}
	})
}

// A place may hang for longer than a session can wait. What is kept is better than nothing then; but who
// was called off gets none of it.
func TestKeptServesWhoCantWait(t *testing.T) {
	o := usual
	o.Timeout = 15 * time.Second
	try(t, o, func(b *bench) {
		b.gets("alice", "a")
		time.Sleep(2 * time.Minute)
		b.set(func(p *place) { p.takes = time.Hour })
		ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
		defer cancel()
		if a, err := b.Resolve(ctx, "alice", 0); err != nil || a.Value != "a" {
			b.t.Errorf("%+v, %v", a, err)
		}
		gone, leave := context.WithCancel(b.t.Context())
		time.AfterFunc(time.Second, leave)
		if a, err := b.Resolve(gone, "alice", 0); !errors.Is(err, context.Canceled) {
			b.t.Errorf("who left: %+v, %v", a, err)
		}
		late, end := context.WithTimeout(b.t.Context(), time.Second)
		defer end()
		if a, err := b.Resolve(late, "bob", 0); !errors.Is(err, context.DeadlineExceeded) {
			b.t.Errorf("nothing is kept: %+v, %v", a, err)
		}
	})
}
