package proxy

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3/pop3test"
	"postern/proxy/limits"
)

const (
	busyText    = "-ERR [SYS/TEMP] The mail server is busy, try again later"
	downText    = "-ERR [SYS/TEMP] The mail server can't be reached, try again later"
	drainedText = "-ERR [SYS/TEMP] The mail server is down for maintenance, try again later"
)

// A login waits for its turn, and the second one begins when the first has its verdict.
func TestALoginWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{MaxLogins: 1}, maildropOf(4*time.Second), nil)
		var all sync.WaitGroup
		for n := range 2 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * time.Second)
				c, reply, took := y.login(t, n, fmt.Sprintf("user%d", n))
				if want := time.Duration(4+3*n) * time.Second; reply != "+OK in" || took != want {
					t.Errorf("login %d hears %q after %v, want %v", n, reply, took, want)
				}
				time.Sleep(time.Minute)
				quits(t, c)
			})
		}
		time.Sleep(3 * time.Second)
		if s := y.status(t); s.Logins != 1 || s.Queued != 1 || s.Sessions != 0 {
			t.Errorf("%d logins, %d in the queue, %d sessions", s.Logins, s.Queued, s.Sessions)
		}
		time.Sleep(7 * time.Second)
		if s := y.status(t); s.Logins != 0 || s.Queued != 0 || s.Sessions != 2 {
			t.Errorf("%d logins, %d in the queue, %d sessions", s.Logins, s.Queued, s.Sessions)
		}
		all.Wait()
		y.wantIdle(t)
	})
}

// Whom the queue doesn't hold hears of it at once, whom it holds too long after its time.
func TestQueueFullAndQueueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{MaxLogins: 1}, maildropOf(25*time.Second), nil)
		const places = 25 // for one login at once
		var all sync.WaitGroup
		for n := range places + 3 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				c, reply, took := y.login(t, n, fmt.Sprintf("user%d", n))
				want, after := busyText, 10*time.Second
				switch {
				case n == 0:
					want, after = "+OK in", 25*time.Second
				case n > places:
					after = 0
				}
				if reply != want || took != after {
					t.Errorf("login %d hears %q after %v, want %q after %v", n, reply, took, want, after)
				}
				if n > 0 { // the session goes on
					says(t, c, "NOOP", "-ERR")
				}
				_ = c.Close()
			})
		}
		all.Wait()
		time.Sleep(2 * time.Second)
		y.wantIdle(t)
		if got := y.status(t).Refused["busy"]; got != places+2 {
			t.Errorf("%d refusals are counted", got)
		}
	})
}

