package limits

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

const (
	alice = "alice@example.com"
	delay = 3 * time.Second
)

// fails counts n failures of one pair and returns what its next refusal waits for.
func fails(p *Penalties, now time.Time, addr netip.Addr, name string, n int) int {
	for range n {
		p.Failed(now, addr, name)
	}
	return p.Extra(now, addr, name, delay)
}

// spray fails n different mailboxes from one address.
func spray(p *Penalties, now time.Time, addr netip.Addr, first, n int) {
	for i := range n {
		p.Failed(now, addr, fmt.Sprintf("user%d@example.com", first+i))
	}
}

func TestPenaltyOfPairGrows(t *testing.T) {
	for _, tt := range []struct {
		delay time.Duration
		want  []int // after 0, 1, 2 failures and so on
	}{
		{3 * time.Second, []int{0, 0, 0, 1, 2, 4, 8, 16, 20, 20, 20, 20}}, // 20 are a minute
		{time.Second, []int{0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60}},
		{7 * time.Second, []int{0, 0, 0, 1, 2, 4, 8, 8}},
		{time.Minute, []int{0, 0, 0, 1, 1}},
		{2 * time.Minute, []int{0, 0, 0, 0, 0}},
		{0, []int{0, 0, 0, 0, 0}},
		{-time.Second, []int{0, 0, 0, 0, 0}},
	} {
		t.Run(tt.delay.String(), func(t *testing.T) {
			p := NewPenalties()
			var got []int
			for range tt.want {
				got = append(got, p.Extra(start, address(1), alice, tt.delay))
				p.Failed(start, address(1), alice)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestPenaltyOfPairIsItsOwn(t *testing.T) {
	p := NewPenalties()
	if got := fails(p, start, netip.MustParseAddr("2001:db8::1"), alice, 4); got != 2 {
		t.Errorf("%d after 4 failures, want 2", got)
	}
	for _, tt := range []struct {
		addr, name string
		want       int
	}{
		{"2001:db8::1", alice, 2},
		{"2001:db8::2", alice, 2}, // his other addresses
		{"2001:db8::1%eth0", alice, 2},
		{"2001:db8:0:1::1", alice, 0},
		{"192.0.2.1", alice, 0},
		{"2001:db8::1", "bob@example.com", 0},
		{"2001:db8::1", "", 0},
	} {
		if got := p.Extra(start, netip.MustParseAddr(tt.addr), tt.name, delay); got != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.addr, tt.name, got, tt.want)
		}
	}
	if got := fails(p, start, netip.Addr{}, alice, 4); got != 2 {
		t.Errorf("a client without an address: %d, want 2", got)
	}
}

func TestPenaltyOfPairIsForgiven(t *testing.T) {
	for _, tt := range []struct {
		failures int
		after    time.Duration
		want     int
	}{
		{6, 0, 8},
		{6, 15*time.Minute - time.Second, 8},
		{6, 15 * time.Minute, 1}, // 3 are left
		{6, 30 * time.Minute, 0},
		{1000, 15 * time.Minute, 20},
		{1000, 30 * time.Minute, 2},
		{1000, 45 * time.Minute, 0},
		{1000, 10000 * time.Hour, 0},
		{6, -30 * time.Minute, 0}, // a clock that was set back doesn't lock up anybody
	} {
		p := NewPenalties()
		fails(p, start, address(1), alice, tt.failures)
		if got := p.Extra(start.Add(tt.after), address(1), alice, delay); got != tt.want {
			t.Errorf("%d failures, %v later: %d, want %d", tt.failures, tt.after, got, tt.want)
		}
	}
	p := NewPenalties()
	fails(p, start, address(1), alice, 6)
	if got := fails(p, start.Add(15*time.Minute), address(1), alice, 1); got != 2 {
		t.Errorf("%d after the 4th failure, want 2: forgiving is lost", got)
	}
}

func TestPenaltyOfSpraying(t *testing.T) {
	for _, tt := range []struct{ names, least, most int }{
		{0, 0, 0}, {1, 0, 0}, {4, 0, 0},
		{6, 0, 1}, // two names in 256 may share a bit
		{8, 1, 1}, {14, 1, 2}, {17, 2, 2}, {30, 4, 4}, {60, 8, 8}, {125, 8, 16}, {1000, 20, 20}, {100_000, 20, 20},
	} {
		p := NewPenalties()
		spray(p, start, address(1), 0, tt.names)
		got := p.Extra(start, address(1), "never tried", delay)
		if got < tt.least || got > tt.most {
			t.Errorf("%d names: %d, want %d to %d", tt.names, got, tt.least, tt.most)
		}
		if other := p.Extra(start, address(2), "never tried", delay); other != 0 {
			t.Errorf("%d names: %d for another address", tt.names, other)
		}
	}
}

// One old phone with last year's password polls all night, and everybody else behind
// the same NAT is refused as always.
func TestPenaltySparesNeighbours(t *testing.T) {
	p := NewPenalties()
	if got := fails(p, start, address(1), alice, 10_000); got != 20 {
		t.Errorf("the phone itself: %d, want 20", got)
	}
	for _, name := range []string{"bob@example.com", "ALICE@EXAMPLE.COM"} {
		if got := p.Extra(start, address(1), name, delay); got != 0 {
			t.Errorf("%s: %d, want 0", name, got)
		}
	}
}

func TestPenaltyOfSprayingIsForgotten(t *testing.T) {
	p := NewPenalties()
	spray(p, start, address(1), 0, 60)
	at := func(after time.Duration) int { return p.Extra(start.Add(after), address(1), "x", delay) }
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 8}, {59 * time.Minute, 8}, {time.Hour, 8}, {119 * time.Minute, 8}, {2 * time.Hour, 0}} {
		if got := at(tt.after); got != tt.want {
			t.Errorf("%v later: %d, want %d", tt.after, got, tt.want)
		}
	}
	// Slow spraying, 30 names an hour, is seen as long as it lasts, and not longer.
	for hour := range 10 {
		spray(p, start.Add(time.Duration(10+hour)*time.Hour), address(1), 100*hour, 30)
	}
	if got := at(19 * time.Hour); got != 8 {
		t.Errorf("slow spraying: %d, want 8", got)
	}
	if got := at(21 * time.Hour); got != 0 {
		t.Errorf("two hours after slow spraying: %d, want 0", got)
	}
}

func TestPenaltyNeverForWhoLoggedIn(t *testing.T) {
	const month = 30 * 24 * time.Hour
	p := NewPenalties()
	fails(p, start, address(1), alice, 5)
	p.Succeeded(start, address(1), alice)
	if got := fails(p, start, address(1), alice, 100); got != 0 {
		t.Errorf("%d after the login, want 0", got)
	}
	spray(p, start, address(1), 0, 100)
	if got := p.Extra(start, address(1), alice, delay); got != 0 {
		t.Errorf("%d when others spray from the same NAT, want 0", got)
	}
	if got := fails(p, start, address(2), alice, 4); got != 2 {
		t.Errorf("%d for who guesses elsewhere, want 2", got)
	}
	late := start.Add(month - time.Second)
	if got := fails(p, late, address(1), alice, 100); got != 0 {
		t.Errorf("%d within 30 days, want 0", got)
	}
	p.Succeeded(late, address(1), alice) // each login begins the 30 days anew
	if got := fails(p, late.Add(month-time.Second), address(1), alice, 100); got != 0 {
		t.Errorf("%d within 30 days of the last login, want 0", got)
	}
	if got := fails(p, late.Add(month), address(1), alice, 4); got != 2 {
		t.Errorf("%d after 30 days, want 2", got)
	}
}

// People who mistype behind a NAT are no spraying if all of them logged in from there.
func TestPenaltyOfAddressIgnoresKnownUsers(t *testing.T) {
	p := NewPenalties()
	for i := range 100 {
		p.Succeeded(start, address(1), fmt.Sprintf("user%d@example.com", i))
	}
	spray(p, start, address(1), 0, 100)
	if got := p.Extra(start, address(1), "a new colleague", delay); got != 0 {
		t.Errorf("%d, want 0", got)
	}
}

// Somebody with a mailbox and as many addresses as he likes logs in from all of them, to
// push everybody else out of memory. That meets one bucket of 65,536.
func TestPenaltiesKeepWhoLoggedIn(t *testing.T) {
	const users = 10_000
	p := NewPenalties()
	for i := range users {
		p.Succeeded(start, address(i), fmt.Sprintf("user%d@example.com", i))
	}
	for i := range 1_000_000 {
		p.Succeeded(start.Add(time.Minute), address(i), "mallory@example.com")
	}
	for i := range 100_000 {
		p.Failed(start.Add(time.Minute), address(i), "mallory@example.com")
	}
	lost := 0
	for i := range users {
		if fails(p, start.Add(time.Hour), address(i), fmt.Sprintf("user%d@example.com", i), 3) != 0 {
			lost++
		}
	}
	if lost > 10 {
		t.Errorf("%d of %d users are forgotten", lost, users)
	}
}
