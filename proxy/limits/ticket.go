package limits

// Ticket is the stay of a session among those that have not logged in.
type Ticket struct {
	waiting *Waiting
	number  uint64 // the lower, the older
	cost    int64
	evict   func()
	index   int  // in the queue of the idle
	busy    bool // a login is in flight: not in the queue
	gone    bool // gave way, or left
}

// Grow counts n octets more for the session, or less. It is false when there is
// no room and nobody else to give way, or the session has given way itself.
func (t *Ticket) Grow(n int64) bool {
	w := t.waiting
	w.mu.Lock()
	if t.gone {
		w.mu.Unlock()
		return false
	}
	if !t.busy {
		w.rouse(t) // who grows is not the one to give way
	}
	var gone []*Ticket
	ok := true
	if n > 0 {
		gone, ok = w.makeRoom(0, n)
	}
	if ok {
		w.charge(t, n)
	}
	if !t.busy {
		w.rest(t)
	}
	w.mu.Unlock()
	dismiss(gone)
	return ok
}

// InFlight says whether a login is in flight: from PASS to the verdict. After a true
// that was answered with true, the session doesn't give way until the next false; it is
// as old then as it was before. The answer is false if the session has given way already.
func (t *Ticket) InFlight(busy bool) bool {
	w := t.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case t.gone:
		return false
	case busy && !t.busy:
		w.rouse(t)
	case !busy && t.busy:
		w.rest(t)
	}
	t.busy = busy
	return true
}

// Leave ends the stay: the session is logged in, or over. Who leaves again, or gave
// way, does nothing.
func (t *Ticket) Leave() {
	w := t.waiting
	w.mu.Lock()
	defer w.mu.Unlock()
	if !t.gone {
		w.remove(t)
	}
}

// queue is a heap (container/heap) of the idle sessions, the oldest first. A list would
// do if nobody ever came back from a failed login, to the middle of it.
type queue []*Ticket

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].number < q[j].number }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push adds t, a *Ticket; for package heap only, like Pop.
func (q *queue) Push(t any) {
	ticket := t.(*Ticket)
	ticket.index = len(*q)
	*q = append(*q, ticket)
}

// Pop takes the last one out.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return t
}
