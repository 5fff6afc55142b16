package cache

import (
	"context"
	"math/rand/v2"
	"time"
)

// How long a place that could not be listened to is left alone.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// Forget drops what is kept of an address, and tells whether there was anything. Nothing of it serves any
// more, not even while the place can't answer.
func (c *Cache[V]) Forget(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disown(address)
	known, none := c.known.Remove(address), c.none.Remove(address)
	if known {
		notify(c.place.Stored)
	}
	return known || none
}

// ForgetAll drops everything and tells how many answers that were.
func (c *Cache[V]) ForgetAll() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address := range c.flights {
		c.disown(address)
	}
	n := c.known.Len() + c.none.Len()
	c.known.Purge()
	c.none.Purge()
	notify(c.place.Stored)
	return n
}

// disown makes a question in flight one whose answer is not kept and which nobody joins: it may have been
// answered before the change. The caller holds c.mu.
func (c *Cache[V]) disown(address string) {
	if f := c.flights[address]; f != nil {
		f.forgotten = true
		delete(c.flights, address)
	}
}

// heard takes what the place tells of changes. An answer that changed serves no more, but stays as what is
// known to have been, and is asked for at once where there is room: live sessions may have to end. The
// empty address says that changes may have been missed. Everything is asked for again then,
// but may serve while the place can't answer: a lost connection is how an outage begins.
func (c *Cache[V]) heard(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if address == "" {
		c.outdated = time.Now()
		return
	}
	c.disown(address)
	c.none.Remove(address)
	if e, ok := c.known.Peek(address); ok {
		e.changed = true
		notify(c.place.Stored)
		c.refresh(address)
	}
}

// Run listens to the place until ctx is done, or for as long as it tells anything.
func (c *Cache[V]) Run(ctx context.Context) {
	if c.place.Listen == nil {
		return
	}
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		began := time.Now()
		if err := c.place.Listen(ctx, c.heard); err == nil {
			return
		}
		if time.Since(began) > maxPause {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): // many gateways must not come back as one
		}
	}
}

// Close calls off what is being asked and returns when nothing is left of it. What is kept
// still serves; nothing is asked any more.
func (c *Cache[V]) Close() {
	c.mu.Lock()
	c.closed = true
	for _, f := range c.flights {
		f.cancel()
	}
	c.mu.Unlock()
	c.running.Wait()
}
