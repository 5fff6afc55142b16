package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
)

// When backends are checked.
func TestChecksWhen(t *testing.T) {
	for _, c := range []struct {
		name     string
		down     bool
		logins   time.Duration // one each; 0: none
		within   time.Duration
		min, max int
	}{
		{"nothing is known", false, 0, time.Hour, 54, 67},
		{"logins succeed", false, 20 * time.Second, time.Hour, 0, 2},
		{"a check failed", true, 0, 10 * time.Minute, 270, 335},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runningPool(t, named("a"))
				if c.down {
					r.health.set("a", hungGreeting, 0)
				}
				for began := time.Now(); time.Since(began) < c.within; {
					if c.logins == 0 {
						pass(c.within)
						break
					}
					_ = r.login("a", 1, nil)
					pass(c.logins)
				}
				if n := len(r.health.times("a")); n < c.min || n > c.max {
					t.Errorf("%d checks, want %d to %d", n, c.min, c.max)
				}
			})
		})
	}
}

// Gateways and backends that start together are not checked together.
func TestChecksAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []backend.Target
		for n := range 300 {
			all = append(all, named(fmt.Sprint("guest-", n)))
		}
		r := runningPool(t, all...)
		pass(10 * time.Minute)
		at := map[time.Time]int{}
		for _, target := range all {
			for _, when := range r.health.times(target.Name) {
				at[when]++
			}
		}
		for when, n := range at {
			if n > 40 {
				t.Errorf("%d at once at %v", n, when)
			}
		}
	})
}

// What is only said of a backend lets a few in at a time, and the first success ends it.
func TestRumourLetsAFewIn(t *testing.T) {
	for name, begin := range map[string]func(*rig){
		"checks": func(r *rig) {
			pass(10 * time.Second)
			r.health.set("a", hungGreeting, 0)
			pass(90 * time.Second)
		},
		"catalogue": func(r *rig) { r.Hearsay("a", true, "critical") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runningPool(t, named("a"), named("b"), named("c"))
				begin(r)
				r.wantState("a", backend.StateHalfOpen)
				r.wantSaid("backend=a state=half-open was=usable")
				l := &line{rig: r}
				for n := range 10 {
					l.stand(t.Context(), n, visit(n), time.Second)
				}
				if s := r.status("a"); s.Logins != 3 || s.Queued != 7 || s.Limit != 3 {
					t.Errorf("%d in progress, %d queued, limit %d", s.Logins, s.Queued, s.Limit)
				}
				pass(time.Second)
				r.wantState("a", backend.StateUsable)
				r.wantSaid("state=usable was=half-open", "a login succeeded")
				l.wait.Wait()
				if len(l.told()) > 0 {
					t.Errorf("refused: %v", l.told())
				}
			})
		})
	}
}

// Trials that fail as the rumour says open the breaker sooner.
func TestRumourConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idlePool(t, named("a"))
		r.Hearsay("a", true, "critical")
		for n := range 3 {
			r.wantState("a", backend.StateHalfOpen)
			_ = r.login("a", n, hungGreeting)
		}
		r.wantState("a", backend.StateOpen)
	})
}

func TestRumourTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"), named("b"), named("c"))
		r.Hearsay("a", true, "critical: no answer")
		r.Hearsay("a", true, "critical: still none")
		r.Hearsay("nobody", true, "critical")
		if s := r.status("a"); !strings.Contains(s.Reason, "still none") {
			t.Error(s.Reason)
		}
		r.Hearsay("a", false, "")
		r.wantState("a", backend.StateUsable)
		_ = r.login("a", 1, nil)
		r.Hearsay("a", true, "critical")
		_ = r.login("a", 1, nil)
		r.wantState("a", backend.StateUsable)
		r.Hearsay("a", true, "critical") // the same rumour again
		r.wantState("a", backend.StateUsable)
		r.Hearsay("a", false, "")
		r.Hearsay("a", true, "critical") // a new one
		r.wantState("a", backend.StateHalfOpen)

		pass(10 * time.Second)
		r.health.set("b", refusedConnect, 0)
		pass(80 * time.Second)
		r.wantState("b", backend.StateHalfOpen)
		r.health.set("b", nil, 0)
		pass(3 * time.Second)
		r.wantState("b", backend.StateUsable)
		r.wantSaid("checks succeed")
	})
}

