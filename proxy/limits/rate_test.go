package limits

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestRateAllow(t *testing.T) {
	type burst struct {
		after     time.Duration // since the last burst
		tries     int
		allowed   int
		perMinute int
	}
	for _, tt := range []struct {
		name   string
		bursts []burst
	}{
		{"off", []burst{{0, 1000, 1000, 0}, {0, 1000, 1000, -1}}},
		{"a minute's worth at once", []burst{{0, 100, 60, 60}}},
		{"fills evenly", []burst{{0, 100, 60, 60}, {time.Second, 5, 1, 60}, {999 * time.Millisecond, 1, 0, 60}, {time.Millisecond, 5, 1, 60}, {10 * time.Second, 50, 10, 60}}},
		{"refusals take nothing", []burst{{0, 1000, 1, 1}, {59 * time.Second, 1000, 0, 1}, {time.Second, 2, 1, 1}}},
		{"is full after a minute", []burst{{0, 60, 60, 60}, {time.Minute, 100, 60, 60}}},
		{"never more than full", []burst{{0, 60, 60, 60}, {100 * time.Hour, 100, 60, 60}}},
		{"a number that doesn't divide", []burst{{0, 10, 7, 7}, {8572 * time.Millisecond, 2, 1, 7}}},
		{"a clock that was set back", []burst{{0, 60, 60, 60}, {-time.Hour, 100, 60, 60}}},
		{"a reload to less", []burst{{0, 60, 60, 60}, {0, 1, 0, 1}, {time.Minute, 2, 1, 1}}},
		{"a reload to more", []burst{{0, 1, 1, 1}, {0, 100, 0, 60}, {time.Second, 100, 1, 60}}},
		{"as many as there can be", []burst{{0, 1000, 1000, math.MaxInt}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, now := NewRate(), start
			for i, b := range tt.bursts {
				now = now.Add(b.after)
				allowed := 0
				for range b.tries {
					if r.Allow(now, address(1), b.perMinute) {
						allowed++
					}
				}
				if allowed != b.allowed {
					t.Errorf("burst %d: %d of %d were allowed, want %d", i, allowed, b.tries, b.allowed)
				}
			}
		})
	}
}

func TestRateUnits(t *testing.T) {
	r := NewRate()
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", false}, {"::ffff:192.0.2.1", false}, {"192.0.2.2", true},
		{"2001:db8::1", true}, {"2001:db8::2", false}, {"2001:db8::1%eth0", false}, {"2001:db8:0:1::1", true},
	} {
		if got := r.Allow(start, netip.MustParseAddr(tt.addr), 1); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.addr, got, tt.want)
		}
	}
	for range 3 {
		if !r.Allow(start, netip.Addr{}, 1) {
			t.Error("a client without an address is limited")
		}
	}
}
