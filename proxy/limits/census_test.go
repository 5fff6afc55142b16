package limits

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
)

func prefixes(text ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, t := range text {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

// arrival is a client that comes and stays.
type arrival struct {
	addr string // "": not valid
	want error
}

func (a arrival) address() netip.Addr {
	if a.addr == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(a.addr)
}

func TestCensusRefusals(t *testing.T) {
	webmail := Network{Networks: prefixes("198.51.100.0/24", "2001:db8:cafe::/48"), Sessions: 3}
	for _, tt := range []struct {
		name     string
		rules    Rules
		arrivals []arrival
		total    int
	}{
		{"no limits", Rules{}, []arrival{{"192.0.2.1", nil}, {"192.0.2.1", nil}}, 2},
		{"total", Rules{Sessions: 2}, []arrival{
			{"192.0.2.1", nil}, {"", nil}, {"192.0.2.3", ErrTotal}, {"", ErrTotal},
		}, 2},
		{"units of an address", Rules{PerAddress: 1}, []arrival{
			{"192.0.2.1", nil},
			{"192.0.2.1", ErrAddress},
			{"::ffff:192.0.2.1", ErrAddress},
			{"192.0.2.2", nil},
			{"2001:db8::1", nil},
			{"2001:db8::ffff", ErrAddress},   // the same /64
			{"2001:db8::1%eth0", ErrAddress}, // a zone is no other customer
			{"2001:db8:0:1::1", nil},
			{"::1", nil}, {"::1", ErrAddress},
			{"", nil}, {"", nil}, // in the total only
		}, 7},
		{"the total is told last", Rules{Sessions: 1, PerAddress: 1}, []arrival{
			{"192.0.2.1", nil}, {"192.0.2.1", ErrAddress}, {"192.0.2.2", ErrTotal},
		}, 1},
		{"a network counts together", Rules{PerAddress: 1, PerNetwork: []Network{webmail}}, []arrival{
			{"198.51.100.1", nil}, {"198.51.100.1", nil}, {"2001:db8:cafe::1", nil},
			{"198.51.100.2", ErrNetwork}, {"::ffff:198.51.100.3", ErrNetwork}, {"2001:db8:cafe:1::1", ErrNetwork},
			{"198.51.101.1", nil}, {"198.51.101.1", ErrAddress},
		}, 4},
		{"the first network wins", Rules{PerNetwork: []Network{
			{prefixes("198.51.100.128/25"), 1}, webmail,
		}}, []arrival{
			{"198.51.100.128", nil}, {"198.51.100.129", ErrNetwork},
			{"198.51.100.1", nil}, {"198.51.100.2", nil}, {"198.51.100.3", nil}, {"198.51.100.4", ErrNetwork},
		}, 4},
		{"a network without limit", Rules{PerAddress: 1, PerNetwork: []Network{{prefixes("198.51.100.0/24"), 0}}},
			[]arrival{{"198.51.100.1", nil}, {"198.51.100.1", nil}}, 2},
		{"exempt", Rules{Sessions: 1, PerAddress: 1, PerNetwork: []Network{webmail}, Exempt: prefixes("198.51.100.7/32")}, []arrival{
			{"198.51.100.7", nil}, {"::ffff:198.51.100.7", nil}, {"192.0.2.1", nil},
			{"192.0.2.2", ErrTotal}, {"198.51.100.7", nil},
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewCensus()
			for i, a := range tt.arrivals {
				seat, err := c.Enter(a.address(), &tt.rules)
				if !errors.Is(err, a.want) || (err == nil) != (seat != nil) {
					t.Errorf("%d, %s: %v, %v, want %v", i, a.addr, seat, err, a.want)
				}
			}
			if c.Sessions() != tt.total {
				t.Errorf("%d are counted, want %d: a refusal takes no seat", c.Sessions(), tt.total)
			}
		})
	}
}

// empty fails the test if anything is left in the census.
func empty(t *testing.T, c *Census) {
	t.Helper()
	if c.total != 0 || len(c.addresses) != 0 || len(c.networks) != 0 || len(c.mailboxes) != 0 {
		t.Errorf("left: %d sessions, %v, %v, %v", c.total, c.addresses, c.networks, c.mailboxes)
	}
}

func enter(t *testing.T, c *Census, addr string, rules *Rules) *Seat {
	t.Helper()
	seat, err := c.Enter(arrival{addr: addr}.address(), rules)
	if err != nil {
		t.Fatal(err)
	}
	return seat
}

func TestSeatMove(t *testing.T) {
	rules := &Rules{
		Sessions: 3, PerAddress: 1, Exempt: prefixes("192.0.2.9/32"),
		PerNetwork: []Network{{prefixes("198.51.100.0/24"), 1}},
	}
	for _, tt := range []struct {
		from, to string
		want     error
		free     string // has room for one afterwards
		total    int    // before that one
	}{
		{"", "192.0.2.2", nil, "192.0.2.3", 2},
		{"192.0.2.2", "192.0.2.3", nil, "192.0.2.2", 2},
		{"192.0.2.2", "192.0.2.2", nil, "192.0.2.3", 2},
		{"192.0.2.2", "::ffff:192.0.2.2", nil, "192.0.2.3", 2},
		{"", "192.0.2.1", ErrAddress, "192.0.2.2", 2},
		{"192.0.2.2", "192.0.2.1", ErrAddress, "192.0.2.3", 2},
		{"192.0.2.2", "198.51.100.1", nil, "192.0.2.2", 2},
		{"198.51.100.1", "192.0.2.2", nil, "198.51.100.2", 2},
		{"198.51.100.1", "198.51.100.2", nil, "192.0.2.2", 2},
		{"192.0.2.2", "192.0.2.9", nil, "192.0.2.2", 1},
		{"192.0.2.9", "192.0.2.2", nil, "192.0.2.3", 2},
	} {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			c := NewCensus()
			other := enter(t, c, "192.0.2.1", rules)
			seat := enter(t, c, tt.from, rules)
			if err := seat.Move(netip.MustParseAddr(tt.to)); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if c.Sessions() != tt.total {
				t.Errorf("%d are counted, want %d", c.Sessions(), tt.total)
			}
			third := enter(t, c, tt.free, rules)
			for _, s := range []*Seat{other, seat, third} {
				s.Leave()
			}
			if err := seat.Move(netip.MustParseAddr("192.0.2.5")); err != nil {
				t.Errorf("moving after leaving: %v", err)
			}
			empty(t, c)
		})
	}
}

