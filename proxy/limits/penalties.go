package limits

import (
	"math/bits"
	"net/netip"
	"sync"
	"time"
)

// How fast penalties grow and are forgotten.
const (
	freeFailures = 2                // of a pair of address and mailbox
	mostFailures = 16               // that count, so that a pair is free again in an hour at most
	forgiving    = 15 * time.Minute // without a failure halves a pair's count
	freeNames    = 4                // different mailboxes that fail from one address
	longest      = time.Minute      // of extra delay: mail programs give up at about that
	acquainted   = 30 * 24 * time.Hour
)

const (
	pairSlots     = 1 << 16
	addressSlots  = 1 << 16
	acquaintances = 1 << 20
)

// Penalties make the refusal of a login wait longer the more logins failed before
// it. Three kinds of clients are to be told apart:
//
//   - Who guesses one mailbox's password: the pair of his address and the mailbox's name
//     has failures. Two are free; with the third an extra delay begins, and then doubles.
//     (Who asks before he counts a failure, as package proxy does, makes one more free.)
//   - Who tries one password on many mailboxes: from his address different names fail.
//     Four are free; then each doubling of their number doubles the delay. Only
//     different names count: one old phone with last year's password must not punish
//     everybody else behind the same NAT.
//   - Whose pair logged in within 30 days, and mistypes now, or changed the password
//     on one of his devices. He never waits longer, and his failures count for nobody.
//     (That tells a guesser at the same address which mailboxes log in from there, and nobody else.)
//
// A name counts in the same way whether the mailbox exists or not, else the delay
// would tell. The extra delay is a number of multiples of failure_delay, because each
// refusal falls on one (see proxy's pace). A failure counts when the verdict is known,
// so hanging up before hearing it avoids nothing.
//
// All of it is 13.75 MiB under any flood, taken with the first logins: 65,536 pairs with
// failures (0.75 MiB), 65,536 addresses (5 MiB), 1,048,576 pairs that logged in (8 MiB, 8 octets
// each). A flood of failures pushes failures out of memory, but no pair that logged
// in; only logins do that, see keys.
type Penalties struct {
	hasher    hasher
	mu        sync.Mutex
	pairs     table[failures]
	addresses table[names]
	known     table[struct{}]
}

// failures is how often a pair failed; its slot was last used at the last failure.
type failures uint32

// NewPenalties returns one that has seen no login.
func NewPenalties() *Penalties {
	return &Penalties{
		hasher:    newHasher(),
		pairs:     table[failures]{size: pairSlots},
		addresses: table[names]{size: addressSlots},
		known:     table[struct{}]{size: acquaintances},
	}
}

// keys are the hashes of one login. place is the bucket of a pair that logged in: the
// mailbox's, so that somebody with one mailbox and a million addresses
// can push out of memory only what is in his own bucket.
type keys struct{ pair, address, place uint64 }

func (p *Penalties) keys(addr netip.Addr, name string) keys {
	return keys{pair: p.hasher.pair(addr, name), address: p.hasher.address(addr), place: p.hasher.name(name)}
}

// Failed counts a login that is refused with [AUTH]. The name is the canonical one,
// if there is one, else what was typed: alice and ALICE are one mailbox to guess.
func (p *Penalties) Failed(now time.Time, addr netip.Addr, name string) {
	k := p.keys(addr, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.knows(now, k) {
		return
	}
	s := p.pairs.claim(k.pair, k.pair)
	s.value = min(remaining(s, now)+1, mostFailures)
	s.touch(now)
	if addr.IsValid() {
		s := p.addresses.claim(k.address, k.address)
		s.value.add(now, k.place)
		s.touch(now)
	}
}

// Succeeded notes a login whose password a backend accepted. The pair's failures are
// left to time: for 30 days they make no difference.
func (p *Penalties) Succeeded(now time.Time, addr netip.Addr, name string) {
	k := p.keys(addr, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.claim(k.place, k.pair).touch(now)
}

// Extra tells by how many multiples of the delay a refusal comes later than it
// would otherwise, failures counted so far included. At most that is a minute.
func (p *Penalties) Extra(now time.Time, addr netip.Addr, name string, delay time.Duration) int {
	if delay <= 0 {
		return 0
	}
	k := p.keys(addr, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.knows(now, k) {
		return 0
	}
	extra := 0
	if s := p.pairs.find(k.pair, k.pair); s != nil {
		extra = doubled(int(remaining(s, now)) - freeFailures)
	}
	if s := p.addresses.find(k.address, k.address); s != nil {
		extra = max(extra, doubled(bits.Len(uint(s.value.count(now)/(freeNames+1)))))
	}
	return min(extra, int(longest/delay))
}

func (p *Penalties) knows(now time.Time, k keys) bool {
	s := p.known.find(k.place, k.pair)
	return s != nil && s.age(now) < acquainted
}

// remaining is what time has left of a pair's failures.
func remaining(s *slot[failures], now time.Time) failures {
	return s.value >> min(uint(s.age(now)/forgiving), 31)
}

// doubled is 1, 2, 4, 8 and so on for 1, 2, 3, 4; 0 for what is free.
func doubled(n int) int {
	if n <= 0 {
		return 0
	}
	return 1 << min(n-1, 20)
}
