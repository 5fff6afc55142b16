package consul

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// A query that ends without news brings everything that it asked for once more, which speaks for
	// long waits. But a query whose client has gone, as at a restart, holds its connection until its wait
	// is over, and Consul counts it. The names are few octets; their watch is also what tells how old
	// the rest may be.
	valuesWait = 2 * time.Minute
	namesWait  = time.Minute
)

// watcher follows one piece, or the names.
type watcher struct {
	piece
	names  bool
	wait   time.Duration
	cancel context.CancelFunc
	floor  atomic.Uint64 // the highest index that was seen

	// The loop's, not the goroutine's:
	loaded bool  // there was an answer
	err    error // why there is none now
}

// answer is what a watcher heard.
type answer struct {
	from  *watcher
	names []string
	found map[string]content // by key
	index uint64
	sure  bool // the leader's
	size  int  // octets of values
	meta  *api.QueryMeta
	err   error
}

// follow asks for a watcher's piece again and again, and hands on what is new.
func (r *run) follow(ctx context.Context, w *watcher) {
	var failing pause
	for index := uint64(0); ctx.Err() == nil; {
		began := time.Now()
		a := r.ask(ctx, w, index)
		if ctx.Err() != nil {
			return
		}
		select {
		case r.answers <- a:
		case <-ctx.Done():
			return
		}
		// After a failure everything is asked for: a query that waits for news would leave it
		// open for minutes whether all is well again.
		// The same goes for one that ended without news and before its time: so a Consul that is being restored ends
		// all queries, and the next on its now lower index would wait until that is passed.
		early := a.err == nil && index > 0 && a.index == index && time.Since(began) < w.wait*9/10
		index = a.index
		if early {
			index = 0
		}
		rest := failing.after(a.err != nil || early)
		if a.err == nil {
			rest = max(rest, r.pace.take(a.size, time.Now()))
		}
		if !sleep(ctx, rest) {
			return
		}
	}
}

// ask asks for a watcher's piece once and reads what came. Few questions that are answered at once
// run at a time, so that a start does not hold all answers in memory together.
func (r *run) ask(ctx context.Context, w *watcher, index uint64) answer {
	if index == 0 {
		select {
		case r.loading <- struct{}{}:
			defer func() { <-r.loading }()
		case <-ctx.Done():
			return answer{from: w, err: ctx.Err()}
		}
	}
	reply, err := r.client.ask(ctx, query{piece: w.piece, names: w.names, index: index, floor: w.floor.Load(), wait: w.wait})
	if err != nil {
		return answer{from: w, err: err}
	}
	if reply.sure {
		w.floor.Store(reply.index)
	} else {
		w.floor.Store(max(reply.index, w.floor.Load()))
	}
	r.heard(reply.meta)
	a := answer{from: w, names: reply.names, index: reply.index, sure: reply.sure, meta: reply.meta, found: make(map[string]content)}
	if w.names {
		r.readAwkward(ctx, &a)
	}
	r.readAll(&a, reply.pairs)
	return a
}

// readAwkward reads the keys that have no watcher, whenever the watch on the names wakes: it does so
// for every change below the prefix.
func (r *run) readAwkward(ctx context.Context, a *answer) {
	_, awkward := sortOut(a.names)
	if len(awkward) == 0 {
		return
	}
	pairs, err := r.client.fetchAwkward(ctx, awkward)
	if err != nil {
		a.found[awkward[0]] = content{err: err}
		return
	}
	r.readAll(a, pairs)
}

func (r *run) readAll(a *answer, pairs api.KVPairs) {
	for _, pair := range pairs {
		a.size += len(pair.Key) + len(pair.Value)
		if !isFolder(pair) {
			a.found[pair.Key] = r.reader.read(pair)
		}
	}
	for _, name := range a.names {
		a.size += len(name)
	}
}