// All look down at once: the gateway's own network, or the catalogue's doing. One
// alarm, and no login is the worse for it.
func TestDistrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []backend.Target
		for n := range 10 {
			all = append(all, named(fmt.Sprint("guest-", n)))
		}
		r := runningPool(t, all...)
		pass(10 * time.Second)
		for _, target := range all {
			r.Hearsay(target.Name, true, "critical")
		}
		pass(time.Second)
		if _, on := r.Distrusts(); !on {
			t.Fatal("trusts itself")
		}
		r.wantSaid("the gateway distrusts itself")
		if n := strings.Count(r.said, "level=ERROR"); n != 1 {
			t.Errorf("%d alarms:\n%s", n, r.said)
		}
		l := &line{rig: r}
		for n := range 20 {
			l.stand(t.Context(), n, visit(n), 0)
		}
		for n := range 20 { // all at once
			turn, err := r.Enter(t.Context(), named("guest-3"), visit(n))
			if err != nil {
				t.Fatal(err)
			}
			defer turn.Leave()
		}
		r.wantState("guest-3", backend.StateUsable)
		for _, target := range all[:4] {
			r.Hearsay(target.Name, false, "")
		}
		pass(time.Second)
		if _, on := r.Distrusts(); !on {
			t.Error("more than half are still down")
		}
		r.Hearsay("guest-4", false, "")
		pass(time.Second)
		if _, on := r.Distrusts(); on {
			t.Error("distrusts itself for ever")
		}
		r.wantState("guest-9", backend.StateHalfOpen)
		r.wantSaid("checks count again")
	})
}

// A breaker that logins opened stays open meanwhile, and a good check closes it.
func TestDistrustLeavesBreakers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"), named("b"), named("c"))
		for _, name := range []string{"a", "b", "c"} {
			r.health.set(name, refusedConnect, 0)
			for n := range 5 {
				_ = r.login(name, n, refusedConnect)
			}
		}
		pass(20 * time.Second)
		if _, on := r.Distrusts(); !on {
			t.Error("trusts itself")
		}
		wantReason(t, r.login("a", 9, nil), backend.Broken)
		for _, name := range []string{"a", "b", "c"} {
			r.health.set(name, nil, 0)
		}
		pass(3 * time.Second)
		if err := r.login("a", 9, nil); err != nil {
			t.Error(err)
		}
		if _, on := r.Distrusts(); on {
			t.Error("distrusts itself for ever")
		}
	})
}

// They go down one after the other, as backends do: that is no reason for doubt.
func TestDistrustNeedsHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"), named("b"), named("c"), named("d"))
		for _, name := range []string{"a", "b", "c", "d"} {
			r.Hearsay(name, true, "critical")
			pass(25 * time.Second)
		}
		if _, on := r.Distrusts(); on {
			t.Error("distrusts itself")
		}
	})
	synctest.Test(t, func(t *testing.T) { // of one backend "most" says nothing
		r := runningPool(t, named("a"))
		r.Hearsay("a", true, "critical")
		pass(time.Second)
		if _, on := r.Distrusts(); on {
			t.Error("distrusts itself over a single backend")
		}
	})
}

// What a check finds out is dropped where something newer is known, or another
// machine is meant by now.
func TestChecksOutOfDate(t *testing.T) {
	for name, happens := range map[string]func(*rig){
		"a login succeeded": func(r *rig) { _ = r.login("a", 1, nil) },
		"the backend moved": func(r *rig) {
			moved := named("a")
			moved.Addresses = []string{"other.example.org:110"}
			r.health.set("a", nil, 0)
			r.Sync([]backend.Target{moved})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runningPool(t, named("a"))
				set := poolSettings()
				set.Fall = 1
				r.Reconfigure(set)
				r.health.set("a", hungGreeting, 4*time.Second)
				for len(r.health.times("a")) == 0 {
					pass(50 * time.Millisecond)
				}
				happens(r)
				pass(4100 * time.Millisecond)
				if s := r.status("a"); s.CheckError != "" || s.State != backend.StateUsable {
					t.Errorf("%s: %s", s.State, s.CheckError)
				}
			})
		})
	}
}
