package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3"
)

// What opens a breaker, after how many logins of as many mailboxes.
func TestBreakerOpens(t *testing.T) {
	never := 0
	for _, c := range []struct {
		name string
		err  error
		step time.Duration // between logins
		want int           // logins until it is open; never
	}{
		{"connect refused, in a burst", refusedConnect, 10 * time.Millisecond, 5},
		{"connect refused, now and then", refusedConnect, 1100 * time.Millisecond, 2},
		{"connect timed out", &backend.Error{Kind: backend.TimedOut, Step: backend.Connect}, 2 * time.Second, 5},
		{"greeting timed out", hungGreeting, 2 * time.Second, 5},
		{"greeting closed", &backend.Error{Kind: backend.Closed, Step: backend.Greeting}, 0, 5},
		{"greeting is -ERR", &backend.Error{Kind: backend.Temporary, Step: backend.Greeting}, 0, 5},
		{"greeting is no POP3", &backend.Error{Kind: backend.Protocol, Step: backend.Greeting}, 0, 5},
		{"hangs at PASS", hungPass, 0, 3},
		{"closes at USER", &backend.Error{Kind: backend.Closed, Step: backend.User}, 0, 3},
		{"talks nonsense at AUTH", &backend.Error{Kind: backend.Protocol, Step: backend.Auth}, 0, 3},
		{"fails seldom", hungGreeting, 2 * time.Minute, never},
		{"success", nil, 0, never},
		{"wrong password", wrongPassword, 0, never},
		{"in use", &backend.Error{Kind: backend.Refused, Step: backend.Pass, Code: pop3.InUse}, 0, never},
		{"temporary refusal", &backend.Error{Kind: backend.Refused, Step: backend.Pass, Code: pop3.SysTemp}, 0, never},
		{"client left", clientLeft, 0, never},
		{"context canceled", context.Canceled, 0, never},
		{"no descriptors", &backend.Error{Kind: backend.Local, Step: backend.Connect, Err: fmt.Errorf("dial: %w", syscall.EMFILE)}, 0, never},
		{"certificate expired", &backend.Error{Kind: backend.Unsecured, Step: backend.Secure}, 0, 5},
		{"hangs in the handshake", &backend.Error{Kind: backend.TimedOut, Step: backend.Secure}, 0, 5},
		{"hangs at STLS", &backend.Error{Kind: backend.TimedOut, Step: backend.Stls}, 0, 5},
		{"hangs at XCLIENT", &backend.Error{Kind: backend.TimedOut, Step: backend.Xclient}, 0, 5},
		{"proxies loop", &backend.Error{Kind: backend.Loop, Step: backend.Xclient}, 0, never},
		{"forgot AUTH PLAIN", &backend.Error{Kind: backend.Temporary, Step: backend.Auth}, 0, never},
		{"never got there", errors.New("no backend was asked"), 0, never},
		{"end of file", io.EOF, 0, never},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := idlePool(t, named("a"))
				opened := never
				for n := 1; n <= 12 && opened == never; n++ {
					if err := r.login("a", n, c.err); err != nil {
						t.Fatalf("login %d: %v", n, err)
					}
					if r.status("a").State == backend.StateOpen {
						opened = n
					}
					time.Sleep(c.step)
				}
				if opened != c.want {
					t.Errorf("open after %d logins, want %d", opened, c.want)
				}
				if opened != never {
					wantReason(t, r.login("a", 100, nil), backend.Broken)
					r.wantSaid("backend=a state=open was=usable", c.err.Error())
				}
			})
		})
	}
}

// A success between failures says that the backend is there.
func TestBreakerSuccessEndsTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idlePool(t, named("a"))
		for n := range 40 {
			var err error = hungGreeting
			if n%5 == 4 {
				err = wrongPassword
			}
			if err := r.login("a", n, err); err != nil {
				t.Fatal(err)
			}
		}
		r.wantState("a", backend.StateUsable)
	})
}

