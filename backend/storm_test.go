package backend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
)

// The login storm: a guest with 3,000 users returns after ten minutes. It serves 50
// logins a second, as long as no more are at work than it has disk arms and memory
// for, its knee; beyond that each further one costs the others more than it
// brings. A third of the users sit in front of it: they click at once, and again 30
// to 60 s after each failure. The others' mail clients poll every 5 to 10 minutes
// and take [SYS/TEMP] for an answer until then. Nobody waits longer than 30 s.
const (
	stormUsers   = 3000
	stormRate    = 50.0 // logins a second
	stormThrash  = 0.25 // what each knee's worth beyond the knee costs
	stormPatient = 30 * time.Second
	stormTick    = 20 * time.Millisecond
	stormEnd     = time.Hour
)

// sharedGuest works on all its logins at the same time.
type sharedGuest struct {
	knee int
	mu   sync.Mutex
	work map[*job]struct{}
	most int
}

type job struct {
	left float64 // of 1
	done chan struct{}
}

// speed is how many logins a second it ends with so many at work.
func (g *sharedGuest) speed(n int) float64 {
	if n <= g.knee {
		return stormRate * float64(n) / float64(g.knee)
	}
	return stormRate / (1 + stormThrash*float64(n-g.knee)/float64(g.knee))
}

func (g *sharedGuest) run(ctx context.Context) {
	ticker := time.NewTicker(stormTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		g.mu.Lock()
		n := len(g.work)
		g.most = max(g.most, n)
		for j := range g.work {
			if j.left -= g.speed(n) / float64(n) * stormTick.Seconds(); j.left <= 0 {
				delete(g.work, j)
				close(j.done)
			}
		}
		g.mu.Unlock()
	}
}

// login is one that ends, or isn't waited for any longer.
func (g *sharedGuest) login() error {
	j := &job{left: 1, done: make(chan struct{})}
	g.mu.Lock()
	g.work[j] = struct{}{}
	g.mu.Unlock()
	patience := time.NewTimer(stormPatient)
	defer patience.Stop()
	select {
	case <-j.done:
		return nil
	case <-patience.C:
		g.mu.Lock()
		delete(g.work, j)
		g.mu.Unlock()
		return hungPass
	}
}

// storm is one run.
type storm struct {
	guest  *sharedGuest
	pool   *backend.Pool // nil: no admission
	began  time.Time
	mu     sync.Mutex
	in     []time.Duration // when users were in
	failed int
	took   []time.Duration // since the adapting limit looked
}

func (s *storm) user(n int, sits bool, r *rand.Rand) {
	poll := 5*time.Minute + time.Duration(r.Int64N(int64(5*time.Minute)))
	pause := time.Duration(r.Int64N(int64(poll)))
	if sits {
		pause = time.Duration(r.Int64N(int64(20 * time.Second)))
	}
	for {
		time.Sleep(pause)
		err := s.attempt(n)
		s.mu.Lock()
		if err == nil {
			s.in = append(s.in, time.Since(s.began))
			s.mu.Unlock()
			return
		}
		s.failed++
		s.mu.Unlock()
		if time.Since(s.began) > stormEnd {
			return
		}
		if pause = poll; sits {
			pause = 30*time.Second + time.Duration(r.Int64N(int64(30*time.Second)))
		}
	}
}

func (s *storm) attempt(n int) error {
	if s.pool == nil {
		return s.guest.login()
	}
	turn, err := s.pool.Enter(context.Background(), named("a"), visit(n))
	if err != nil {
		return err
	}
	defer turn.Leave()
	began := time.Now()
	err = s.guest.login()
	s.mu.Lock()
	s.took = append(s.took, time.Since(began))
	s.mu.Unlock()
	turn.Done(backend.Outcome{Err: err})
	return err
}

// adapt is a limit that follows the guest's answers as TCP follows losses: one more
// each second while logins take at most twice the quickest, three quarters when they
// take longer.
func (s *storm) adapt(ctx context.Context) {
	target, quickest := named("a"), stormPatient
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		s.mu.Lock()
		took := s.took
		s.took = nil
		s.mu.Unlock()
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		quickest = min(quickest, took[0])
		if took[len(took)/2] > 2*quickest {
			target.MaxLogins = max(2, target.MaxLogins*3/4)
		} else {
			target.MaxLogins++
		}
		s.pool.Sync([]backend.Target{target})
	}
}

// result is what a run came to.
type result struct {
	half, most, all time.Duration // until as many users are in; most is 95 %
	in, failed      int
	atOnce          int
}

func runStorm(t *testing.T, policy string, knee, oneIn int) (res result) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var world, users sync.WaitGroup
		s := &storm{guest: &sharedGuest{knee: knee, work: map[*job]struct{}{}}, began: time.Now()}
		world.Go(func() { s.guest.run(ctx) })
		if policy != "none" {
			s.pool = idlePool(t, named("a")).Pool
			world.Go(func() { s.pool.Run(ctx) })
		}
		if policy == "adaptive" {
			world.Go(func() { s.adapt(ctx) })
		}
		for n := range stormUsers {
			r := rand.New(rand.NewPCG(uint64(n), 11))
			users.Go(func() { s.user(n, n%oneIn == 0, r) })
		}
		users.Wait()
		cancel()
		world.Wait()
		in := slices.IndexFunc(s.in, func(d time.Duration) bool { return d > stormEnd })
		if in < 0 {
			in = len(s.in)
		}
		s.in = s.in[:in]
		res = result{in: in, failed: s.failed, atOnce: s.guest.most}
		at := func(n int) time.Duration {
			if n > len(s.in) {
				return stormEnd
			}
			return s.in[n-1].Round(time.Second)
		}
		res.half, res.most, res.all = at(stormUsers/2), at(stormUsers*95/100), at(stormUsers)
	})
	return res
}

// stormCase is a guest and its users.
type stormCase struct{ oneIn, knee int }

// The order is what is held. The whole table, for docs/performance.md, comes with -v.
func TestLoginStorm(t *testing.T) {
	cases := []stormCase{{1, 20}}
	if testing.Verbose() {
		cases = []stormCase{{1, 5}, {1, 20}, {1, 80}, {3, 5}, {3, 20}, {3, 80}}
	}
	var table strings.Builder
	fmt.Fprintln(&table, "| users in front of it | the guest's knee | max_logins | half are in | 95 % are in | all are in | attempts that failed | most at once |")
	fmt.Fprintln(&table, "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
	for _, c := range cases {
		results := map[string]result{}
		for _, policy := range []string{"none", "20", "adaptive"} {
			r := runStorm(t, policy, c.knee, c.oneIn)
			results[policy] = r
			fmt.Fprintf(&table, "| %d | %d | %s | %s | %s | %s | %d | %d |\n", stormUsers/c.oneIn, c.knee, policy,
				r.when(r.half), r.when(r.most), r.when(r.all), r.failed, r.atOnce)
		}
		none, fixed := results["none"], results["20"]
		if fixed.in != stormUsers {
			t.Errorf("%+v: with admission only %d are in", c, fixed.in)
		}
		if c.knee <= 20 && (fixed.failed >= none.failed || fixed.all > none.all) {
			t.Errorf("%+v: admission makes it worse: %+v, without %+v", c, fixed, none)
		}
	}
	t.Log("\n" + table.String())
}

func (r result) when(d time.Duration) string {
	if d >= stormEnd {
		return fmt.Sprintf("never (%d in an hour)", r.in)
	}
	return d.String()
}
