package proxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

func eagerly(set *Settings, _ *Options) { set.EagerConnect = true }

// The connection is there before PASS, and PASS goes through it.
func TestEagerConnectionIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, maildropOf(0), eagerly)
		y.network.become(200*time.Millisecond, nil)
		c := y.greeted(t, from(1))
		begin := time.Now()
		says(t, c, "USER alice", "+OK")
		if took := time.Since(begin); took != 0 {
			t.Errorf("USER took %v", took)
		}
		time.Sleep(100 * time.Millisecond)
		says(t, c, "PASS right", "+OK in") // it waits for what is under way, and dials no second one
		if took := time.Since(begin); took != 200*time.Millisecond {
			t.Errorf("the login took %v", took)
		}
		if dialed, open := y.network.counts(); dialed != 1 || open != 1 {
			t.Errorf("%d dials, %d open", dialed, open)
		}
		time.Sleep(time.Minute) // the time for PASS doesn't end a session
		says(t, c, "NOOP", "+OK")
		quits(t, c)
		y.wantIdle(t)
	})
}

// What nobody uses is closed: behind another USER, after its time, with the session, and where PASS finds
// the mailbox elsewhere.
func TestEagerConnectionIsDropped(t *testing.T) {
	for _, tt := range []struct {
		name   string
		happen func(t *testing.T, y *yard, c *pop3test.Client)
	}{
		{"another USER", func(t *testing.T, _ *yard, c *pop3test.Client) { says(t, c, "USER nobody", "+OK") }},
		{"no PASS in time", func(t *testing.T, y *yard, c *pop3test.Client) {
			time.Sleep(4900 * time.Millisecond)
			if _, open := y.network.counts(); open != 1 {
				t.Errorf("%d are open before the time", open)
			}
			time.Sleep(200 * time.Millisecond)
		}},
		{"QUIT", func(t *testing.T, _ *yard, c *pop3test.Client) { says(t, c, "QUIT", "+OK"); _ = c.Close() }},
		{"the client leaves", func(_ *testing.T, _ *yard, c *pop3test.Client) { _ = c.Close() }},
		{"kicked", func(_ *testing.T, y *yard, _ *pop3test.Client) { y.Kick([]string{y.List()[0].ID}, "kicked") }},
		{"AUTH as somebody else", func(t *testing.T, _ *yard, c *pop3test.Client) {
			says(t, c, "AUTH PLAIN "+b64("\x00nobody\x00x"), "-ERR [AUTH]")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, backend.Target{}, maildropOf(0), eagerly)
				c := y.greeted(t, from(1))
				says(t, c, "USER alice", "+OK")
				synctest.Wait()
				if _, open := y.network.counts(); open != 1 {
					t.Fatalf("%d connections are open behind USER", open)
				}
				tt.happen(t, y, c)
				synctest.Wait()
				if tt.name == "AUTH as somebody else" { // nothing dials for nobody, so only time drops it
					time.Sleep(5 * time.Second)
				}
				if _, open := y.network.counts(); open != 0 {
					t.Errorf("%d connections are open", open)
				}
				_ = c.Close()
				time.Sleep(5 * time.Second)
				y.wantIdle(t)
			})
		})
	}
}

// A name that is known and one that isn't are answered at once, whatever the directory and the backend take.
func TestEagerTimesTellNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var y *yard
		y = newYard(t, backend.Target{}, maildropOf(300*time.Millisecond), func(set *Settings, o *Options) {
			set.EagerConnect = true
			o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
				if !strings.HasPrefix(q.User, "nobody") {
					time.Sleep(70 * time.Millisecond)
				}
				return y.locate(q)
			})
		})
		y.network.become(130*time.Millisecond, nil)
		var known, unknown []time.Duration
		for i := range 100 {
			for user, times := range map[string]*[]time.Duration{"user": &known, "nobody": &unknown} {
				c := y.greeted(t, from(i))
				begin := time.Now()
				says(t, c, fmt.Sprintf("USER %s%d", user, i), "+OK Send PASS")
				if took := time.Since(begin); took != 0 {
					t.Fatalf("USER %s took %v", user, took)
				}
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				begin = time.Now()
				says(t, c, "PASS wrong", "-ERR [AUTH]")
				*times = append(*times, time.Since(begin))
				_ = c.Close()
			}
		}
		if p := kolmogorovSmirnov(known, unknown); p <= 0.01 {
			t.Errorf("p = %.4f: known %v, unknown %v", p, histogram(known), histogram(unknown))
		}
		time.Sleep(10 * time.Second)
		y.wantIdle(t)
	})
}

