package ldap

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxAge is how long a connection is kept, so that questions return to the first server some time after it came back.
const maxAge = 10 * time.Minute

var errClosed = errors.New("the source is closed")

// pool keeps connections that were good at their last use. Whether one still is shows when it is used.
type pool struct {
	dialer *dialer
	places chan struct{} // one in it for each question on its way

	mu     sync.Mutex
	closed bool
	idle   []*conn
	asking map[*question]struct{}
}

// question is one that is on its way.
type question struct{ cancel context.CancelFunc }

func newPool(d *dialer, size int) *pool {
	return &pool{dialer: d, places: make(chan struct{}, size), asking: make(map[*question]struct{})}
}

// begin waits for a place. The caller calls end.
func (p *pool) begin(ctx context.Context) (end func(), within context.Context, err error) {
	within, cancel := context.WithCancel(ctx)
	q := &question{cancel}
	if !p.note(q) {
		cancel()
		return nil, nil, errClosed
	}
	select {
	case p.places <- struct{}{}:
		return func() { p.forget(q); <-p.places }, within, nil
	case <-within.Done():
		p.forget(q)
		return nil, nil, within.Err()
	}
}

func (p *pool) note(q *question) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.asking[q] = struct{}{}
	}
	return !p.closed
}

func (p *pool) forget(q *question) {
	q.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.asking, q)
}

// kept returns the connection that was used last, or nil. The caller gives it back or closes it.
func (p *pool) kept() *conn {
	for {
		c := p.pop()
		if c == nil || !c.isSpent() && time.Since(c.born) < maxAge {
			return c
		}
		c.close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

// give takes a connection back. The pool closes it from then on.
func (p *pool) give(c *conn) {
	if c.isSpent() || !p.push(c) {
		c.close()
	}
}

func (p *pool) push(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.idle = append(p.idle, c)
	}
	return !p.closed
}

// close ends all questions and all connections, and returns when they have ended.
func (p *pool) close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	for q := range p.asking {
		q.cancel()
	}
	p.mu.Unlock()
	if !first {
		return
	}
	for range cap(p.places) {
		p.places <- struct{}{}
	}
	for c := p.pop(); c != nil; c = p.pop() {
		c.close()
	}
}
