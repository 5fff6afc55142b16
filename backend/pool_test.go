package backend_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"), named("b"))
		turn := r.enter("a", 1)
		turn.Stay()
		turn.Done(backend.Outcome{})
		if err := r.Drain("a", "anna"); err != nil {
			t.Fatal(err)
		}
		_ = r.Drain("a", "bert") // the first word stands
		wantReason(t, r.login("a", 2, nil), backend.Drained)
		r.wantSaid("backend=a state=drained was=usable", "by anna")
		s := r.status("a")
		if s.Sessions != 1 || s.Drain == nil || s.Drain.By != "anna" {
			t.Errorf("%+v", s)
		}
		if err := r.Drain("nobody", "anna"); err == nil {
			t.Error("drained what isn't there")
		}
		saved := r.Drained()
		if len(saved) != 1 || saved[0].Name != "a" || saved[0].By != "anna" || saved[0].Since.IsZero() {
			t.Errorf("%+v", saved)
		}
		if err := errors.Join(r.Resume("a", "bert"), r.Resume("a", "bert")); err != nil {
			t.Error(err)
		}
		if err := r.Resume("nobody", "bert"); err == nil {
			t.Error("resumed what isn't there")
		}
		if err := r.login("a", 2, nil); err != nil {
			t.Error(err)
		}
		r.wantSaid("state=usable was=drained", "resumed by bert")

		after := idlePool(t) // a restart, and the backends come later
		after.Restore(saved)
		after.Sync([]backend.Target{named("a")})
		wantReason(t, after.login("a", 2, nil), backend.Drained)
		after.Restore(nil)
		if err := after.login("a", 2, nil); err != nil {
			t.Error(err)
		}
	})
}

// A backend that is gone keeps its sessions and takes no new ones.
func TestSyncRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"), named("b"))
		turn := r.enter("a", 1)
		turn.Stay()
		turn.Done(backend.Outcome{})
		r.Sync([]backend.Target{named("b")})
		wantReason(t, r.login("a", 2, nil), backend.Unlisted)
		if s := r.status("a"); s.Sessions != 1 || s.State != backend.StateRemoved {
			t.Errorf("%+v", s)
		}
		pass(time.Hour)
		r.Sync([]backend.Target{named("a"), named("b")})
		if s := r.status("a"); s.Sessions != 1 || s.State != backend.StateUsable {
			t.Errorf("%+v", s)
		}
		r.Sync(nil)
		turn.Leave()
		pass(time.Second)
		if all := r.Snapshot(); len(all) != 0 {
			t.Errorf("not forgotten: %+v", all)
		}
		wantReason(t, r.login("a", 2, nil), backend.Unlisted)
		wantReason(t, r.Ask(named("a"), visit(1)), backend.Unlisted)
	})
}

// What was learnt of a backend was learnt of its addresses.
func TestSyncMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		session := r.enter("a", 30)
		session.Stay()
		for n := range 5 {
			_ = r.login("a", n, refusedConnect)
		}
		same := named("a")
		same.MaxLogins = 7
		r.Sync([]backend.Target{same})
		r.wantState("a", backend.StateOpen)
		moved := named("a")
		moved.Addresses = []string{"other.example.org:110"}
		r.Sync([]backend.Target{moved})
		r.wantState("a", backend.StateUsable)
		if s := r.status("a"); s.Sessions != 1 || s.Addresses[0] != "other.example.org:110" {
			t.Errorf("%+v", s)
		}
		session.Done(backend.Outcome{Err: hungGreeting})
		session.Leave()
		r.wantState("a", backend.StateUsable)
	})
}

