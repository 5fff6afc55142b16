package limits

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// room is a Waiting whose sessions have numbers, and who gave way so far.
type room struct {
	*Waiting
	t       *testing.T
	tickets map[int]*Ticket
	gone    []int
}

func newRoom(t *testing.T, b Bounds) *room {
	return &room{Waiting: NewWaiting(b), t: t, tickets: make(map[int]*Ticket)}
}

func (r *room) enter(n int, cost int64) error {
	ticket, err := r.Enter(cost, func() {
		r.Held() // would hang if it were called with the lock
		r.gone = append(r.gone, n)
	})
	if (err == nil) != (ticket != nil) {
		r.t.Errorf("%v, %v", ticket, err)
	}
	r.tickets[n] = ticket
	return err
}

func (r *room) expect(gone ...int) {
	r.t.Helper()
	if !slices.Equal(r.gone, gone) {
		r.t.Errorf("%v gave way, want %v", r.gone, gone)
	}
}

func (r *room) expectHeld(sessions int, memory int64) {
	r.t.Helper()
	if s, m := r.Held(); s != sessions || m != memory {
		r.t.Errorf("%d sessions with %d octets, want %d with %d", s, m, sessions, memory)
	}
}

// fill enters sessions 1 to n, each with 10 octets.
func fill(t *testing.T, b Bounds, n int) *room {
	r := newRoom(t, b)
	for i := 1; i <= n; i++ {
		if err := r.enter(i, 10); err != nil {
			t.Fatal(err)
		}
	}
	r.expect()
	return r
}

func TestWaitingOldestGivesWay(t *testing.T) {
	for _, b := range []Bounds{{Sessions: 3}, {Memory: 30}, {Memory: 39}, {Sessions: 3, Memory: 1000}} {
		r := fill(t, b, 3)
		for n, gone := range [][]int{{1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4}} {
			if err := r.enter(4+n, 10); err != nil {
				t.Errorf("%v: %v", b, err)
			}
			r.expect(gone...)
			r.expectHeld(3, 30)
		}
	}
}

func TestWaitingWithoutBounds(t *testing.T) {
	fill(t, Bounds{}, 1000).expectHeld(1000, 10_000)
}

func TestWaitingInFlightStays(t *testing.T) {
	r := fill(t, Bounds{Memory: 30}, 3)
	for _, n := range []int{1, 3} {
		for range 2 {
			if !r.tickets[n].InFlight(true) {
				t.Errorf("%d may not log in", n)
			}
		}
	}
	if err := r.enter(4, 10); err != nil {
		t.Error(err)
	}
	r.expect(2)
	if r.tickets[2].InFlight(true) || r.tickets[2].InFlight(false) {
		t.Error("who gave way may log in")
	}
	r.tickets[4].InFlight(true)
	if err := r.enter(5, 10); !errors.Is(err, ErrWaiting) {
		t.Errorf("%v, want %v", err, ErrWaiting)
	}
	if r.Yield() {
		t.Error("somebody with a login in flight gave way")
	}
	r.expect(2)
	r.expectHeld(3, 30)
}

// Who failed to log in is as old as before: else a stranger could stay by failing.
func TestWaitingFailedLoginKeepsAge(t *testing.T) {
	r := fill(t, Bounds{Memory: 40}, 4)
	for _, n := range []int{2, 1, 3} {
		r.tickets[n].InFlight(true)
	}
	for _, n := range []int{3, 1, 2} {
		r.tickets[n].InFlight(false)
	}
	for n := range 4 {
		_ = r.enter(10+n, 10)
	}
	r.expect(1, 2, 3, 4)
}

func TestWaitingCosts(t *testing.T) {
	r := fill(t, Bounds{Memory: 50}, 5)
	if err := r.enter(6, 25); err != nil {
		t.Error(err)
	}
	r.expect(1, 2, 3)
	r.expectHeld(3, 45)
	if err := r.enter(7, 51); !errors.Is(err, ErrWaiting) {
		t.Errorf("one larger than all: %v, want %v", err, ErrWaiting)
	}
	r.expect(1, 2, 3) // and nobody gave way for nothing
	r.tickets[6].InFlight(true)
	if err := r.enter(8, 26); !errors.Is(err, ErrWaiting) {
		t.Errorf("%v, want %v", err, ErrWaiting)
	}
	r.expect(1, 2, 3)
	r.expectHeld(3, 45)
}