// What a backend that takes no login means for its users, and that it isn't even dialled.
func TestClosedBackendTexts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target backend.Target
		close  func(t *testing.T, y *yard)
		want   string
		record string
	}{
		{"drained", backend.Target{}, func(t *testing.T, y *yard) {
			if err := y.pool.Drain("guest-01", "olga"); err != nil {
				t.Fatal(err)
			}
		}, drainedText, `result="backend drained"`},
		{"its breaker is open", backend.Target{}, func(t *testing.T, y *yard) {
			y.network.become(0, syscall.ECONNREFUSED)
			for n := range 5 {
				if _, reply, _ := y.login(t, n, "alice"); reply != downText {
					t.Errorf("failure %d: %q", n, reply)
				}
			}
			if s := y.status(t); s.State != backend.StateOpen || !strings.Contains(s.LastError, "connection refused") {
				t.Errorf("the backend is %s, %q", s.State, s.LastError)
			}
		}, downText, `result="backend down"`},
		{"full", backend.Target{MaxSessions: 1}, func(t *testing.T, y *yard) {
			if _, reply, _ := y.login(t, 1, "bob"); reply != "+OK in" {
				t.Errorf("the first hears %q", reply)
			}
		}, busyText, `result="backend busy"`},
		{"unlisted", backend.Target{}, func(_ *testing.T, y *yard) { y.pool.Sync(nil) }, downText, `result="backend not configured"`},
		{"one sick mailbox", backend.Target{}, func(t *testing.T, y *yard) {
			if _, reply, _ := y.login(t, 1, "sick"); reply != downText {
				t.Errorf("the sick one hears %q", reply)
			}
			if _, reply, _ := y.login(t, 2, "bob"); reply != "+OK in" {
				t.Errorf("another one hears %q", reply)
			}
		}, downText, `result="backend down"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, tt.target, sickening, nil)
				tt.close(t, y)
				before, _ := y.network.counts()
				user := "alice"
				if strings.Contains(tt.name, "sick") {
					user = "sick"
				}
				_, reply, took := y.login(t, 99, user)
				if dialed, _ := y.network.counts(); reply != tt.want || took != 0 || dialed != before {
					t.Errorf("hears %q after %v, %d dials", reply, took, dialed-before)
				}
				y.logs.waitFor(t, "msg=login", tt.record, "code=SYS/TEMP")
			})
		})
	}
}

// sickening plays a guest that fails behind the password of one mailbox.
func sickening(c *pop3test.Conn) {
	judge(c, func(user, _ string) string {
		if user == "sick" {
			_ = c.Close()
		}
		return "+OK in"
	})
	transaction(c)
}

// Who leaves while he waits for his turn gives the place back, and so does who is kicked.
func TestLeavingTheQueue(t *testing.T) {
	for name, out := range map[string]func(y *yard, c *pop3test.Client){
		"by closing": func(_ *yard, c *pop3test.Client) { _ = c.Close() },
		"by a reset": func(_ *yard, c *pop3test.Client) { _ = c.Reset() },
		"kicked": func(y *yard, _ *pop3test.Client) {
			for _, s := range y.List() {
				if s.Client.Addr().String() == from(2) {
					y.Kick([]string{s.ID}, "kicked")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, backend.Target{MaxLogins: 1}, maildropOf(5*time.Second), nil)
				var first sync.WaitGroup
				first.Go(func() {
					c, reply, _ := y.login(t, 1, "alice")
					if reply != "+OK in" {
						t.Errorf("alice hears %q", reply)
					}
					_ = c.Close()
				})
				time.Sleep(time.Second)
				c := y.greeted(t, from(2))
				if err := c.Send([]byte("USER bob\r\nPASS right\r\n")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if s := y.status(t); s.Queued != 1 {
					t.Fatalf("%d in the queue", s.Queued)
				}
				out(y, c)
				synctest.Wait()
				if s := y.status(t); name == "kicked" && s.Queued != 0 {
					t.Errorf("%d in the queue behind the kick", s.Queued)
				}
				first.Wait()
				time.Sleep(20 * time.Second)
				y.wantIdle(t)
				if s := y.status(t); s.Failures != 0 || s.LastError != "" {
					t.Errorf("it speaks against the backend: %s", s.LastError)
				}
			})
		})
	}
}

// The deadline for the whole login counts in the queue too.
func TestLoginDeadlineInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{MaxLogins: 1}, maildropOf(25*time.Second), nil)
		late := y.greeted(t, from(2))
		time.Sleep(115 * time.Second)
		first := y.greeted(t, from(1))
		if err := first.Send([]byte("USER alice\r\nPASS right\r\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		says(t, late, "USER bob", "+OK")
		begin := time.Now()
		says(t, late, "PASS right", busyText)
		expectEnd(t, late)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("ended after %v", took)
		}
		expectLine(t, first, "+OK")
		expectLine(t, first, "+OK in")
		quits(t, first)
		y.wantIdle(t)
	})
}

// Our own deadline for the login says nothing of the backend: strangers who say PASS in the last moment
// must not open its breaker. Each of these cuts short what would have been in time.
func TestTheLoginDeadlineIsNoFailureOfTheBackend(t *testing.T) {
	for name, tt := range map[string]struct {
		connect time.Duration
		guest   func(*pop3test.Conn)
	}{
		"while it connects": {8 * time.Second, maildropOf(0)},
		"before it greets":  {0, func(c *pop3test.Conn) { time.Sleep(8 * time.Second) }},
		"before it answers": {0, maildropOf(8 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, backend.Target{}, tt.guest, nil)
				y.network.become(tt.connect, nil)
				for n := range 6 {
					c := y.greeted(t, from(n))
					time.Sleep(118 * time.Second)
					says(t, c, fmt.Sprintf("USER user%d", n), "+OK")
					says(t, c, "PASS right", "-ERR [SYS/TEMP] The login took too long")
					expectEnd(t, c)
				}
				time.Sleep(10 * time.Second)
				y.wantIdle(t)
				if s := y.status(t); s.Failures != 0 || s.Suspects != 0 || s.State != backend.StateUsable {
					t.Errorf("%d failures, %d suspects, %s: %s", s.Failures, s.Suspects, s.State, s.LastError)
				}
			})
		})
	}
}

// turns is a dialogue before a pool, with every turn's end.
type turns struct {
	*table
	given    int
	finished []intent
}

func beginTurns(t *testing.T, change ...func(*Settings)) *turns {
	b := begin(t, change...)
	b.d.guards.admission = true
	return &turns{table: b}
}

// happens hands events over one by one. Whoever asks for leave gets it.
func (b *turns) happens(events ...event) {
	for len(events) > 0 {
		next := events[0]
		events = events[1:]
		var more []event
		for _, in := range b.d.handle(b.now, next) {
			switch in.kind {
			case inLocate:
				route, err := b.located(b.d.query())
				more = append(more, event{kind: evLocated, route: route, err: err})
			case inEnter:
				b.given++
				more = append(more, event{kind: evAdmitted})
			case inFinish:
				b.finished = append(b.finished, in)
			}
		}
		events = append(more, events...)
	}
}

// Every turn is ended exactly once, and with what the backend is to be judged by.
func TestEveryTurnIsEndedOnce(t *testing.T) {
	says := func(lines ...string) (all []event) {
		for _, line := range lines {
			all = append(all, event{kind: evBackend, data: []byte(line + "\r\n")})
		}
		return all
	}
	after := func(first event, more ...event) []event { return append([]event{first}, more...) }
	connected := event{kind: evConnected}
	refused := &backend.Error{Kind: backend.Unreachable, Step: backend.Connect, Err: syscall.ECONNREFUSED}
	const success, neither = "success", "neither"
	for _, tt := range []struct {
		name   string
		user   string
		events []event
		stay   bool
		want   []string // success, neither, or a part of the backend's error
	}{
		{"accepted", "alice", after(connected, says("+OK", "+OK", "+OK in")...), true, []string{success}},
		{"refused", "alice", after(connected, says("+OK", "+OK", "-ERR [AUTH] no")...), false, []string{"pass: refused [AUTH]"}},
		{"refused, and the client leaves before he hears", "alice",
			append(after(connected, says("+OK", "+OK", "-ERR no")...), event{kind: evClientGone}), false, []string{"pass: refused [AUTH]"}},
		{"in use", "alice", after(connected, says("+OK", "+OK", "-ERR [IN-USE] no")...), false, []string{"refused [IN-USE]"}},
		{"temporary", "alice", after(connected, says("+OK", "+OK", "-ERR [SYS/TEMP] no")...), false, []string{"refused [SYS/TEMP]"}},
		{"no connection", "alice", []event{{kind: evConnected, err: refused}}, false, []string{"connect: unreachable"}},
		{"no greeting", "alice", []event{connected, {kind: evBackendEnd}}, false, []string{"greeting: closed"}},
		{"an -ERR greeting", "alice", after(connected, says("-ERR full")...), false, []string{"greeting: temporary"}},
		{"closed behind PASS", "alice", append(after(connected, says("+OK", "+OK")...), event{kind: evBackendEnd}), false, []string{"pass: closed"}},
		{"suspended, accepted", "carol", after(connected, says("+OK", "+OK", "+OK in")...), false, []string{success}},
		{"suspended, refused", "carol", after(connected, says("+OK", "+OK", "-ERR no")...), false, []string{"refused [AUTH]"}},
		{"stopped while it connects", "alice", []event{{kind: evStop}}, false, []string{neither}},
		{"stopped before the greeting", "alice", []event{connected, {kind: evStop}}, false, []string{neither}},
		{"stopped behind PASS", "alice", append(after(connected, says("+OK", "+OK")...), event{kind: evStop}), false, []string{neither}},
		{"the client gone while it connects", "alice", []event{{kind: evClientGone}}, false, []string{neither}},
		{"the client gone behind PASS", "alice", append(after(connected, says("+OK", "+OK")...), event{kind: evClientGone}), false, []string{neither}},
		{"in use, replaced, accepted", "alice", append(append(after(connected, says("+OK", "+OK", "-ERR [IN-USE]")...),
			event{kind: evReplaced}, connected), says("+OK", "+OK", "+OK in")...), true, []string{"refused [IN-USE]", success}},
		{"in use, none replaced", "alice", append(after(connected, says("+OK", "+OK", "-ERR [IN-USE]")...),
			event{kind: evReplaced, err: errNoneStale}), false, []string{"refused [IN-USE]"}},
		{"in use twice", "alice", append(append(after(connected, says("+OK", "+OK", "-ERR [IN-USE]")...),
			event{kind: evReplaced}, connected), says("+OK", "+OK", "-ERR [IN-USE]")...), false, []string{"refused [IN-USE]", "refused [IN-USE]"}},
		{"stopped while the old session ends", "alice", append(after(connected, says("+OK", "+OK", "-ERR [IN-USE]")...), event{kind: evStop}),
			false, []string{"refused [IN-USE]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := beginTurns(t, func(set *Settings) {
				if strings.Contains(tt.name, "replaced") || strings.Contains(tt.name, "twice") || strings.Contains(tt.name, "old session") {
					set.ReplaceStale = time.Minute
				}
			})
			b.happens(append([]event{{kind: evClient, data: []byte("USER " + tt.user + "\r\nPASS x\r\n")}}, tt.events...)...)
			b.happens(event{kind: evClientGone}) // nothing is ended a second time by the session's end
			b.checkEnds(t, tt.stay, tt.want)
		})
	}
}

func (b *turns) checkEnds(t *testing.T, stay bool, want []string) {
	t.Helper()
	if len(b.finished) != len(want) || b.given != len(want) {
		t.Fatalf("%d turns given, %d ended, want %d", b.given, len(b.finished), len(want))
	}
	for i, in := range b.finished {
		if in.stay != (stay && i == len(want)-1) {
			t.Errorf("turn %d stays: %v", i, in.stay)
		}
		fault, isBackends := errors.AsType[*backend.Error](in.outcome.Err)
		switch want[i] {
		case "success":
			if in.outcome.Err != nil {
				t.Errorf("turn %d ended with %v", i, in.outcome.Err)
			}
		case "neither":
			if in.outcome.Err == nil || isBackends && fault.Kind != backend.Canceled {
				t.Errorf("turn %d ended with %v", i, in.outcome.Err)
			}
		default:
			if !isBackends || !strings.Contains(fault.Error(), want[i]) {
				t.Errorf("turn %d ended with %v, want %s", i, in.outcome.Err, want[i])
			}
		}
	}
}

// A login that our own limits refuse behind the backend's yes was a success of the backend.
func TestOurOwnLimitsAreASuccessOfTheBackend(t *testing.T) {
	census := limits.NewCensus()
	rules := limits.Rules{Sessions: 10, PerAddress: 10, PerMailbox: 1}
	other, err := census.Enter(localPeer.address.Addr(), &rules)
	if err != nil || other.EnterMailbox("alice@example.com") != nil {
		t.Fatal("no seat", err)
	}
	b := beginTurns(t)
	if b.d.guards.seat, err = census.Enter(localPeer.address.Addr(), &rules); err != nil {
		t.Fatal(err)
	}
	b.happens(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")}, event{kind: evConnected},
		event{kind: evBackend, data: []byte("+OK\r\n")}, event{kind: evBackend, data: []byte("+OK\r\n")}, event{kind: evBackend, data: []byte("+OK in\r\n")})
	if b.d.state != authorizing {
		t.Errorf("state %d", b.d.state)
	}
	b.checkEnds(t, false, []string{"success"})
}
