package backend_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
)

// line lets visits queue up one by one, and keeps the order in which they had their turns.
type line struct {
	rig     *rig
	mu      sync.Mutex
	order   []int
	refused []error
	wait    sync.WaitGroup
}

// stand queues a visit that takes its turn for a while.
func (l *line) stand(ctx context.Context, n int, v backend.Visit, takes time.Duration) {
	l.wait.Go(func() {
		turn, err := l.rig.Enter(ctx, named("a"), v)
		l.mu.Lock()
		if err != nil {
			l.refused = append(l.refused, err)
		} else {
			l.order = append(l.order, n)
		}
		l.mu.Unlock()
		if err == nil {
			time.Sleep(takes)
			turn.Done(backend.Outcome{})
			turn.Leave()
		}
	})
	synctest.Wait()
}

// had is who had a turn, in order.
func (l *line) had() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

// told is what the others heard.
func (l *line) told() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.refused)
}

func TestQueueFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{rig: idlePool(t, named("a"))}
		for n := range 100 {
			l.stand(t.Context(), n, visit(n), time.Second)
		}
		if s := l.rig.status("a"); s.Logins != 20 || s.Queued != 80 {
			t.Errorf("%d in progress, %d queued", s.Logins, s.Queued)
		}
		l.wait.Wait()
		if !slices.IsSortedFunc(l.had(), func(a, b int) int { return a/20 - b/20 }) || len(l.had()) != 100 {
			t.Errorf("order %v", l.had())
		}
	})
}

func TestQueueDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{rig: idlePool(t, named("a"))}
		for n := range 30 {
			l.stand(t.Context(), n, visit(n), time.Hour)
		}
		began := time.Now()
		pass(9 * time.Second)
		if len(l.told()) > 0 {
			t.Fatal("refused early")
		}
		pass(time.Second)
		if len(l.told()) != 10 {
			t.Fatalf("%d refused", len(l.told()))
		}
		for _, err := range l.told() {
			wantReason(t, err, backend.Busy)
			if u, _ := errors.AsType[*backend.Unavailable](err); u.Waited != 10*time.Second {
				t.Errorf("waited %v", u.Waited)
			}
		}
		if s := l.rig.status("a"); s.Refused["busy"] != 10 || s.Queued != 0 || time.Since(began) != 10*time.Second {
			t.Errorf("%+v", s)
		}
		l.wait.Wait()
	})
}

// A full queue answers at once.
func TestQueueBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{rig: idlePool(t, named("a"))}
		for n := range 20 + 500 + 7 {
			l.stand(t.Context(), n, visit(n), time.Minute)
		}
		if s := l.rig.status("a"); s.Queued != 500 || s.Logins != 20 || len(l.told()) != 7 {
			t.Errorf("%d queued, %d refused", s.Queued, len(l.told()))
		}
		l.wait.Wait()
	})
}

// No address has more than three quarters of the slots and of the queue; IPv6 by its /64.
func TestQueueShares(t *testing.T) {
	for name, address := range map[string]func(int) netip.Addr{
		"IPv4":   func(int) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		"mapped": func(int) netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.1") },
		"/64": func(n int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 14: byte(n >> 8), 15: byte(n)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &line{rig: idlePool(t, named("a"))}
				for n := range 400 {
					v := visit(n)
					v.Client = address(n)
					l.stand(t.Context(), n, v, 5*time.Second)
				}
				if s := l.rig.status("a"); s.Logins != 15 || s.Queued != 375 || len(l.told()) != 10 {
					t.Errorf("%d in progress, %d queued, %d refused", s.Logins, s.Queued, len(l.told()))
				}
				l.stand(t.Context(), 1000, visit(1000), 0)
				if !slices.Contains(l.had(), 1000) {
					t.Error("another waits behind them")
				}
				l.wait.Wait()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // IPv4 mapped into one /64 is many addresses all the same
		l := &line{rig: idlePool(t, named("a"))}
		for n := range 20 {
			v := visit(n)
			v.Client = netip.AddrFrom16(v.Client.As16())
			l.stand(t.Context(), n, v, time.Second)
		}
		if s := l.rig.status("a"); s.Logins != 20 {
			t.Errorf("%d in progress", s.Logins)
		}
		l.wait.Wait()
	})
	synctest.Test(t, func(t *testing.T) { // who is exempt has no share to keep to
		l := &line{rig: idlePool(t, named("a"))}
		for n := range 30 {
			l.stand(t.Context(), n, backend.Visit{Mailbox: visit(n).Mailbox}, time.Second)
		}
		if s := l.rig.status("a"); s.Logins != 20 || s.Queued != 10 {
			t.Errorf("%d in progress, %d queued", s.Logins, s.Queued)
		}
		l.wait.Wait()
	})
}

// A client that leaves the queue takes nothing with it.
func TestQueueLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{rig: idlePool(t, named("a"))}
		for n := range 20 {
			l.stand(t.Context(), n, visit(n), 2*time.Second)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for n := range 50 {
			l.stand(ctx, 100+n, visit(100+n), 0)
		}
		cancel()
		synctest.Wait()
		if s := l.rig.status("a"); s.Queued != 0 || s.Refused["busy"] != 0 || len(l.told()) != 50 {
			t.Errorf("%d queued, refused %v", s.Queued, s.Refused)
		}
		for _, err := range l.told() {
			if e, ok := errors.AsType[*backend.Error](err); !ok || e.Kind != backend.Canceled {
				t.Errorf("%v", err)
			}
		}
		l.wait.Wait()
		if len(l.had()) != 20 {
			t.Errorf("%d had a turn", len(l.had()))
		}
	})
}

