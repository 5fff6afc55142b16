package consul

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/directory"
)

const (
	// parallel is how many questions that are answered at once run at a time.
	parallel = 4
	// gathering is how long a change waits for others that came with it.
	gathering = 10 * time.Millisecond
	// fewest is how many pieces there are where Consul takes few connections.
	fewest = 16
)

// run is one Run of a source. Its loop is one goroutine and owns everything but what
// watchers use: source, reader, pace, loading and answers.
type run struct {
	*Source
	reader  *reader
	pace    pace
	loading chan struct{} // tokens of the questions that are answered at once
	answers chan answer
	running sync.WaitGroup

	names    *watcher
	index    uint64   // of the names
	listed   []string // the keys' names, sorted, when they were last heard
	limit    int      // of the pieces
	shrunk   time.Time
	probed   bool // whether there is room for as many connections
	divided  int  // how many there were when they were divided into pieces
	watchers map[piece]*watcher
	keys     map[string]*key
	changed  map[string]*directory.Table // since the last update; nil: gone
	leaving  bool                        // some keys may be gone
	ready    bool                        // everything was sent
	asked    bool                        // a request to look is not answered yet
	lookErr  error                       // what stood in the way of the last look
	said     string                      // the error of the last update
}

// unsaid is no error's text.
const unsaid = "\x00"

// key is what is known of a key.
type key struct {
	content                  // its newest
	good    *directory.Table // its last good one
	missing bool             // its watcher says that it is gone
	sent    bool
}

func newRun(s *Source) *run {
	return &run{
		Source:   s,
		reader:   newReader(s.defaultDomain),
		loading:  make(chan struct{}, parallel),
		answers:  make(chan answer),
		watchers: make(map[piece]*watcher),
		keys:     make(map[string]*key),
		changed:  make(map[string]*directory.Table),
		limit:    maxQueries - 1,
		said:     unsaid,
	}
}

// start starts following a watcher's piece.
func (r *run) start(ctx context.Context, w *watcher) *watcher {
	ctx, w.cancel = context.WithCancel(ctx)
	r.running.Go(func() { r.follow(ctx, w) })
	return w
}

// loop takes what the watchers hear and sends what is new. A short while passes between the two, so that
// what changed together arrives together.
func (r *run) loop(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	gather, lookAgain := time.NewTimer(0), time.NewTimer(0)
	defer gather.Stop()
	defer lookAgain.Stop()
	lookAgain.Stop()
	var again pause
	var out chan<- directory.Update // up, while there is something to send
	var u directory.Update
	renew := func() {
		var news bool
		if u, news = r.update(); news {
			out = up
		} else {
			out = nil
		}
	}
	look1 := func() {
		if r.lookErr = r.look(ctx); r.lookErr != nil {
			lookAgain.Reset(again.after(true))
		} else {
			lookAgain.Stop()
		}
		renew()
	}
	for gathers := true; ; {
		select {
		case <-ctx.Done():
			return nil
		case out <- u:
			r.sent(u)
			out = nil
		case a := <-r.answers:
			if r.apply(ctx, a); out != nil {
				renew()
			} else if !gathers {
				gathers = true
				gather.Reset(gathering)
			}
		case <-gather.C:
			gathers = false
			renew()
		case <-look:
			r.asked = true
			look1()
		case <-lookAgain.C:
			look1()
		}
	}
}

// look reads everything now. The watchers go on meanwhile; what they hear is applied afterwards.
func (r *run) look(ctx context.Context) error {
	names := r.ask(ctx, r.names, 0)
	if r.apply(ctx, names); names.err != nil {
		return names.err
	}
	answers := make(chan answer)
	go func() {
		var asking sync.WaitGroup
		for _, w := range r.pieces() {
			asking.Go(func() { answers <- r.ask(ctx, w, 0) })
		}
		asking.Wait()
		close(answers)
	}()
	var err error
	for a := range answers {
		if r.apply(ctx, a); a.err != nil {
			err = a.err
		}
	}
	return err
}

func (r *run) pieces() []*watcher {
	all := make([]*watcher, 0, len(r.watchers))
	for _, w := range r.watchers {
		all = append(all, w)
	}
	return all
}

