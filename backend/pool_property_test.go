package backend_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
)

// ways are how a login of the random tests may end.
var ways = []error{nil, nil, nil, wrongPassword, clientLeft, hungGreeting, refusedConnect, hungPass, context.Canceled}

// random does whatever a gateway may do, in any order, and keeps its own account.
type random struct {
	*rig
	bytes   []byte
	target  backend.Target
	turns   []*backend.Turn
	done    map[*backend.Turn]bool
	session map[*backend.Turn]bool
}

func (z *random) next() int {
	if len(z.bytes) == 0 {
		return 0
	}
	b := z.bytes[0]
	z.bytes = z.bytes[1:]
	return int(b)
}

func (z *random) turn() *backend.Turn {
	if len(z.turns) == 0 {
		return nil
	}
	return z.turns[z.next()%len(z.turns)]
}

func (z *random) enter() {
	ctx, cancel := context.WithTimeout(z.t.Context(), time.Second)
	defer cancel()
	n := z.next()
	turn, err := z.Enter(ctx, z.target, backend.Visit{Client: client(n % 5), Mailbox: visit(n % 9).Mailbox})
	if err == nil {
		z.turns = append(z.turns, turn)
	}
}

func (z *random) act() {
	turn := z.turn()
	switch what := z.next() % 12; {
	case what < 4:
		z.enter()
	case what == 4:
		time.Sleep(time.Duration(z.next()) * 10 * time.Millisecond)
	case what == 5:
		z.Sync([]backend.Target{z.target}[:z.next()%2])
	case what == 6:
		z.Hearsay("a", z.next()%2 == 0, "said")
	case what == 7 && z.next()%3 == 0:
		_ = z.Drain("a", "anna")
	case what == 7:
		_ = z.Resume("a", "anna")
	case turn == nil:
	case what == 8:
		turn.Stay()
		z.session[turn] = true
	case what == 9:
		turn.Leave()
		z.done[turn] = true
		delete(z.session, turn)
		z.turns = remove(z.turns, turn)
	default:
		turn.Done(backend.Outcome{Err: ways[z.next()%len(ways)]})
		z.done[turn] = true
	}
}

func remove(turns []*backend.Turn, turn *backend.Turn) []*backend.Turn {
	var left []*backend.Turn
	for _, other := range turns {
		if other != turn {
			left = append(left, other)
		}
	}
	return left
}

// check compares the pool's account with the test's.
func (z *random) check() {
	logins := 0
	for _, turn := range z.turns {
		if !z.done[turn] {
			logins++
		}
	}
	all := z.Snapshot()
	if len(all) == 0 {
		if logins+len(z.session) > 0 {
			z.t.Fatal("forgotten with logins or sessions")
		}
		return
	}
	s := all[0]
	if s.Logins != logins || s.Sessions != len(z.session) || s.Queued != 0 {
		z.t.Fatalf("%d logins, %d sessions, %d queued, want %d, %d", s.Logins, s.Sessions, s.Queued, logins, len(z.session))
	}
	if s.Sessions > s.MaxSessions {
		z.t.Fatalf("%d sessions", s.Sessions)
	}
}

// Whatever happens in whatever order: no slot leaks, no limit is exceeded, and
// when all are gone a healthy backend takes logins again.
func sequence(t *testing.T, bytes []byte) {
	synctest.Test(t, func(t *testing.T) {
		target := named("a")
		target.MaxLogins, target.MaxSessions = 4, 6
		z := &random{rig: runningPool(t, target), bytes: bytes, target: target, done: map[*backend.Turn]bool{}, session: map[*backend.Turn]bool{}}
		for len(z.bytes) > 0 {
			z.act()
			z.check()
		}
		for _, turn := range z.turns {
			turn.Leave()
		}
		_ = z.Resume("a", "anna")
		z.Sync([]backend.Target{target})
		pass(time.Minute)
		for n := range 30 { // half-open, the first has to prove it
			if err := z.login("a", 100+n, nil); err != nil {
				t.Fatalf("login %d: %v", n, err)
			}
		}
		pass(10 * time.Second)
		s := z.status("a")
		if s.State != backend.StateUsable || s.Logins != 0 || s.Sessions != 0 || s.Queued != 0 || s.Limit != 4 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestPoolSequences(t *testing.T) {
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 5))
		bytes := make([]byte, 400)
		for i := range bytes {
			bytes[i] = byte(random.Uint32())
		}
		sequence(t, bytes)
	}
}

func FuzzPoolSequences(f *testing.F) {
	f.Add([]byte("enter, done, leave, drain, and again"))
	f.Add([]byte{0, 1, 0, 2, 10, 0, 5, 0, 10, 0, 6, 0, 8, 0, 9})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) <= 600 {
			sequence(t, bytes)
		}
	})
}

// Many at once, over real time: what the race detector and the limits say.
func TestPoolUnderStress(t *testing.T) {
	target := named("a")
	target.MaxLogins, target.MaxSessions = 8, 40
	set := poolSettings()
	set.DownInterval, set.QueueTimeout = 5*time.Millisecond, 50*time.Millisecond
	p := backend.NewPool(backend.PoolOptions{Settings: set, Prober: &health{}, Logger: slog.New(slog.DiscardHandler)})
	p.Sync([]backend.Target{target, named("b")})
	ctx, cancel := context.WithCancel(t.Context())
	var running, users sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	for n := range 64 {
		users.Go(func() { stress(ctx, p, target, n) })
	}
	for n := range 50 {
		p.Reconfigure(set)
		p.Sync([]backend.Target{target, named("b")}[:1+n%2])
		p.Hearsay("a", n%3 == 0, "said")
		_ = p.Drain("b", "anna")
		_ = p.Resume("b", "anna")
		for _, s := range p.Snapshot() {
			if s.Sessions > 40 && s.Name == "a" {
				t.Errorf("%d sessions", s.Sessions)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	users.Wait()
	cancel()
	running.Wait()
	for _, s := range p.Snapshot() {
		if s.Logins+s.Sessions+s.Queued != 0 {
			t.Errorf("%s: %d logins, %d sessions, %d queued", s.Name, s.Logins, s.Sessions, s.Queued)
		}
	}
}

func stress(ctx context.Context, p *backend.Pool, target backend.Target, n int) {
	random := rand.New(rand.NewPCG(uint64(n), 7))
	for range 60 {
		visit := backend.Visit{Client: netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 16)}), Mailbox: visit(n).Mailbox}
		entering, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(20))*time.Millisecond)
		if random.IntN(3) == 0 {
			cancel()
		}
		turn, err := p.Enter(entering, target, visit)
		cancel()
		if err != nil {
			continue
		}
		if random.IntN(2) == 0 {
			turn.Stay()
		}
		turn.Done(backend.Outcome{Err: ways[random.IntN(len(ways))]})
		turn.Leave()
	}
}