// One for each client's address, and so many for a backend.
func TestEagerConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, maildropOf(0), eagerly)
		for range 3 {
			says(t, y.greeted(t, from(1)), "USER alice", "+OK")
		}
		synctest.Wait()
		if dialed, _ := y.network.counts(); dialed != 1 {
			t.Errorf("%d connections for one address", dialed)
		}
		for n := range 2 * maxEager {
			says(t, y.greeted(t, from(2+n)), fmt.Sprintf("USER user%d", n), "+OK")
		}
		synctest.Wait()
		if _, open := y.network.counts(); open != maxEager {
			t.Errorf("%d connections to one backend, want %d", open, maxEager)
		}
		time.Sleep(6 * time.Second)
		if _, open := y.network.counts(); open != 0 {
			t.Errorf("%d are open after their time", open)
		}
		c := y.greeted(t, from(1))
		enters(t, c, "alice", rightPassword, "+OK in")
		quits(t, c)
		y.cutOff()
		y.wantIdle(t)
	})
}

// Where no login would be taken, or only the password's judge knows, nobody is connected to.
func TestNothingIsMadeReady(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(directory.Route) (directory.Route, error)
		close  func(*yard) error
	}{
		"unknown":   {answer: func(directory.Route) (directory.Route, error) { return directory.Route{}, directory.ErrUnknown }},
		"judged":    {answer: func(directory.Route) (directory.Route, error) { return directory.Route{}, directory.ErrNeedsPassword }},
		"moving":    {answer: func(r directory.Route) (directory.Route, error) { r.State = directory.Moving; return r, nil }},
		"suspended": {answer: func(r directory.Route) (directory.Route, error) { r.State = directory.Suspended; return r, nil }},
		"drained":   {close: func(y *yard) error { return y.pool.Drain("guest-01", "olga") }},
		"unlisted":  {close: func(y *yard) error { y.pool.Sync(nil); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var y *yard
				asked := false
				y = newYard(t, backend.Target{}, maildropOf(0), func(set *Settings, o *Options) {
					set.EagerConnect = true
					o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
						if asked = true; q.Login != nil {
							t.Error("a judge would be asked")
						}
						route, err := y.locate(q)
						if tt.answer != nil {
							return tt.answer(route)
						}
						return route, err
					})
				})
				if tt.close != nil {
					if err := tt.close(y); err != nil {
						t.Fatal(err)
					}
				}
				says(t, y.greeted(t, from(1)), "USER alice", "+OK Send PASS")
				synctest.Wait()
				if dialed, _ := y.network.counts(); dialed != 0 || !asked {
					t.Errorf("%d dials, the directory was asked: %v", dialed, asked)
				}
			})
		})
	}
}

// PASS may come long after USER, and the mailbox may have moved meanwhile.
func TestEagerRouteIsNotKept(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Second, time.Minute} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var y *yard
				var moving atomic.Bool
				y = newYard(t, backend.Target{}, maildropOf(0), func(set *Settings, o *Options) {
					set.EagerConnect = true
					o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
						route, err := y.locate(q)
						if moving.Load() {
							route.State = directory.Moving
						}
						return route, err
					})
				})
				c := y.greeted(t, from(1))
				says(t, c, "USER alice", "+OK")
				synctest.Wait()
				moving.Store(true)
				time.Sleep(pause)
				says(t, c, "PASS right", "-ERR [SYS/TEMP] The mailbox is being moved")
			})
		})
	}
}

