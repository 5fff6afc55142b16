package proxy

import (
	"errors"
	"net/netip"
	"sync"
)

var (
	errTooMany         = errors.New("too many sessions")
	errTooManyFromHere = errors.New("too many sessions from this address")
)

// census counts the sessions that are open, in total and for each address. It
// holds one entry for each address that has a session, so it is bounded by the total.
type census struct {
	mu        sync.Mutex
	total     int
	addresses map[netip.Addr]int
}

func newCensus() *census { return &census{addresses: make(map[netip.Addr]int)} }

// seat is a place in the census. It is given back by leave, once.
type seat struct {
	census *census
	key    netip.Addr // not valid: not counted per address
}

// enter takes a place, or says why there is none.
func (c *census) enter(addr netip.Addr, set *Settings) (seat, error) {
	key := addressKey(addr)
	counted := set.SessionsPerAddress > 0 && key.IsValid() && !contains(set.Exempt, addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.total >= set.Sessions:
		return seat{}, errTooMany
	case counted && c.addresses[key] >= set.SessionsPerAddress:
		return seat{}, errTooManyFromHere
	}
	c.total++
	if !counted {
		return seat{census: c}, nil
	}
	c.addresses[key]++
	return seat{census: c, key: key}, nil
}

func (s seat) leave() {
	c := s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if !s.key.IsValid() {
		return
	}
	if c.addresses[s.key]--; c.addresses[s.key] == 0 {
		delete(c.addresses, s.key)
	}
}

// addressKey is the unit that limits per address count: one IPv4 address, or the
// /64 that one IPv6 customer has for himself.
func addressKey(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is4() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
