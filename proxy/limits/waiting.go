package limits

import (
	"container/heap"
	"errors"
	"sync"
)

// What a session that has not logged in counts for, in octets.
const (
	SessionMemory = 8 << 10  // each
	TokenMemory   = 32 << 10 // one inside an OAuth mechanism, besides: a token is long
	TLSMemory     = 32 << 10 // one with TLS, besides: records, keys, a hello that never ends
)

// ErrWaiting is why there is no ticket.
var ErrWaiting = errors.New("too many logins at once")

// Bounds are what the sessions that have not logged in may take together.
type Bounds struct {
	Sessions int   // 0: as many as the memory holds
	Memory   int64 // octets; 0: no limit
}

// Waiting holds the sessions that have not logged in, within bounds. A stranger
// needs no password to connect and say nothing, from thousands of addresses at once;
// to refuse newcomers then would shut the users out for as long as he likes. So
// the oldest gives way: a user is through within a second, a stranger who holds
// a connection is the oldest sooner or later. A session with a login in flight never gives
// way: a slow backend must not cost users their logins.
type Waiting struct {
	mu       sync.Mutex
	bounds   Bounds
	sessions int
	memory   int64
	entered  uint64 // ever
	idle     queue  // those with no login in flight
	idleMem  int64
}

// NewWaiting returns one in which nobody waits.
func NewWaiting(b Bounds) *Waiting { return &Waiting{bounds: b} }

// Limit changes the bounds; who is too much gives way when the next enters.
func (w *Waiting) Limit(b Bounds) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bounds = b
}

// Held tells how many wait, and what memory they count for.
func (w *Waiting) Held() (sessions int, memory int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions, w.memory
}

// Enter takes a ticket for a session, or is ErrWaiting when all the others have a login in
// flight. evict ends the session, without waiting for it: another session's goroutine calls
// it, at most once, maybe before Enter returned.
func (w *Waiting) Enter(cost int64, evict func()) (*Ticket, error) {
	w.mu.Lock()
	gone, ok := w.makeRoom(1, cost)
	var t *Ticket
	if ok {
		w.entered++
		t = &Ticket{waiting: w, number: w.entered, evict: evict}
		w.sessions++
		w.charge(t, cost)
		w.rest(t)
	}
	w.mu.Unlock()
	dismiss(gone)
	if !ok {
		return nil, ErrWaiting
	}
	return t, nil
}

// Yield makes the oldest give way although the bounds are kept: another limit, on what
// all sessions share, is reached. It is false if nobody could.
func (w *Waiting) Yield() bool {
	w.mu.Lock()
	if len(w.idle) == 0 {
		w.mu.Unlock()
		return false
	}
	t := w.oldest()
	w.mu.Unlock()
	t.evict()
	return true
}

// makeRoom takes out who has to give way to more sessions and memory; the caller
// dismisses them without the lock. If not even all of them were enough nobody gives way.
func (w *Waiting) makeRoom(sessions int, memory int64) (gone []*Ticket, ok bool) {
	if w.over(sessions-len(w.idle), memory-w.idleMem) {
		return nil, false
	}
	for w.over(sessions, memory) {
		gone = append(gone, w.oldest())
	}
	return gone, true
}

// over tells whether that much more is too much.
func (w *Waiting) over(sessions int, memory int64) bool {
	return w.bounds.Sessions > 0 && w.sessions+sessions > w.bounds.Sessions ||
		w.bounds.Memory > 0 && w.memory+memory > w.bounds.Memory
}

// oldest takes the oldest idle session out.
func (w *Waiting) oldest() *Ticket {
	t := w.idle[0]
	w.remove(t)
	return t
}

func dismiss(gone []*Ticket) {
	for _, t := range gone {
		t.evict()
	}
}

// charge counts more memory for a session that is not idle.
func (w *Waiting) charge(t *Ticket, n int64) {
	t.cost += n
	w.memory += n
}

// rest and rouse put a session among the idle ones, and take it from there.
func (w *Waiting) rest(t *Ticket) {
	heap.Push(&w.idle, t)
	w.idleMem += t.cost
}

func (w *Waiting) rouse(t *Ticket) {
	heap.Remove(&w.idle, t.index)
	w.idleMem -= t.cost
}

func (w *Waiting) remove(t *Ticket) {
	if !t.busy {
		w.rouse(t)
	}
	w.sessions--
	w.memory -= t.cost
	t.gone = true
}