// A login that began before another which succeeded hung in what is over.
func TestBreakerIgnoresOldFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idlePool(t, named("a"))
		var old []*backend.Turn
		for n := range 8 {
			old = append(old, r.enter("a", n))
		}
		time.Sleep(time.Second)
		_ = r.login("a", 50, nil)
		for _, turn := range old {
			turn.Done(backend.Outcome{Err: hungGreeting})
		}
		r.wantState("a", backend.StateUsable)
	})
}

// One sick mailbox, polled as often as it may, harms nobody else; and waits longer
// each time.
func TestSickMailboxAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idlePool(t, named("a"))
		tried := 0
		for range 1200 { // ten minutes
			if r.login("a", 1, hungPass) == nil {
				tried++
			} else {
				wantReason(t, r.login("a", 1, nil), backend.Sick)
			}
			if err := r.login("a", 2, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if tried < 8 || tried > 16 {
			t.Errorf("tried %d times", tried)
		}
		time.Sleep(time.Minute)
		if err := r.login("a", 1, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.login("a", 1, hungPass); err != nil {
			t.Errorf("it succeeded, and yet: %v", err)
		}
		time.Sleep(2100 * time.Millisecond)
		if err := r.login("a", 1, nil); err != nil {
			t.Errorf("the first failure behind a success counts as one of many: %v", err)
		}
	})
}

// Several sessions of one mailbox that fail at once are one mailbox; and one of
// them at a time finds out whether it is well again.
func TestSickMailboxCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idlePool(t, named("a"))
		var turns []*backend.Turn
		for n := range 9 {
			turn, err := r.Enter(t.Context(), named("a"), backend.Visit{Client: client(n), Mailbox: "alice@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			turns = append(turns, turn)
		}
		for _, turn := range turns {
			turn.Done(backend.Outcome{Err: hungPass})
		}
		r.wantState("a", backend.StateUsable)
		time.Sleep(2 * time.Minute)
		alice := backend.Visit{Client: client(1), Mailbox: "alice@example.com"}
		turn, err := r.Enter(t.Context(), named("a"), alice)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Enter(t.Context(), named("a"), alice)
		wantReason(t, err, backend.Sick)
		turn.Leave()
		if _, err = r.Enter(t.Context(), named("a"), alice); err != nil {
			t.Errorf("the trial left: %v", err)
		}
	})
}

// Three corrupt mailboxes of a guest of hundreds don't close it; three failures
// where hardly anybody succeeds do.
func TestSickMailboxesOfMany(t *testing.T) {
	for _, c := range []struct {
		successes int
		want      backend.State
	}{{0, backend.StateOpen}, {20, backend.StateOpen}, {29, backend.StateOpen}, {30, backend.StateUsable}, {400, backend.StateUsable}} {
		synctest.Test(t, func(t *testing.T) {
			r := idlePool(t, named("a"))
			for n := range c.successes {
				_ = r.login("a", 100+n, nil)
			}
			for n := range 3 {
				_ = r.login("a", n, hungPass)
			}
			r.wantState("a", c.want)
		})
	}
	synctest.Test(t, func(t *testing.T) { // more than a window apart
		r := idlePool(t, named("a"))
		for n := range 6 {
			_ = r.login("a", n, hungPass)
			time.Sleep(31 * time.Second)
		}
		r.wantState("a", backend.StateUsable)
	})
}