// A directory may bring addresses that no Sync named: they are backends as well,
// in bounded number and for a while.
func TestVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		visitor := backend.Target{Name: "192.0.2.7:110", Addresses: []string{"192.0.2.7:110"}, MaxLogins: 20, Visitor: true}
		enter := func(target backend.Target, err error) error {
			turn, refused := r.Enter(t.Context(), target, visit(1))
			if refused == nil {
				turn.Done(backend.Outcome{Err: err})
			}
			return refused
		}
		if err := r.Ask(visitor, visit(1)); err != nil {
			t.Error(err)
		}
		for range 5 {
			if err := enter(visitor, refusedConnect); err != nil {
				t.Fatal(err)
			}
		}
		wantReason(t, enter(visitor, nil), backend.Broken)
		pass(5 * time.Second)
		if err := enter(visitor, nil); err != nil {
			t.Error(err)
		}
		checked := len(r.health.times(visitor.Name))
		pass(5 * time.Minute)
		if n := len(r.health.times(visitor.Name)); n != checked {
			t.Errorf("checked %d times more", n-checked)
		}
		pass(6 * time.Minute)
		if all := r.Snapshot(); len(all) != 1 {
			t.Errorf("%d backends", len(all))
		}
		refused := 0
		for n := range 5000 {
			name := fmt.Sprintf("198.51.%d.%d:110", n/250, n%250)
			if enter(backend.Target{Name: name, Addresses: []string{name}, Visitor: true}, nil) != nil {
				refused++
			}
		}
		if all := r.Snapshot(); len(all) != 4097 || refused != 5000-4096 {
			t.Errorf("%d backends, %d refused", len(all), refused)
		}
	})
}

func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		set := poolSettings()
		set.Interval, set.QueueTimeout = 0, time.Second
		r.Reconfigure(set)
		pass(10 * time.Second)
		before := len(r.health.times("a"))
		pass(time.Hour)
		if n := len(r.health.times("a")); n != before || n > 1 {
			t.Errorf("%d checks, then %d", before, n)
		}
		for n := range 20 {
			r.enter("a", n)
		}
		began := time.Now()
		wantReason(t, r.login("a", 30, nil), backend.Busy)
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited %v", took)
		}
	})
}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("b"), named("a"))
		for n := range 9 {
			turn := r.enter("a", n)
			turn.Done(backend.Outcome{Connect: time.Millisecond, Greeting: time.Duration(n) * time.Millisecond, Login: time.Duration(1+n) * time.Second})
		}
		_ = r.login("a", 20, hungGreeting)
		all := r.Snapshot()
		if len(all) != 2 || all[0].Name != "a" || all[1].Name != "b" {
			t.Fatalf("%+v", all)
		}
		s := all[0]
		if s.Connect != (backend.Latency{Count: 9, Median: time.Millisecond, Max: time.Millisecond}) ||
			s.Greeting.Count != 8 || s.Login != (backend.Latency{Count: 9, Median: 5 * time.Second, Max: 9 * time.Second}) {
			t.Errorf("%+v %+v %+v", s.Connect, s.Greeting, s.Login)
		}
		if s.Failures != 1 || s.LastError != hungGreeting.Error() || s.Breaker != "closed" || s.LastSuccess.IsZero() || s.LastFailure.IsZero() {
			t.Errorf("%+v", s)
		}
		pass(2 * time.Minute)
		if s := r.status("a"); s.Login.Count != 0 {
			t.Errorf("an old latency counts: %+v", s.Login)
		}
	})
}

func TestUnavailableError(t *testing.T) {
	e := &backend.Unavailable{Backend: "guest-01", Reason: backend.Broken, Why: "connect: unreachable"}
	if got, want := e.Error(), "backend guest-01: breaker open: connect: unreachable"; got != want {
		t.Errorf("got %s", got)
	}
	for _, r := range backend.Reasons() {
		if r.String() == "" || r.String()[0] == 'u' && r != backend.Unlisted {
			t.Errorf("%d is %q", r, r)
		}
	}
}

// Run ends with its context, and leaves nobody behind.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idlePool(t, named("a"))
		r.health.set("a", hungGreeting, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(ctx) }()
		pass(6 * time.Second)
		cancel()
		<-ended
		if s := r.status("a"); s.CheckError != "" && s.State != backend.StateUsable {
			t.Errorf("%+v", s)
		}
	})
}

// What a catalogue no longer has is let in no more, also when it is forgotten.
func TestForgottenIsNoVisitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := backend.Target{Name: "a", Addresses: []string{"192.0.2.1:110"}} // as of Consul: not declared
		r := runningPool(t, target)
		r.Sync(nil)
		for range 3 {
			_, err := r.Enter(t.Context(), target, visit(1))
			wantReason(t, err, backend.Unlisted)
			pass(5 * time.Second)
		}
	})
}

// Behind a drain all users come at once, as behind an outage.
func TestResumeRamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		if err := r.Drain("a", "olga"); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if err := r.Resume("a", "olga"); err != nil {
			t.Fatal(err)
		}
		if limit := r.Snapshot()[0].Limit; limit == 0 || limit >= 20 {
			t.Errorf("%d logins at once right behind resume", limit)
		}
	})
}
