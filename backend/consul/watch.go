package consul

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// queryWait is how long a query waits for news. Its end is also what tells that Consul
	// is still there.
	queryWait = time.Minute
	// slack is what an answer may take on top of that.
	slack = 30 * time.Second
	// rest is the least time between two answers to one query, good ones too: a check that
	// writes a new text each time would otherwise have the list read as often.
	rest = 100 * time.Millisecond

	firstPause = 250 * time.Millisecond
	maxPause   = 10 * time.Second
)

var (
	errNoIndex  = errors.New("the answer has no index: is that a Consul?")
	errFiltered = errors.New("the token may not read all of it")
	errPast     = errors.New("a server without a leader answers from the past")
)

// ask is a question to Consul, blocking where the options have an index.
type ask[T any] func(*api.QueryOptions) (T, *api.QueryMeta, error)

// answer is what came of it.
type answer[T any] struct {
	value  T
	index  uint64
	waited bool // for news
	err    error
}

// watch asks again and again and hands on what comes, until the context ends.
func watch[T any](ctx context.Context, ask ask[T], answers chan<- answer[T]) {
	q := query[T]{ask: ask}
	var pause time.Duration
	for index := uint64(0); ctx.Err() == nil; {
		began := time.Now()
		a := q.next(ctx, index)
		if ctx.Err() != nil {
			return
		}
		select {
		case answers <- a:
		case <-ctx.Done():
			return
		}
		// A query that ended without news and before its time tells that Consul is being
		// restored: the next would wait until its lower index has grown past the old one. So
		// after that, as after a failure, everything is asked for.
		early := a.waited && a.index == index && time.Since(began) < queryWait*9/10
		if index = a.index; early {
			index = 0
		}
		if a.err != nil || early {
			pause = min(max(2*pause, firstPause), maxPause)
		} else {
			pause = 0
		}
		// Many gateways must not come back as one.
		sleep(ctx, max(rest+rand.N(rest/4), pause/2+rand.N(max(pause, 1))))
	}
}

// query asks one question, and decides which answers are believed.
type query[T any] struct {
	ask   ask[T]
	floor uint64 // the highest index that was seen
}

// next asks for news behind an index; 0: for what is there.
//
// A query that waits takes any server's answer (stale), so that a cluster without a leader
// serves on. A lower index than one that was seen means that Consul was restored or wiped, or that
// a server lags behind. Then, as at the start, the leader is asked from 0, and it alone may set
// the index back. Without a leader any server's answer is taken as long as it isn't older.
func (q *query[T]) next(ctx context.Context, index uint64) answer[T] {
	if index > 0 {
		a := q.once(ctx, index, true)
		if a.err != nil || a.index >= q.floor {
			q.floor, a.waited = max(q.floor, a.index), a.err == nil
			return a
		}
	}
	a := q.once(ctx, 0, false)
	if a.err == nil {
		q.floor = a.index
		return a
	}
	if ctx.Err() != nil || denied(a.err) {
		return a
	}
	stale := q.once(ctx, 0, true)
	switch {
	case stale.err != nil:
		return a // the leader's words say more
	case stale.index < q.floor:
		return answer[T]{err: failed(errPast)}
	}
	q.floor = stale.index
	return stale
}

// once asks one time. It never waits on 0: that would answer at once, for ever.
func (q *query[T]) once(ctx context.Context, index uint64, stale bool) answer[T] {
	ctx, cancel := context.WithTimeout(ctx, queryWait+queryWait/16+slack) // Consul adds up to a sixteenth
	defer cancel()
	options := (&api.QueryOptions{AllowStale: stale}).WithContext(ctx)
	if index > 0 {
		options.WaitIndex, options.WaitTime = index, queryWait
	}
	value, meta, err := q.ask(options)
	switch {
	case err != nil:
	case meta.LastIndex == 0:
		err = errNoIndex
	case meta.ResultsFilteredByACLs:
		err = errFiltered // what is missing is not gone
	default:
		return answer[T]{value: value, index: meta.LastIndex}
	}
	return answer[T]{err: failed(err)}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