// A good check closes it, within five seconds of the return.
func TestBreakerClosedByCheck(t *testing.T) {
	for _, hang := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			r := runningPool(t, named("a"), named("b"))
			pass(10 * time.Second)
			r.health.set("a", refusedConnect, hang)
			for n := range 5 {
				_ = r.login("a", n, hungGreeting)
			}
			r.wantState("a", backend.StateOpen)
			pass(137 * time.Second)
			wantReason(t, r.login("a", 1, nil), backend.Broken)
			r.wantState("b", backend.StateUsable)
			r.wantSaid("state=open")
			r.health.set("a", nil, 0)
			returned := time.Now()
			for r.status("a").State != backend.StateUsable && time.Since(returned) < time.Minute {
				pass(100 * time.Millisecond)
			}
			if took := time.Since(returned); took > 2600*time.Millisecond {
				t.Errorf("closed after %v", took)
			}
			r.wantSaid("backend=a state=usable was=open", "a check got through")
			if err := r.login("a", 1, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// Where logins failed behind PASS a greeting proves little: one login at a time
// goes in, and its success lets in the others.
func TestBreakerClosedByLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		for n := range 3 {
			_ = r.login("a", n, hungPass)
		}
		wantReason(t, r.login("a", 9, nil), backend.Broken)
		pass(5 * time.Second)
		r.wantState("a", backend.StateHalfOpen)
		if s := r.status("a"); s.Limit != 1 || s.Breaker != "half-open" {
			t.Errorf("limit %d, breaker %s", s.Limit, s.Breaker)
		}
		turn := r.enter("a", 20)
		waits := make(chan error, 1)
		go func() { waits <- r.login("a", 21, nil) }()
		pass(time.Second)
		if len(waits) > 0 {
			t.Fatalf("the second was let in beside the first: %v", <-waits)
		}
		turn.Done(backend.Outcome{Err: hungPass})
		wantReason(t, <-waits, backend.Broken)
		r.wantState("a", backend.StateOpen)
		pass(5 * time.Second)
		turn = r.enter("a", 22)
		go func() { waits <- r.login("a", 23, nil) }()
		synctest.Wait()
		turn.Done(backend.Outcome{Err: clientLeft}) // says nothing, and the next may try
		if err := <-waits; err != nil {
			t.Error(err)
		}
		r.wantState("a", backend.StateUsable)
		r.wantSaid("state=half-open was=open", "state=usable was=half-open", "a login succeeded")
	})
}

// A check that logs in proves all of it.
func TestBreakerClosedByCheckThatLogsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		r.health.entered = true
		for n := range 3 {
			_ = r.login("a", n, hungPass)
		}
		pass(5 * time.Second)
		r.wantState("a", backend.StateUsable)
	})
}

// Those who hang where the breaker has given up hold no places behind its return.
func TestBreakerWritesOffWhoHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		var hung []*backend.Turn
		for n := range 20 {
			hung = append(hung, r.enter("a", n))
		}
		for _, turn := range hung[:5] {
			turn.Done(backend.Outcome{Err: hungGreeting})
		}
		r.wantState("a", backend.StateOpen)
		for _, turn := range hung[5:15] { // while it is open
			turn.Done(backend.Outcome{Err: hungGreeting})
		}
		for r.status("a").State != backend.StateUsable {
			pass(50 * time.Millisecond)
		}
		turns := []*backend.Turn{r.enter("a", 30), r.enter("a", 31)} // the ramp's first two
		full, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Enter(full, named("a"), visit(32)); err == nil {
			t.Error("those who were written off left a slot twice")
		}
		for _, turn := range hung { // late, and twice
			turn.Done(backend.Outcome{Err: hungGreeting})
			turn.Leave()
		}
		r.wantState("a", backend.StateUsable)
		for _, turn := range turns {
			turn.Leave()
		}
		if s := r.status("a"); s.Logins != 0 {
			t.Errorf("%d logins in progress", s.Logins)
		}
	})
}

// A check that began before the opening saw what was before it.
func TestBreakerIgnoresOldChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		r.health.set("a", nil, 4*time.Second)
		for len(r.health.times("a")) == 0 {
			pass(50 * time.Millisecond)
		}
		for n := range 5 {
			_ = r.login("a", n, hungGreeting)
		}
		pass(4100 * time.Millisecond)
		r.wantState("a", backend.StateOpen)
		pass(3 * time.Second)
		r.wantState("a", backend.StateUsable)
	})
}
