package limits

import (
	"errors"
	"net/netip"
	"sync"
)

// Why there is no seat.
var (
	ErrTotal   = errors.New("too many sessions")
	ErrAddress = errors.New("too many sessions from this address")
	ErrNetwork = errors.New("too many sessions from this network")
	ErrMailbox = errors.New("too many sessions of this mailbox")
)

// Census counts the sessions that are open: in total, per address, per network
// and per mailbox. Without it one broken mail program, or one stranger, takes all the
// descriptors there are. It holds entries only for what has a session, so it
// is bounded by the total.
type Census struct {
	mu        sync.Mutex
	total     int
	addresses tally[netip.Addr]
	networks  tally[netip.Prefix]
	mailboxes tally[string]
}

// NewCensus returns a census of nobody.
func NewCensus() *Census {
	return &Census{
		addresses: make(tally[netip.Addr]),
		networks:  make(tally[netip.Prefix]),
		mailboxes: make(tally[string]),
	}
}

// Seat is a session's place in the census.
type Seat struct {
	census  *Census
	rules   *Rules
	place   place
	mailbox string // "": none
	left    bool
}

// Enter takes a seat, or says why there is none: [ErrTotal], [ErrAddress] or
// [ErrNetwork]. An address that isn't valid counts in the total only: so a proxy's
// connection enters before its header was read, and moves afterwards.
func (c *Census) Enter(addr netip.Addr, rules *Rules) (*Seat, error) {
	where := rules.place(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.room(where, rules); err != nil {
		return nil, err
	}
	c.add(where, 1)
	return &Seat{census: c, rules: rules, place: where}, nil
}

// Sessions tells how many are counted.
func (c *Census) Sessions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

func (c *Census) room(where place, rules *Rules) error {
	switch {
	case where.exempt:
		return nil
	case where.network.IsValid() && full(c.networks[where.network], where.most):
		return ErrNetwork
	case where.address.IsValid() && full(c.addresses[where.address], where.most):
		return ErrAddress
	case full(c.total, rules.Sessions): // last: others give way to a newcomer for this one only
		return ErrTotal
	}
	return nil
}

func (c *Census) add(where place, n int) {
	if where.exempt {
		return
	}
	c.total += n
	switch {
	case where.network.IsValid():
		c.networks.add(where.network, n)
	case where.address.IsValid():
		c.addresses.add(where.address, n)
	}
}

// Move counts the session at another address from now on: the true client's, which a PROXY
// header named. If there is no room the seat stays as it was and the session ends; the
// error is one of Enter's.
func (s *Seat) Move(addr netip.Addr) error {
	c, next := s.census, s.rules.place(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.left {
		return nil
	}
	c.add(s.place, -1)
	err := c.room(next, s.rules)
	if err == nil {
		s.place = next
	}
	c.add(s.place, 1)
	return err
}

// EnterMailbox counts the session's login to a mailbox, until the seat is given back
// or leaves the mailbox; the error is [ErrMailbox]. Backends have few
// processes, and a mail program that forgets to QUIT would take them all.
func (s *Seat) EnterMailbox(mailbox string) error {
	c := s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	s.leaveMailbox()
	switch {
	case s.left || s.place.exempt || mailbox == "":
		return nil
	case full(c.mailboxes[mailbox], s.rules.PerMailbox):
		return ErrMailbox
	}
	c.mailboxes.add(mailbox, 1)
	s.mailbox = mailbox
	return nil
}

// LeaveMailbox takes EnterMailbox back: nothing came of the login.
func (s *Seat) LeaveMailbox() {
	s.census.mu.Lock()
	defer s.census.mu.Unlock()
	s.leaveMailbox()
}

func (s *Seat) leaveMailbox() {
	if s.mailbox != "" {
		s.census.mailboxes.add(s.mailbox, -1)
		s.mailbox = ""
	}
}

// Leave gives the seat back, at once and once: who leaves again does nothing. So
// whoever ends a session from outside may leave for it, to seat the next.
func (s *Seat) Leave() {
	s.census.mu.Lock()
	defer s.census.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	s.leaveMailbox()
	s.census.add(s.place, -1)
}

// tally counts, and forgets what is at none.
type tally[K comparable] map[K]int

func (t tally[K]) add(key K, n int) {
	if t[key] += n; t[key] == 0 {
		delete(t, key)
	}
}

func full(count, most int) bool { return most > 0 && count >= most }