// A backend that has got other settings is connected to anew: the old connection may lack TLS.
func TestEagerConnectionOfAnOlderConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, maildropOf(0), eagerly)
		c := y.greeted(t, from(1))
		says(t, c, "USER alice", "+OK")
		synctest.Wait()
		next := *y.target
		y.target = &next
		says(t, c, "PASS right", "+OK in")
		if dialed, open := y.network.counts(); dialed != 2 || open != 1 {
			t.Errorf("%d dials, %d open", dialed, open)
		}
	})
}

// A fault in the background is no end of the gateway, and none of the login.
func TestEagerPanicIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var y *yard
		y = newYard(t, backend.Target{}, maildropOf(0), func(set *Settings, o *Options) {
			set.EagerConnect = true
			o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
				if q.Login == nil {
					panic("broken directory")
				}
				return y.locate(q)
			})
		})
		c := y.greeted(t, from(1))
		enters(t, c, "alice", rightPassword, "+OK in")
		y.logs.waitFor(t, "panicked", "broken directory", "session=")
		quits(t, c)
		y.wantIdle(t)
	})
}

// Shutdown returns when nothing is left, also of what is made ready.
func TestShutdownWaitsForWhatIsMadeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := new(slowToLetGo)
		y := newYard(t, backend.Target{}, maildropOf(0), func(set *Settings, o *Options) { set.EagerConnect, o.Dialer = true, slow })
		says(t, y.greeted(t, from(1)), "USER alice", "+OK")
		synctest.Wait()
		if n := slow.running.Load(); n != 1 {
			t.Fatalf("%d dials run behind USER", n)
		}
		y.cutOff()
		if n := slow.running.Load(); n != 0 {
			t.Errorf("%d dials run behind Shutdown", n)
		}
		y.wantIdle(t)
	})
}

// slowToLetGo is a dialer that takes a while to notice that nobody wants its connection.
type slowToLetGo struct{ running atomic.Int64 }

func (s *slowToLetGo) DialFor(ctx context.Context, _ backend.Target, _ backend.Origin) (net.Conn, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	<-ctx.Done()
	time.Sleep(3 * time.Second)
	return nil, &backend.Error{Kind: backend.Canceled, Step: backend.Connect}
}

// Who a connection was announced for is who logs in through it: behind XCLIENT and STLS it is dropped.
func TestEagerConnectionOfAFormerClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, trusting := tlsFront(t, nil)
		for name, again := range map[string]func(t *testing.T, c *pop3test.Client) *pop3test.Client{
			"XCLIENT": func(t *testing.T, c *pop3test.Client) *pop3test.Client {
				says(t, c, "XCLIENT ADDR=203.0.113.5 PORT=77", "+OK")
				return c
			},
			"STLS": func(t *testing.T, c *pop3test.Client) *pop3test.Client {
				says(t, c, "STLS", "+OK")
				return over(t, c.Raw(), trusting)
			},
		} {
			y := newYard(t, backend.Target{}, maildropOf(0), eagerly)
			c := through(t, y.door(t, &Access{TLS: server, XCLIENT: everywhere()}), "127.0.0.1")
			expectLine(t, c, "+OK")
			says(t, c, "USER alice", "+OK")
			synctest.Wait()
			c = again(t, c)
			synctest.Wait()
			if _, open := y.network.counts(); open != 0 {
				t.Errorf("%s: %d connections are open", name, open)
			}
			says(t, c, "AUTH PLAIN "+b64("\x00alice\x00"+rightPassword), "+OK in")
			if dialed, _ := y.network.counts(); dialed != 2 {
				t.Errorf("%s: %d dials", name, dialed)
			}
			_ = c.Close()
			y.cutOff()
			y.wantIdle(t)
		}
	})
}
