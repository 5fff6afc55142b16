package backend

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The gateway is stopped for 20 s and continued: every login in progress times out
// at once, before or behind the next heartbeat, and no breaker opens. This test is
// the heartbeat, because in a bubble nobody else can stop one.
func TestGatewayStoodStill(t *testing.T) {
	for _, c := range []struct {
		name      string
		still     time.Duration
		beatFirst bool
		want      State
	}{
		{"20 s, and the logins wake first", 20 * time.Second, false, StateUsable},
		{"20 s, and the heartbeat wakes first", 20 * time.Second, true, StateUsable},
		{"hardly", 2 * time.Second, false, StateOpen},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				p := NewPool(PoolOptions{
					Settings: Settings{QueueTimeout: time.Second, DownInterval: time.Second},
					Logger:   slog.New(slog.NewTextHandler(&log, nil)),
				})
				target := Target{Name: "a", Addresses: []string{"192.0.2.1:110"}}
				p.Sync([]Target{target})
				beat := func() { p.step(t.Context(), time.Now()) }
				fail := func() {
					turn, err := p.Enter(t.Context(), target, Visit{netip.Addr{}, "alice@example.com"})
					if err != nil {
						t.Fatal(err)
					}
					turn.Done(Outcome{Err: &Error{Kind: TimedOut, Step: Greeting}})
				}
				beat()
				var turns []*Turn
				for range 9 {
					turn, err := p.Enter(t.Context(), target, Visit{netip.Addr{}, "alice@example.com"})
					if err != nil {
						t.Fatal(err)
					}
					turns = append(turns, turn)
				}
				time.Sleep(c.still)
				if c.beatFirst {
					beat()
				}
				for _, turn := range turns {
					turn.Done(Outcome{Err: &Error{Kind: TimedOut, Step: Greeting}})
				}
				if got := p.Snapshot()[0].State; got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if c.want != StateUsable {
					return
				}
				beat()
				if n := strings.Count(log.String(), "stood still"); n != 1 {
					t.Errorf("%d records:\n%s", n, &log)
				}
				time.Sleep(heartbeat)
				beat()
				for range failuresInARow { // what begins behind it counts again
					fail()
				}
				if got := p.Snapshot()[0].State; got != StateOpen {
					t.Errorf("%s behind the standstill", got)
				}
			})
		})
	}
}

// A pool that has ended its run doesn't take that for a standstill.
func TestNobodyBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(PoolOptions{Logger: slog.New(slog.DiscardHandler)})
		target := Target{Name: "a", Addresses: []string{"192.0.2.1:110"}}
		p.Sync([]Target{target})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.Run(ctx)
		time.Sleep(time.Hour)
		for range failuresInARow {
			turn, err := p.Enter(t.Context(), target, Visit{})
			if err != nil {
				t.Fatal(err)
			}
			turn.Done(Outcome{Err: &Error{Kind: TimedOut, Step: Greeting}})
		}
		if got := p.Snapshot()[0].State; got != StateOpen {
			t.Errorf("%s", got)
		}
	})
}