func TestTicketGrow(t *testing.T) {
	r := fill(t, Bounds{Memory: 50}, 5)
	grow := func(n int, by int64, want bool) {
		t.Helper()
		if got := r.tickets[n].Grow(by); got != want {
			t.Errorf("%d by %d: %v, want %v", n, by, got, want)
		}
	}
	grow(1, 15, true) // the oldest, but not to give way to itself
	r.expect(2, 3)
	r.expectHeld(3, 45)
	grow(1, 26, false)
	r.expect(2, 3)
	r.expectHeld(3, 45)
	grow(1, -15, true)
	r.expectHeld(3, 30)
	grow(2, 1, false) // gave way
	grow(2, -1, false)
	r.tickets[4].InFlight(true)
	r.tickets[5].InFlight(true)
	grow(4, 20, true) // with a login in flight
	grow(4, 10, true)
	r.expect(2, 3, 1)
	grow(4, 1, false)
	r.tickets[5].Leave()
	r.tickets[5].Leave()
	grow(5, 1, false)
	grow(4, 10, true)
	r.expectHeld(1, 50)
	r.tickets[4].Leave()
	r.expectHeld(0, 0)
	r.expect(2, 3, 1)
}

func TestTicketLeaveMakesRoom(t *testing.T) {
	r := fill(t, Bounds{Sessions: 3}, 3)
	r.tickets[1].Leave()
	r.tickets[2].InFlight(true)
	r.tickets[2].Leave() // logged in
	for n := range 2 {
		_ = r.enter(4+n, 10)
	}
	r.expect()
	r.expectHeld(3, 30)
	if r.tickets[2].InFlight(false) {
		t.Error("who left is held")
	}
}

func TestWaitingYield(t *testing.T) {
	r := fill(t, Bounds{}, 2)
	for range 2 {
		if !r.Yield() {
			t.Error("nobody gave way")
		}
	}
	if r.Yield() {
		t.Error("nobody is left, and gave way")
	}
	r.expect(1, 2)
	r.expectHeld(0, 0)
}

func TestWaitingLimit(t *testing.T) {
	r := fill(t, Bounds{Memory: 100}, 10)
	r.Limit(Bounds{Memory: 30})
	if r.expect(); !r.tickets[10].Grow(-5) || !r.tickets[10].Grow(0) {
		t.Error("who wants no more is refused")
	}
	r.tickets[10].InFlight(true)
	r.expect() // at once nobody has to go
	if err := r.enter(11, 10); err != nil {
		t.Error(err)
	}
	r.expect(1, 2, 3, 4, 5, 6, 7, 8)
	r.expectHeld(3, 25)
}

// With everything full of strangers, Yield and the census together seat a user.
func TestWaitingYieldsSeat(t *testing.T) {
	c, rules, w := NewCensus(), &Rules{Sessions: 1}, NewWaiting(Bounds{})
	stranger := enter(t, c, "192.0.2.1", rules)
	if _, err := w.Enter(SessionMemory, stranger.Leave); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enter(address(1), rules); !errors.Is(err, ErrTotal) {
		t.Fatal(err)
	}
	if !w.Yield() {
		t.Fatal("nobody gave way")
	}
	user := enter(t, c, "192.0.2.2", rules)
	stranger.Leave() // its session ends later
	user.Leave()
	empty(t, c)
}

// 5,000 strangers hold connections within the default login_memory, and users log in
// as if nobody were there. A hundred thousand more only push each other out.
func TestWaitingStrangers(t *testing.T) {
	w := NewWaiting(Bounds{Memory: 64 << 20})
	evicted := 0
	strangers := func(n int) {
		for range n {
			if _, err := w.Enter(SessionMemory, func() { evicted++ }); err != nil {
				t.Fatal(err)
			}
		}
	}
	strangers(5000)
	if evicted != 0 {
		t.Errorf("%d of 5,000 gave way", evicted)
	}
	for i := range 1000 {
		user, err := w.Enter(SessionMemory, func() { t.Error("a user gave way") })
		if err != nil || !user.InFlight(true) {
			t.Fatal(err)
		}
		strangers(100)
		if user.Leave(); i == 0 {
			continue
		}
		if n, memory := w.Held(); n > 8192 || memory > 64<<20 {
			t.Fatalf("%d sessions with %d octets", n, memory)
		}
	}
	if evicted < 90_000 {
		t.Errorf("%d gave way", evicted)
	}
}

