package cache

import (
	"context"
	"errors"
	"time"
)

// flight is one question and all who wait for its answer.
type flight[V any] struct {
	done   chan struct{} // closed when answer and err are there
	cancel context.CancelFunc

	// Under the cache's lock.
	waiting   int  // sessions
	asking    bool // it holds a slot
	forgotten bool // what it answers may be from before a change, and is not kept

	answer Answer[V]
	err    error
}

// join returns the question for an address, and has it put where nobody did. The caller
// holds c.mu, and leaves where it doesn't wait to the end.
func (c *Cache[V]) join(address string) (*flight[V], error) {
	if c.closed {
		return nil, errClosed
	}
	f := c.flights[address]
	if f == nil {
		f = c.begin(address, false)
	}
	f.waiting++
	return f, nil
}

// refresh puts a question for which nobody waits, where there is room for it: sessions
// that wait go first. The caller holds c.mu.
func (c *Cache[V]) refresh(address string) {
	if c.closed || c.flights[address] != nil {
		return
	}
	select {
	case c.slots <- struct{}{}:
		c.begin(address, true)
	default:
	}
}

func (c *Cache[V]) begin(address string, slot bool) *flight[V] {
	ctx, cancel := context.WithCancel(context.Background()) // of the question, not of a session
	f := &flight[V]{done: make(chan struct{}), cancel: cancel, asking: slot}
	c.flights[address] = f
	c.running.Go(func() { c.fly(ctx, address, f, slot) })
	return f
}

// leave is called by a session that doesn't wait any longer. A question that waits for its
// slot is dropped with the last of them.
func (c *Cache[V]) leave(address string, f *flight[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 && !f.asking {
		f.cancel()
		c.drop(address, f)
	}
}

// drop lets the next session put a question of its own. The caller holds c.mu.
func (c *Cache[V]) drop(address string, f *flight[V]) {
	if c.flights[address] == f {
		delete(c.flights, address)
	}
}

// fly waits for a slot, asks, and keeps the answer.
func (c *Cache[V]) fly(ctx context.Context, address string, f *flight[V], slot bool) {
	defer f.cancel()
	if !slot {
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			c.land(address, f, Answer[V]{}, ctx.Err())
			return
		}
	}
	defer func() { <-c.slots }()
	if !c.asks(ctx, f) {
		c.land(address, f, Answer[V]{}, ctx.Err())
		return
	}
	asking, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	began := time.Now()
	value, err := c.place.Ask(asking, address)
	c.land(address, f, Answer[V]{Value: value, At: began}, err)
}

// asks notes that a flight has its slot, unless it was dropped on the way.
func (c *Cache[V]) asks(ctx context.Context, f *flight[V]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	f.asking = true
	c.counters.Questions++
	return true
}

// land keeps what came of a question and wakes those who wait. One that was called off says nothing
// of the place.
func (c *Cache[V]) land(address string, f *flight[V], answer Answer[V], err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	c.drop(address, f)
	switch {
	case err == nil:
		c.well()
	case errors.Is(err, c.place.Unknown):
		c.well()
		answer, err = Answer[V]{At: answer.At, Unknown: true}, c.place.Unknown
	case c.closed || !f.asking:
	default:
		c.counters.Errors++
		c.lastErr = err
		if c.failures == 0 || c.failed != address {
			c.failures++
			c.failed = address
		}
	}
	f.answer, f.err = answer, err
	if !f.forgotten && (err == nil || answer.Unknown) {
		c.keep(address, answer)
	}
}

// well notes that the place answers. The caller holds c.mu.
func (c *Cache[V]) well() { c.lastGood, c.lastErr, c.failures = time.Now(), nil, 0 }

// keep stores an answer in place of the one before. The caller holds c.mu.
func (c *Cache[V]) keep(address string, answer Answer[V]) {
	before, had := c.known.Peek(address)
	if answer.Unknown {
		c.known.Remove(address)
		if c.options.NegativeTTL > 0 {
			c.none.Add(address, &entry[V]{Answer: answer})
		}
	} else {
		c.none.Remove(address)
		c.known.Add(address, &entry[V]{Answer: answer})
	}
	if had && (answer.Unknown || before.Value != answer.Value) {
		notify(c.place.Moved)
	}
	if had || !answer.Unknown {
		notify(c.place.Stored)
	}
}

func notify(hook func()) {
	if hook != nil {
		hook()
	}
}

// landed returns what came of a question, or what is kept where the place can't answer.
func (c *Cache[V]) landed(address string, f *flight[V]) (Answer[V], error) {
	if f.err == nil || f.answer.Unknown {
		return f.answer, f.err
	}
	return c.orKept(address, f.err)
}

// orKept returns what is kept in place of an error, if that may serve.
func (c *Cache[V]) orKept(address string, err error) (Answer[V], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known.Peek(address)
	if ok && c.mayServe(e, time.Since(e.At)) {
		c.counters.Stale++
		return e.Answer, nil
	}
	return Answer[V]{}, err
}
