package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// How long a source that returned before its time stays down.
const (
	firstPause = time.Second
	maxPause   = time.Minute
)

// firstWord is how long a source may say nothing before what was saved serves. It is less than a gateway's start
// waits, and more than a large file takes.
const firstWord = 15 * time.Second

var errSilent = errors.New("it has said nothing yet")

var errStopped = errors.New("it is not followed any more")

// follower runs one source, applies what it says, and keeps the last good state
// through everything else.
type follower struct {
	dir    *Directory
	order  uint32
	name   string
	source Source

	saver *saver

	requests chan chan error // of Reload: look now, and say what came of it
	confirms chan chan error // of Confirm: what is held may serve
	first    chan struct{}   // closed at the source's first word
	stopped  chan struct{}   // closed at run's end

	// Of run's goroutine only. The maps are never changed, only replaced.
	wanted   map[string]*Table // what the source says, by group
	serving  map[string]*Table // what Locate sees: wanted, but for a held loss
	tried    bool              // what was saved was looked for
	waiting  chan error        // the request that the source has to answer
	asked    bool              // it was handed to the source
	peak     peak
	lastFail string

	mu     sync.Mutex
	status SourceStatus
	saved  map[string]*Table // serving, for the saver
}

func newFollower(d *Directory, order uint32, s NamedSource) *follower {
	f := &follower{
		dir: d, order: order, name: s.Name, source: s.Source,
		requests: make(chan chan error),
		confirms: make(chan chan error),
		first:    make(chan struct{}),
		stopped:  make(chan struct{}),
		status:   SourceStatus{Name: s.Name},
	}
	f.saver = newSaver(d, s, followedSaves, f.write)
	return f
}

func (f *follower) reload(ctx context.Context) error {
	answer := make(chan error, 1)
	requests := f.requests
	for {
		select {
		case requests <- answer:
			requests = nil
		case err := <-answer:
			return err
		case <-f.stopped:
			return fmt.Errorf("reloading source %s: %w", f.name, errStopped)
		case <-ctx.Done():
			return fmt.Errorf("reloading source %s: %w", f.name, ctx.Err())
		}
	}
}

// run starts the source again and again until ctx is done. A request to look does not
// wait for the pause to end.
func (f *follower) run(ctx context.Context) {
	defer close(f.stopped)
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			err = errStopped
		} else {
			err = f.ended(err)
		}
		f.answer(err)
		if time.Since(began) > maxPause {
			pause = firstPause
		}
		f.rest(ctx, pause/2+rand.N(pause)) // many gateways must not come back as one
		pause = min(2*pause, maxPause)
	}
}

// rest waits before the source is started again.
func (f *follower) rest(ctx context.Context, pause time.Duration) {
	over := time.After(pause)
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case f.waiting = <-f.requests:
			f.asked = true // the start itself is the look
			return
		case answer := <-f.confirms:
			answer <- f.confirm()
		}
	}
}

// ended notes that the source returned although it should run.
func (f *follower) ended(err error) error {
	if err == nil {
		err = errors.New("it ended by itself")
	}
	err = fmt.Errorf("following source %s: %w", f.name, err)
	f.failed(err)
	return err
}

// follow runs the source once and takes what it sends.
func (f *follower) follow(ctx context.Context) error {
	up, look := make(chan Update), make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- f.source.Run(ctx, look, up) }()
	everything := true // the first good update is the whole state
	silence := time.After(firstWord)
	for {
		requests, ask := f.requests, chan struct{}(nil)
		if f.waiting != nil {
			requests = nil
			if !f.asked {
				ask = look
			}
		}
		select {
		case u := <-up:
			f.take(u, everything)
			everything = everything && u.Err != nil
		case <-silence:
			f.waitNoLonger()
		case f.waiting = <-requests:
		case answer := <-f.confirms:
			answer <- f.confirm()
		case ask <- struct{}{}:
			f.asked = true
		case err := <-ended:
			return err
		}
	}
}

// waitNoLonger serves what was saved where the source hangs: its own time-out may be minutes away. Without anything
// saved there is nothing to do but wait: reading ten million entries takes a while too.
func (f *follower) waitNoLonger() {
	if f.serving != nil {
		return
	}
	if f.restore(); f.serving != nil {
		f.failed(fmt.Errorf("following source %s: %w", f.name, errSilent))
	}
}

// take applies an update and answers the request that led to it.
func (f *follower) take(u Update, everything bool) {
	err := cmp.Or(f.merge(u, everything), u.Err)
	if err != nil {
		f.failed(err)
	} else {
		f.recovered()
	}
	if f.asked {
		f.answer(err)
	}
}

func (f *follower) answer(err error) {
	if f.waiting != nil {
		f.waiting <- err // it has room for one
		f.waiting = nil
	}
	f.asked = false
}

// merge brings what the source said into what serves, unless that would lose too
// much. A piece of a first state does not serve: users of the rest would be unknown.
func (f *follower) merge(u Update, everything bool) error {
	if everything && u.Err != nil {
		return nil
	}
	wanted := make(map[string]*Table)
	if !everything {
		maps.Copy(wanted, f.wanted)
	}
	for _, group := range u.Groups {
		if wanted[group.Name] = group.Table; group.Table.Len() == 0 {
			delete(wanted, group.Name)
		}
	}
	f.wanted = wanted
	if err := f.guard(entries(wanted)); err != nil {
		return err
	}
	if f.serving != nil && maps.Equal(f.serving, wanted) {
		return nil
	}
	return f.serve(wanted)
}

// guard is an error if so few entries may not serve.
func (f *follower) guard(wanted int) error {
	most := f.peak.most(time.Now(), entries(f.serving))
	err := f.dir.guard.Check(f.name, most, wanted)
	f.peak.held = 0
	if err != nil {
		f.peak.held = most
	}
	return err
}

// serve makes groups what Locate sees.
func (f *follower) serve(groups map[string]*Table) error {
	if err := f.dir.replace(f.order, groups); err != nil {
		return fmt.Errorf("source %s: %w", f.name, err)
	}
	f.peak.note(time.Now(), entries(f.serving))
	f.serving = groups
	f.loaded(groups, time.Now(), false)
	f.saver.note()
	return nil
}

func entries(groups map[string]*Table) int {
	n := 0
	for _, table := range groups {
		n += table.Len()
	}
	return n
}
