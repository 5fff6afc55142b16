package proxy

import (
	"errors"
	"net/netip"
	"testing"
)

func TestCensusUnits(t *testing.T) {
	set := testSettings(t)
	set.SessionsPerAddress = 1
	c := newCensus()
	enter := func(addr string) error {
		_, err := c.enter(netip.MustParseAddr(addr), set)
		return err
	}
	for _, tt := range []struct {
		addr string
		want error
	}{
		{"192.0.2.1", nil},
		{"192.0.2.1", errTooManyFromHere},
		{"::ffff:192.0.2.1", errTooManyFromHere},
		{"192.0.2.2", nil},
		{"2001:db8::1", nil},
		{"2001:db8::ffff", errTooManyFromHere},   // the same /64
		{"2001:db8::1%eth0", errTooManyFromHere}, // a zone is no other customer
		{"2001:db8:0:1::1", nil},
	} {
		if err := enter(tt.addr); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.addr, err, tt.want)
		}
	}
	if c.total != 4 {
		t.Errorf("%d seats taken, want 4: a refusal takes none", c.total)
	}
}

func TestCensusForgetsWhoLeft(t *testing.T) {
	c, set := newCensus(), testSettings(t)
	for i := range 50000 {
		s, err := c.enter(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), set)
		if err != nil {
			t.Fatal(err)
		}
		s.leave()
	}
	if c.total != 0 || len(c.addresses) != 0 {
		t.Errorf("%d seats and %d addresses are left", c.total, len(c.addresses))
	}
}
