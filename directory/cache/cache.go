package cache

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Options say how long answers are kept, and how hard the place is asked.
type Options struct {
	Size        int           // answers that are kept, and a tenth as many that say unknown; 0: 100,000
	TTL         time.Duration // how long an answer is believed; 0: it is asked for each time
	NegativeTTL time.Duration // the same for one that says unknown
	Stale       time.Duration // how old an answer may serve while the place can't answer; 0: no older than TTL
	Timeout     time.Duration // of a question; 0: 10 seconds
	InFlight    int           // questions at once, further ones wait; 0: 32
}

const (
	defaultSize     = 100_000
	defaultTimeout  = 10 * time.Second
	defaultInFlight = 32
	negativeShare   = 10 // of Size: names that nobody has are without end, mailboxes are not
	downAfter       = 3  // addresses: one broken row, polled each minute, is no outage
	refreshShare    = 4  // of TTL: an answer asked for in its last quarter is asked for again
)

// Place is what is asked, in functions: the cache need not know what an address is.
type Place[V any] struct {
	Ask     func(ctx context.Context, address string) (V, error)
	Unknown error                                                        // what Ask's error is where the place has nothing
	Listen  func(ctx context.Context, forget func(address string)) error // as directory.Listener has it; nil: the place never tells

	Stored func() // if set: what is kept changed, be it by a time only
	Moved  func() // if set: an answer differs from the one before
}

// Answer is what the place said.
type Answer[V any] struct {
	Value   V
	At      time.Time // when it was asked
	Unknown bool      // it has nothing
}

// Counters are what happened since the start.
type Counters struct {
	Hits      uint64 // answered from memory
	Misses    uint64 // waited for the place
	Stale     uint64 // answered from memory although expired, since the place can't answer
	Questions uint64 // put to the place
	Errors    uint64 // of those, not answered
	InFlight  int    // being asked now
}

// Status is how the place stands.
type Status struct {
	Entries  int       // answers kept, without those that say unknown
	Unknown  int       // those
	LastGood time.Time // when the place last answered; zero: never
	Err      error     // why it did not, the last time it was asked; nil: it did
}

var errClosed = errors.New("the cache is closed")

// Cache keeps answers. Its methods may be called at any time by anyone; Close ends it.
type Cache[V comparable] struct {
	options Options
	place   Place[V]
	slots   chan struct{} // one for each question that may be in flight
	running sync.WaitGroup

	mu       sync.Mutex // never held while anything is waited for
	known    *simplelru.LRU[string, *entry[V]]
	none     *simplelru.LRU[string, *entry[V]]
	flights  map[string]*flight[V]
	outdated time.Time // answers from before are expired: a change may have been missed
	counters Counters
	lastGood time.Time
	lastErr  error
	failed   string // the last address that was asked for in vain
	failures int    // addresses asked for in vain since the last answer, a repeated one once
	closed   bool
}

// entry is an answer that is kept.
type entry[V any] struct {
	Answer[V]
	changed bool // the place told that it is not true any more
}

// New returns an empty cache. Run it where the place tells of changes, and Close it.
func New[V comparable](o Options, place Place[V]) *Cache[V] {
	if o.Size <= 0 {
		o.Size = defaultSize
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.InFlight <= 0 {
		o.InFlight = defaultInFlight
	}
	c := &Cache[V]{options: o, place: place, slots: make(chan struct{}, o.InFlight), flights: make(map[string]*flight[V])}
	c.known, _ = simplelru.NewLRU[string, *entry[V]](o.Size, nil) // it only refuses sizes below 1
	c.none, _ = simplelru.NewLRU[string, *entry[V]](max(1, o.Size/negativeShare), nil)
	return c
}

// Resolve answers from memory, or asks. An answer older than fresh is asked for again
// though it may not have expired; 0: any will do. It waits no longer than ctx, which ends the wait only: the
// question goes on for others, and for the next time.
//
// Where ctx's time ends before the question's, what is kept serves as it does where the place can't answer: a
// place that hangs is one. A wait that was called off gets nothing.
//
// The error is the place's Unknown, or ctx's, or why the place can't answer, where nothing that is kept may serve.
func (c *Cache[V]) Resolve(ctx context.Context, address string, fresh time.Duration) (Answer[V], error) {
	c.mu.Lock()
	if e := c.serves(address, fresh); e != nil {
		defer c.mu.Unlock()
		return c.told(e)
	}
	c.counters.Misses++
	f, err := c.join(address)
	c.mu.Unlock()
	if err != nil {
		return Answer[V]{}, err
	}
	select {
	case <-f.done:
		return c.landed(address, f)
	case <-ctx.Done():
		c.leave(address, f)
		if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
			return Answer[V]{}, err
		}
		return c.orKept(address, ctx.Err())
	}
}

