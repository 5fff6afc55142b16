package limits

import (
	"testing"
	"time"
)

func TestIntervalsAllow(t *testing.T) {
	type login struct {
		after time.Duration // since the one before
		addr  int
		name  string
		want  bool
	}
	const alice, bob = "alice@example.com", "bob@example.com"
	for _, tt := range []struct {
		name     string
		interval time.Duration
		logins   []login
	}{
		{"off", 0, []login{{0, 1, alice, true}, {0, 1, alice, true}}},
		{"too soon", time.Minute, []login{{0, 1, alice, true}, {0, 1, alice, false}, {59 * time.Second, 1, alice, false}, {time.Second, 1, alice, true}}},
		{"a refusal puts nothing off", time.Minute, []login{{0, 1, alice, true}, {50 * time.Second, 1, alice, false}, {10 * time.Second, 1, alice, true}}},
		{"other mailboxes and addresses", time.Minute, []login{{0, 1, alice, true}, {0, 1, bob, true}, {0, 2, alice, true}, {0, 2, alice, false}}},
		{"the first login, whatever the interval", 200 * 365 * 24 * time.Hour, []login{{0, 1, alice, true}, {0, 1, alice, false}}},
		{"less than a second", 500 * time.Millisecond, []login{{0, 1, alice, true}, {0, 1, alice, false}, {time.Second, 1, alice, true}}},
		{"a clock that was set back", time.Minute, []login{{0, 1, alice, true}, {-time.Hour, 1, alice, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, now := NewIntervals(), start
			for i, l := range tt.logins {
				now = now.Add(l.after)
				if got := v.Allow(now, address(l.addr), l.name, tt.interval); got != l.want {
					t.Errorf("login %d: %v, want %v", i, got, l.want)
				}
			}
		})
	}
}