// naive is the rule in its plainest form.
type naive struct{ sessions []*naiveSession }

type naiveSession struct {
	n    int
	cost int64
	busy bool
}

func (v *naive) memory() (sum int64) {
	for _, s := range v.sessions {
		sum += s.cost
	}
	return sum
}

// makeRoom drops the oldest that are not busy, nor the one that grows; if that isn't
// enough, nobody.
func (v *naive) makeRoom(most, need int64, grows *naiveSession) (gone []int, ok bool) {
	kept := slices.Clone(v.sessions)
	for (&naive{kept}).memory()+need > most {
		i := slices.IndexFunc(kept, func(s *naiveSession) bool { return !s.busy && s != grows })
		if i < 0 {
			return nil, false
		}
		gone = append(gone, kept[i].n)
		kept = slices.Delete(kept, i, i+1)
	}
	v.sessions = kept
	return gone, true
}

func TestWaitingAgreesWithNaive(t *testing.T) {
	const most = 200
	r, v, random := newRoom(t, Bounds{Memory: most}), &naive{}, rand.New(rand.NewPCG(3, 4))
	var want []int
	for n := range 20_000 {
		need := random.Int64N(60)
		if len(v.sessions) == 0 || random.IntN(3) == 0 {
			gone, ok := v.makeRoom(most, need, nil)
			if ok {
				v.sessions = append(v.sessions, &naiveSession{n: n, cost: need})
			}
			if err := r.enter(n, need); (err == nil) != ok {
				t.Fatalf("step %d: %v, want %v", n, err, ok)
			}
			want = append(want, gone...)
		} else {
			i := random.IntN(len(v.sessions))
			s := v.sessions[i]
			switch random.IntN(4) {
			case 0:
				gone, ok := v.makeRoom(most, need, s)
				if ok {
					s.cost += need
				}
				if got := r.tickets[s.n].Grow(need); got != ok {
					t.Fatalf("step %d: grow is %v, want %v", n, got, ok)
				}
				want = append(want, gone...)
			case 1:
				r.tickets[s.n].Leave()
				v.sessions = slices.Delete(v.sessions, i, i+1)
			default:
				s.busy = !s.busy
				r.tickets[s.n].InFlight(s.busy)
			}
		}
		r.expectHeld(len(v.sessions), v.memory())
		if !slices.Equal(r.gone, want) {
			t.Fatalf("step %d: %v gave way, want %v", n, r.gone[len(r.gone)-min(5, len(r.gone)):], want[len(want)-min(5, len(want)):])
		}
	}
	if len(want) < 100 {
		t.Errorf("only %d gave way", len(want))
	}
}

func TestWaitingAtOnce(t *testing.T) {
	w := NewWaiting(Bounds{Sessions: 10, Memory: 100})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				var busy, gone atomic.Bool
				ticket, err := w.Enter(10, func() {
					if busy.Load() {
						t.Error("evicted with a login in flight")
					}
					if gone.Swap(true) {
						t.Error("evicted twice")
					}
				})
				if err != nil {
					continue
				}
				if ticket.InFlight(true) {
					busy.Store(true)
					ticket.Grow(1)
					w.Yield()
					busy.Store(false)
					ticket.InFlight(false)
				}
				if n, memory := w.Held(); n > 10 || memory > 100 {
					t.Errorf("%d sessions with %d octets", n, memory)
				}
				ticket.Leave()
			}
		})
	}
	wg.Wait()
	if n, memory := w.Held(); n != 0 || memory != 0 || w.idleMem != 0 || len(w.idle) != 0 {
		t.Errorf("left: %d sessions, %d octets, %d idle", n, memory, len(w.idle))
	}
}