// serves returns the answer in memory that will do, or nil. The caller holds c.mu.
func (c *Cache[V]) serves(address string, fresh time.Duration) *entry[V] {
	now := time.Now()
	e, ok := c.known.Get(address)
	if !ok {
		if e, ok = c.none.Get(address); !ok {
			return nil
		}
	}
	age := now.Sub(e.At)
	switch {
	case c.valid(e, age) && (fresh <= 0 || age <= fresh):
		c.counters.Hits++
		if !e.Unknown && age >= c.options.TTL-c.options.TTL/refreshShare {
			c.refresh(address)
		}
		return e
	case fresh <= 0 && c.failures >= downAfter && c.mayServe(e, age):
		// The place is down: each session would wait for the question's whole time.
		c.counters.Stale++
		c.refresh(address)
		return e
	}
	return nil
}

func (c *Cache[V]) valid(e *entry[V], age time.Duration) bool {
	ttl := c.options.TTL
	if e.Unknown {
		ttl = c.options.NegativeTTL
	}
	return age < ttl && !e.changed && !e.At.Before(c.outdated)
}

// mayServe tells whether an answer is good enough while the place can't answer. Unknown is not, once expired: a
// mailbox may have been made since, and its client would throw the password away.
func (c *Cache[V]) mayServe(e *entry[V], age time.Duration) bool {
	return c.valid(e, age) || !e.Unknown && !e.changed && age <= c.options.Stale
}

func (c *Cache[V]) told(e *entry[V]) (Answer[V], error) {
	if e.Unknown {
		return e.Answer, c.place.Unknown
	}
	return e.Answer, nil
}

// Peek returns what is kept, expired or not, without asking or counting.
func (c *Cache[V]) Peek(address string) (Answer[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known.Peek(address); ok {
		return e.Answer, true
	}
	if e, ok := c.none.Peek(address); ok {
		return e.Answer, true
	}
	return Answer[V]{}, false
}

// All returns the answers that may be kept over a restart, the longest unused first.
func (c *Cache[V]) All() iter.Seq2[string, Answer[V]] {
	c.mu.Lock()
	addresses := c.known.Keys()
	c.mu.Unlock()
	return func(yield func(string, Answer[V]) bool) {
		for _, address := range addresses {
			c.mu.Lock()
			e, ok := c.known.Peek(address)
			ok = ok && !e.changed
			var answer Answer[V]
			if ok {
				answer = e.Answer
			}
			c.mu.Unlock()
			if ok && !yield(address, answer) {
				return
			}
		}
	}
}

// Restore takes an answer of an earlier run, unless a newer one is there. One from the
// future is none: a clock was wrong, and it would never expire.
func (c *Cache[V]) Restore(address string, answer Answer[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer.At.After(time.Now()) || answer.Unknown || c.known.Contains(address) || c.none.Contains(address) {
		return
	}
	c.known.Add(address, &entry[V]{Answer: answer})
}

// Len tells how many answers are kept, those that say unknown not counted.
func (c *Cache[V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.Len()
}

// Counters tells what happened.
func (c *Cache[V]) Counters() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	counters := c.counters
	counters.InFlight = len(c.slots)
	return counters
}

// Status tells how the place stands.
func (c *Cache[V]) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Status{Entries: c.known.Len(), Unknown: c.none.Len(), LastGood: c.lastGood, Err: c.lastErr}
}
