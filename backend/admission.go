package backend

import (
	"math"
	"net/netip"
	"slices"
)

// Bounds of a backend's queue. What is longer than the deadline's worth of logins
// would only wait for its refusal.
const (
	queueFactor  = 25 // places for each login at once
	unlimited    = math.MaxInt
	defaultQueue = 500 // where there is no limit, and yet a ramp or a trial
)

// admission bounds the logins in progress on one backend, and holds those who
// wait: first come, first served, but no address has more than its share, of the
// slots and of the queue: a stranger with wrong passwords, for which a server may
// take 15 s each, can't keep the others out.
type admission struct {
	slots  int                // logins in progress
	shares map[netip.Addr]int // of them
	queue  []*waiter
	places map[netip.Addr]int // of the queue
	ramp   ramp
}

// waiter is a visit in the queue. Once it is called, one of turn and refused is set.
type waiter struct {
	visit   Visit
	called  chan struct{} // closed when it is decided
	turn    *Turn
	refused *Unavailable
}

func (w *waiter) answer(turn *Turn, refused *Unavailable) {
	w.turn, w.refused = turn, refused
	close(w.called)
}

// decided tells whether the waiter was called.
func (w *waiter) decided() bool { return w.turn != nil || w.refused != nil }

// forget empties the slots; who waits, waits on.
func (a *admission) forget() {
	a.slots = 0
	clear(a.shares)
}

// free tells whether a client can have a slot now. Nobody who waits could: each
// slot that became free was given away at once.
func (a *admission) free(client netip.Addr, limit int) bool {
	return a.slots < limit && (!client.IsValid() || a.shares[client] < share(limit))
}

func (a *admission) take(client netip.Addr) {
	a.slots++
	a.shares[client]++
}

func (a *admission) leave(client netip.Addr) {
	a.slots--
	less(a.shares, client)
}

// mayQueue tells whether there is a place in the queue for a client.
func (a *admission) mayQueue(client netip.Addr, maxLogins int) bool {
	room := maxLogins * queueFactor
	if maxLogins == 0 {
		room = defaultQueue
	}
	return len(a.queue) < room && (!client.IsValid() || a.places[client] < share(room))
}

func (a *admission) enqueue(v Visit) *waiter {
	w := &waiter{visit: v, called: make(chan struct{})}
	a.queue = append(a.queue, w)
	a.places[v.Client]++
	return w
}

// next is the place of the first who can have a slot, or -1.
func (a *admission) next(limit int) int {
	if a.slots >= limit {
		return -1
	}
	return slices.IndexFunc(a.queue, func(w *waiter) bool { return a.free(w.visit.Client, limit) })
}

// call takes one out of the queue.
func (a *admission) call(i int) *waiter {
	w := a.queue[i]
	less(a.places, w.visit.Client)
	a.queue = slices.Delete(a.queue, i, i+1)
	return w
}

// share is what one address may have of so many: three quarters, and never the last.
func share(of int) int {
	if of == unlimited {
		return of
	}
	return max(1, of-max(1, of/4))
}

func less(counts map[netip.Addr]int, client netip.Addr) {
	if counts[client]--; counts[client] <= 0 {
		delete(counts, client)
	}
}

// sharing is the address that a client's share is counted by: whoever has one
// address of IPv6 has its /64. The zero address has no share to keep to.
func sharing(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	if !client.Is6() {
		return client
	}
	return netip.PrefixFrom(client, 64).Masked().Addr()
}