// A session from an exempt address that turns out to be a stranger's needs a seat like any.
func TestSeatMoveIntoFullHouse(t *testing.T) {
	c, rules := NewCensus(), &Rules{Sessions: 1, Exempt: prefixes("192.0.2.9/32")}
	inside := enter(t, c, "192.0.2.1", rules)
	probe := enter(t, c, "192.0.2.9", rules)
	if err := probe.Move(netip.MustParseAddr("192.0.2.2")); !errors.Is(err, ErrTotal) {
		t.Errorf("%v, want %v", err, ErrTotal)
	}
	if err := inside.Move(netip.MustParseAddr("192.0.2.2")); err != nil {
		t.Errorf("who is inside may move: %v", err)
	}
	probe.Leave()
	inside.Leave()
	empty(t, c)
}

func TestSeatMailbox(t *testing.T) {
	c, rules := NewCensus(), &Rules{PerMailbox: 2, Exempt: prefixes("192.0.2.9/32")}
	login := func(s *Seat, mailbox string, want error) {
		t.Helper()
		if err := s.EnterMailbox(mailbox); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", mailbox, err, want)
		}
	}
	var seats [4]*Seat
	for i := range seats {
		seats[i] = enter(t, c, "192.0.2.1", rules)
	}
	login(seats[0], "alice@example.com", nil)
	login(seats[0], "alice@example.com", nil) // again: still one
	login(seats[1], "alice@example.com", nil)
	login(seats[2], "alice@example.com", ErrMailbox)
	login(seats[2], "bob@example.com", nil)
	seats[1].LeaveMailbox() // the backend refused it
	seats[1].LeaveMailbox()
	login(seats[3], "alice@example.com", nil)
	login(seats[1], "alice@example.com", ErrMailbox)
	seats[0].Leave()
	login(seats[0], "alice@example.com", nil) // a session that is over counts nowhere
	login(seats[1], "alice@example.com", nil)
	probe := enter(t, c, "192.0.2.9", rules)
	login(probe, "alice@example.com", nil)
	if c.mailboxes["alice@example.com"] != 2 || c.mailboxes["bob@example.com"] != 1 {
		t.Errorf("%v", c.mailboxes)
	}
	for range 2 { // who leaves again does nothing
		probe.Leave()
		for _, s := range seats {
			s.Leave()
		}
	}
	empty(t, c)
}

// A session lives by the rules it came under, and leaves where it was counted.
func TestCensusAcrossReload(t *testing.T) {
	c := NewCensus()
	before := &Rules{PerAddress: 1, PerNetwork: []Network{{prefixes("198.51.100.0/24"), 1}}}
	after := &Rules{PerAddress: 2, Exempt: prefixes("192.0.2.0/24"), PerNetwork: []Network{
		{prefixes("203.0.113.0/24"), 1}, {prefixes("198.51.100.0/24", "198.51.101.0/24"), 2},
	}}
	seats := []*Seat{
		enter(t, c, "192.0.2.1", before), enter(t, c, "198.51.100.1", before),
		enter(t, c, "192.0.2.1", after), enter(t, c, "198.51.101.1", after), enter(t, c, "203.0.113.1", after),
	}
	if _, err := c.Enter(netip.MustParseAddr("198.51.100.2"), after); !errors.Is(err, ErrNetwork) {
		t.Errorf("%v: the network's count is lost", err)
	}
	for _, s := range seats {
		s.Leave()
	}
	empty(t, c)
}

func TestCensusAtOnce(t *testing.T) {
	const most = 20
	c := NewCensus()
	rules := &Rules{Sessions: most, PerAddress: most / 2, PerMailbox: most / 4}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				seat, err := c.Enter(address(i%3), rules)
				if err != nil {
					continue
				}
				_ = seat.Move(address(n % 2))
				_ = seat.EnterMailbox("alice@example.com")
				if got := c.Sessions(); got > most {
					t.Errorf("%d sessions", got)
				}
				seat.Leave()
				seat.Leave()
			}
		})
	}
	wg.Wait()
	empty(t, c)
}