// apply takes what a watcher heard.
func (r *run) apply(ctx context.Context, a answer) {
	w := a.from
	if w != r.names && r.watchers[w.piece] != w {
		return // it was given up
	}
	if a.err != nil {
		w.err = a.err
		if crowded(a.err) {
			r.shrink(ctx)
		}
		return
	}
	if !a.sure && a.index < w.floor.Load() {
		return // a look was faster; the watcher will hear the same
	}
	w.loaded, w.err = true, nil
	for name, c := range a.found {
		r.set(name, c)
	}
	if w.names {
		if a.index < r.index {
			r.abandon()
		}
		r.index = a.index
		r.list(ctx, a.names)
		return
	}
	for name, k := range r.keys {
		if _, found := a.found[name]; !found && w.covers(name) {
			k.missing, r.leaving = true, true
		}
	}
}

// set notes a key's content.
func (r *run) set(name string, c content) {
	k := r.keys[name]
	if k == nil {
		k = &key{}
		r.keys[name] = k
	}
	k.missing = false
	if k.content = c; c.err == nil && k.good != c.table {
		k.good = c.table
		r.changed[name] = c.table
	}
}

// sweep removes keys that are gone, which both the names and the key's own watcher say. It waits until all that the
// names told of was read: an entry that went from one key to another must not be missing on the way.
func (r *run) sweep() {
	if !r.leaving || !r.complete() {
		return
	}
	r.leaving = false
	for name, k := range r.keys {
		switch _, listed := slices.BinarySearch(r.listed, name); {
		case listed:
		case k.missing || !r.covered(name):
			if k.sent || r.changed[name] != nil {
				r.changed[name] = nil
			}
			delete(r.keys, name)
			r.reader.forget(name)
		}
	}
}

// abandon ends all watchers, for others to take their places: where Consul takes fewer connections, and where the
// names' index went back. Then Consul was restored, and theirs may be higher than any that comes for a long time.
func (r *run) abandon() {
	for p, w := range r.watchers {
		w.cancel()
		delete(r.watchers, p)
	}
	r.listed, r.divided, r.leaving = nil, 0, true
}

// shrink makes do with fewer queries, where Consul says that there are too many connections although there
// was room before. Those that were refused just now say so too; they are one case.
func (r *run) shrink(ctx context.Context) {
	if r.limit <= fewest || time.Since(r.shrunk) < valuesWait {
		return
	}
	r.limit, r.shrunk = max(r.limit/4, fewest), time.Now()
	listed := r.listed
	r.abandon()
	r.list(ctx, listed)
}

// list takes the keys' names and has each followed.
func (r *run) list(ctx context.Context, names []string) {
	slices.Sort(names)
	if slices.Equal(names, r.listed) {
		return
	}
	r.listed, r.leaving = names, true
	if named, _ := sortOut(names); !r.fits(named) {
		r.divide(ctx, named)
	}
}

// fits tells whether the pieces may stay as they are. Of more keys than queries, they are not divided
// anew for each that comes: that would ask for most of them again.
func (r *run) fits(named []string) bool {
	if len(named) <= r.limit || len(named) > 2*r.divided || 2*len(named) < r.divided {
		return false
	}
	return !slices.ContainsFunc(named, func(name string) bool { return !r.covered(name) })
}

func (r *run) covered(name string) bool {
	if r.watchers[piece{name: name}] != nil {
		return true
	}
	for p := range r.watchers {
		if p.all && strings.HasPrefix(name, p.name) {
			return true
		}
	}
	return false
}

// divide starts watchers for new pieces and ends those of pieces that are no more.
func (r *run) divide(ctx context.Context, named []string) {
	if r.divided = len(named); len(named) > fewest && !r.probed {
		r.probed = true
		r.limit = min(r.limit, max(fewest, r.client.room(ctx, maxQueries)))
	}
	wanted := make(map[piece]bool)
	for _, p := range split(named, r.limit) {
		wanted[p] = true
	}
	for p, w := range r.watchers {
		if !wanted[p] {
			w.cancel()
			delete(r.watchers, p)
		}
	}
	for p := range wanted {
		if r.watchers[p] == nil {
			r.watchers[p] = r.start(ctx, &watcher{piece: p, wait: valuesWait})
		}
	}
}
