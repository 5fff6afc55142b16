package consul

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// rest is the least time between two answers to one query, good ones too: a busy key would
	// otherwise be read as often as it is written.
	rest = 40 * time.Millisecond
	// throughput is how many octets a second all queries together may move in the long run, and
	// burst the time by which they may be ahead of that.
	throughput = 32 << 20
	burst      = 500 * time.Millisecond

	firstPause = 250 * time.Millisecond
	maxPause   = 10 * time.Second
)

// pace spreads the answers of all queries of a source.
type pace struct {
	mu   sync.Mutex
	next time.Time // when everything that was taken would have come at throughput
}

// take says how long to rest after an answer of so many octets.
func (p *pace) take(size int, now time.Time) time.Duration {
	cost := time.Duration(size) * time.Second / throughput
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(cost)
	return rest + rand.N(rest/4) + max(0, p.next.Sub(now)-burst)
}

// pause is a growing pause after failures. Many gateways must not come back as one.
type pause struct{ length time.Duration }

func (p *pause) after(failed bool) time.Duration {
	if !failed {
		p.length = 0
		return 0
	}
	p.length = min(max(2*p.length, firstPause), maxPause)
	return p.length/2 + rand.N(p.length)
}

// sleep waits, and tells whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