// Whoever waits hears at once what ends the waiting.
func TestQueueToldAtOnce(t *testing.T) {
	for reason, end := range map[backend.Reason]func(*rig, []*backend.Turn){
		backend.Drained:  func(r *rig, _ []*backend.Turn) { _ = r.Drain("a", "anna") },
		backend.Unlisted: func(r *rig, _ []*backend.Turn) { r.Sync(nil) },
		backend.Broken: func(_ *rig, turns []*backend.Turn) {
			for _, turn := range turns[:5] {
				turn.Done(backend.Outcome{Err: hungGreeting})
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := idlePool(t, named("a"))
			var turns []*backend.Turn
			for n := range 20 {
				turns = append(turns, r.enter("a", n))
			}
			l := &line{rig: r}
			for n := range 9 {
				// Who gets a turn keeps it for now: a login that succeeds between the failures would end their row.
				l.stand(t.Context(), n, visit(100+n), time.Second)
			}
			end(r, turns)
			synctest.Wait()
			if len(l.told()) < 4 { // five slots became free before the breaker opened
				t.Errorf("%s: %d refused, %d had a turn", reason, len(l.told()), len(l.had()))
			}
			for _, err := range l.told() {
				wantReason(t, err, reason)
			}
			wantReason(t, r.Ask(named("a"), visit(7)), reason)
			l.wait.Wait()
		})
	}
}

// max_sessions bounds sessions, and logins that may become one.
func TestMaxSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := named("a")
		target.MaxSessions = 3
		r := idlePool(t, target)
		var turns []*backend.Turn
		for n := range 3 {
			turns = append(turns, r.enter("a", n))
		}
		l := &line{rig: r}
		l.stand(t.Context(), 4, visit(4), 0) // waits: one of the three may come to nothing
		turns[0].Stay()
		turns[0].Done(backend.Outcome{})
		turns[1].Done(backend.Outcome{Err: wrongPassword})
		synctest.Wait()
		if len(l.had()) != 1 {
			t.Error("the place of a refused login stays taken")
		}
		turns[2].Done(backend.Outcome{})
		turns[2].Stay()
		turn := r.enter("a", 5)
		turn.Stay()
		wantReason(t, r.login("a", 6, nil), backend.Full)
		turns[0].Leave()
		turns[0].Leave()
		if err := r.login("a", 6, nil); err != nil {
			t.Error(err)
		}
		turn.Leave()
		turns[2].Leave()
		turns[2].Stay() // over is over
		if s := r.status("a"); s.Sessions != 0 || s.Logins != 0 {
			t.Errorf("%d sessions, %d logins", s.Sessions, s.Logins)
		}
	})
}

// A session that ends makes room for who waits.
func TestMaxSessionsMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := named("a")
		target.MaxSessions = 2
		r := idlePool(t, target)
		session, login := r.enter("a", 1), r.enter("a", 2)
		session.Stay()
		session.Done(backend.Outcome{})
		l := &line{rig: r}
		l.stand(t.Context(), 3, visit(3), 0)
		if len(l.had()) > 0 {
			t.Error("one too many")
		}
		session.Leave()
		synctest.Wait()
		if len(l.had()) != 1 {
			t.Error("still waits")
		}
		login.Leave()
		l.wait.Wait()
	})
}

// A backend that comes back gets few at once, and more each second.
func TestRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		for n := range 5 {
			_ = r.login("a", n, hungGreeting)
		}
		for r.status("a").State != backend.StateUsable {
			pass(10 * time.Millisecond)
		}
		var limits []int
		for range 6 {
			if s := r.status("a"); len(limits) == 0 || limits[len(limits)-1] != s.Limit {
				limits = append(limits, s.Limit)
			}
			pass(time.Second)
		}
		if want := []int{2, 4, 8, 16, 20}; !slices.Equal(limits, want) {
			t.Errorf("limits %v, want %v", limits, want)
		}
	})
}

// Without limits nothing is counted against anybody.
func TestNoLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := named("a")
		target.MaxLogins = 0
		r := idlePool(t, target)
		for range 3000 {
			if _, err := r.Enter(t.Context(), target, visit(1)); err != nil {
				t.Fatal(err)
			}
		}
		if s := r.status("a"); s.Logins != 3000 || s.Limit != 0 {
			t.Errorf("%d logins, limit %d", s.Logins, s.Limit)
		}
	})
}

// A turn that nobody ended is taken back, with a record.
func TestLostTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runningPool(t, named("a"))
		lost := r.enter("a", 1)
		pass(9 * time.Minute)
		if s := r.status("a"); s.Logins != 1 {
			t.Error("taken back early")
		}
		pass(2 * time.Minute)
		if s := r.status("a"); s.Logins != 0 {
			t.Error("not taken back")
		}
		r.wantSaid("a login never ended", "backend=a", "user1@example.com")
		lost.Done(backend.Outcome{Err: hungGreeting})
		lost.Leave()
		if s := r.status("a"); s.Logins != 0 || s.Sessions != 0 {
			t.Errorf("%+v", s)
		}
	})
}
