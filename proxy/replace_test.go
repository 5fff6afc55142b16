package proxy

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3/pop3test"
)

// locking plays guests that let one session into a mailbox: another one hears [IN-USE] until it is over.
type locking struct {
	mu     sync.Mutex
	locked map[string]bool
	logins atomic.Int64
	never  bool // the lock is never let go
}

func (l *locking) serve(c *pop3test.Conn) {
	var mine string
	judge(c, func(user, _ string) string {
		l.logins.Add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.locked[user] {
			return "-ERR [IN-USE] locked"
		}
		mine, l.locked[user] = user, true
		return "+OK in"
	})
	if mine == "" {
		return
	}
	transaction(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.locked[mine] = l.never
}

func replacing60(set *Settings, _ *Options) { set.ReplaceStale = time.Minute }

const inUseText = "-ERR [IN-USE] The mailbox is in use by another session"

// A client that lost its connection comes back: its own old session, silent for so long, gives way.
func TestAStaleSessionGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guest := &locking{locked: map[string]bool{}}
		y := newYard(t, backend.Target{}, guest.serve, replacing60)
		old, reply, _ := y.login(t, 1, "alice")
		other, _, _ := y.login(t, 2, "bob") // silent for as long
		if reply != "+OK in" {
			t.Fatal(reply)
		}
		time.Sleep(time.Minute)
		c, reply, took := y.login(t, 3, "alice")
		if reply != "+OK in" || took != releaseTime {
			t.Errorf("hears %q after %v", reply, took)
		}
		expectEnd(t, old)
		y.logs.waitFor(t, "msg=end", "mailbox=alice@example.com", "ended_by=gateway", "reason=replaced")
		if s := y.status(t); s.Sessions != 2 || s.Logins != 0 || s.Failures != 0 {
			t.Errorf("%d sessions, %d logins, %d failures", s.Sessions, s.Logins, s.Failures)
		}
		if n := strings.Count(y.logs.String(), "msg=login"); n != 3 || guest.logins.Load() != 4 {
			t.Errorf("%d verdicts, %d logins", n, guest.logins.Load())
		}
		if strings.Contains(y.network.heard(), "QUIT") {
			t.Error("the old session said QUIT, which deletes")
		}
		says(t, other, "NOOP", "+OK")
		says(t, c, "NOOP", "+OK")
		quits(t, c)
		quits(t, other)
		y.wantIdle(t)
	})
}

// Where nobody gives way, the refusal stands; and nobody tries more than twice.
func TestNobodyGivesWay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		guest  *locking
		change func(*Settings, *Options)
		before func(t *testing.T, y *yard)
		logins int64 // of the one that is refused
	}{
		{"the old one speaks", nil, replacing60, func(t *testing.T, y *yard) {
			old, _, _ := y.login(t, 1, "alice")
			time.Sleep(59 * time.Second)
			says(t, old, "NOOP", "+OK")
			time.Sleep(59 * time.Second)
		}, 1},
		{"it is another gateway's", &locking{locked: map[string]bool{"alice": true}}, replacing60, func(*testing.T, *yard) {}, 1},
		{"it is switched off", nil, nil, func(t *testing.T, y *yard) {
			_, _, _ = y.login(t, 1, "alice")
			time.Sleep(10 * time.Minute)
		}, 1},
		{"the lock stays", &locking{locked: map[string]bool{}, never: true}, replacing60, func(t *testing.T, y *yard) {
			_, _, _ = y.login(t, 1, "alice")
			time.Sleep(10 * time.Minute)
		}, 2},
		{"the old one is still logging in", &locking{locked: map[string]bool{"alice": true}}, replacing60, func(t *testing.T, y *yard) {
			says(t, y.greeted(t, from(1)), "USER alice", "+OK")
			time.Sleep(90 * time.Second)
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guest := tt.guest
				if guest == nil {
					guest = &locking{locked: map[string]bool{}}
				}
				y := newYard(t, backend.Target{}, guest.serve, tt.change)
				tt.before(t, y)
				before := guest.logins.Load()
				c, reply, took := y.login(t, 2, "alice")
				if want := time.Duration(tt.logins-1) * releaseTime; reply != inUseText || took != want {
					t.Errorf("hears %q after %v, want %v", reply, took, want)
				}
				if n := guest.logins.Load() - before; n != tt.logins {
					t.Errorf("%d logins", n)
				}
				if gone := strings.Contains(y.logs.String(), "reason=replaced"); gone != (tt.logins == 2) {
					t.Errorf("a session was replaced: %v", gone)
				}
				says(t, c, "NOOP", "-ERR") // the session goes on
				if s := y.status(t); s.Logins != 0 || s.Failures != 0 {
					t.Errorf("%d logins, %d failures", s.Logins, s.Failures)
				}
			})
		})
	}
}

// A kick and a shutdown don't wait for an old session to end.
func TestStoppedWhileAStaleSessionEnds(t *testing.T) {
	for name, stop := range map[string]func(*yard, string){
		"kick":     func(y *yard, id string) { y.Kick([]string{id}, "kicked") },
		"shutdown": func(y *yard, _ string) { y.cutOff() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guest := &locking{locked: map[string]bool{}}
				y := newYard(t, backend.Target{}, guest.serve, replacing60)
				_, _, _ = y.login(t, 1, "alice")
				time.Sleep(2 * time.Minute)
				c := y.greeted(t, from(2))
				if err := c.Send([]byte("USER alice\r\nPASS right\r\n")); err != nil {
					t.Fatal(err)
				}
				expectLine(t, c, "+OK")
				time.Sleep(releaseTime / 2)
				var id string
				for _, s := range y.List() {
					if s.Client.Addr().String() == from(2) {
						id = s.ID
					}
				}
				begin := time.Now()
				stop(y, id)
				expectEnd(t, c)
				if took := time.Since(begin); took != 0 {
					t.Errorf("ended after %v", took)
				}
				time.Sleep(time.Second)
				y.wantIdle(t)
			})
		})
	}
}
