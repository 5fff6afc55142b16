package limits

import (
	"net/netip"
	"sync"
	"time"
)

const intervalSlots = 1 << 18

// Intervals keeps a user from logging in again too soon (LOGIN-DELAY, RFC 2449,
// section 6.5): a mail program set to poll each few seconds makes an old server read a
// whole maildrop each time. It counts the pair of address and mailbox, so that a
// phone doesn't lock out the desk. It remembers 262,144 pairs (2 MiB).
type Intervals struct {
	hasher hasher
	mu     sync.Mutex
	logins table[struct{}]
}

// NewIntervals returns one that has seen no login.
func NewIntervals() *Intervals {
	return &Intervals{hasher: newHasher(), logins: table[struct{}]{size: intervalSlots}}
}

// Allow tells whether a login comes late enough after the last one that was
// allowed, and remembers it if so: who tries too often is not put off for ever. It
// is the last thing to ask, of a login that would succeed otherwise; only
// who has the password may learn of it. Times are whole seconds, as the RFC's are;
// an interval of 0 is no limit.
func (i *Intervals) Allow(now time.Time, addr netip.Addr, mailbox string, interval time.Duration) bool {
	if interval <= 0 {
		return true
	}
	key := i.hasher.pair(addr, mailbox)
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.logins.claim(key, key)
	if s.used != 0 && s.age(now) < interval {
		return false
	}
	s.touch(now)
	return true
}
