package limits

import (
	"net/netip"
	"sync"
	"time"
)

const rateSlots = 1 << 16

// Rate limits how often an address may connect. Who connects, is refused and
// connects again at once never has many sessions open, but costs a handshake each time.
//
// It is a token bucket for each address: it holds a minute's connections, so that
// a mail program with many accounts may open them all at once, and fills evenly. 65,536
// addresses are remembered (1 MiB); one that was pushed out starts with a full bucket.
type Rate struct {
	hasher  hasher
	mu      sync.Mutex
	buckets table[fullAt]
}

// fullAt is when a bucket will be full again, if nobody connects: all there is to
// know about a token bucket, in Unix nanoseconds.
type fullAt int64

// NewRate returns one to which all addresses are new.
func NewRate() *Rate {
	return &Rate{hasher: newHasher(), buckets: table[fullAt]{size: rateSlots}}
}

// Allow counts a new connection, and tells whether the address may have it. The one that is
// refused takes nothing from the bucket. 0 a minute is no limit, as is an address
// that isn't valid.
func (r *Rate) Allow(now time.Time, addr netip.Addr, perMinute int) bool {
	if perMinute <= 0 || !addr.IsValid() {
		return true
	}
	each := time.Minute / time.Duration(perMinute)
	key := r.hasher.address(addr)
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.buckets.claim(key, key)
	s.touch(now)
	missing := time.Duration(int64(s.value) - now.UnixNano()) // until the bucket is full
	if missing < 0 || missing > time.Minute {                 // it is, or the clock was set back
		missing = 0
	}
	if missing > time.Minute-each {
		return false
	}
	s.value = fullAt(now.Add(missing + each).UnixNano())
	return true
}
