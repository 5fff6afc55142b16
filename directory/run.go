package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// confirmPatience is longer than what a follower does between two looks at its requests: taking ten million entries.
const confirmPatience = time.Minute

// shadowLook is how long a reload waits for a shadow.
const shadowLook = 3 * time.Second

// Run follows all sources until ctx is done, saves their state, closes what is asked, and
// returns when all that has ended. It is called once.
func (d *Directory) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(d.tidyState)
	for _, f := range d.followers {
		running.Go(func() { f.run(ctx) })
		running.Go(func() { f.saver.run(ctx) })
	}
	for _, p := range d.allPlaces() {
		if p.asked != nil {
			running.Go(func() { p.asked.run(ctx) })
		}
	}
	for _, s := range d.shadows {
		running.Go(func() { s.run(ctx, d) })
	}
	<-ctx.Done() // a directory that is only asked has nothing to run, and is not over
	running.Wait()
	for _, p := range d.allPlaces() {
		if err := p.close(); err != nil {
			d.log.Warn("directory source does not close", "source", p.name, "err", err)
		}
	}
}

// LoadError says that a source has nothing to serve.
type LoadError struct {
	Source string
	Err    error
}

func (e *LoadError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *LoadError) Unwrap() error { return e.Err }

// Load waits, while Run runs, until each source has spoken for the first time, and
// returns a *LoadError for each that has nothing to serve, joined. One that serves what was saved has
// something, and so has one that is asked, even before it was.
func (d *Directory) Load(ctx context.Context) error { return load(ctx, d.places) }

// LoadShadows does the same with shadows, for whom no gateway waits.
func (d *Directory) LoadShadows(ctx context.Context) error {
	return load(ctx, d.allPlaces()[len(d.places):])
}

func load(ctx context.Context, places []*place) error {
	var faults []error
	for _, p := range places {
		var spoken chan struct{}
		switch {
		case p.follower != nil:
			spoken = p.follower.first
		case p.asked != nil:
			spoken = p.asked.restored
		default:
			continue
		}
		select {
		case <-spoken:
			if p.follower == nil {
				continue
			}
			if s := p.follower.Status(); s.LoadedAt.IsZero() {
				faults = append(faults, &LoadError{Source: p.name, Err: s.Err})
			}
		case <-ctx.Done():
			err := fmt.Errorf("loading source %s: %w", p.name, ctx.Err())
			return errors.Join(append(faults, &LoadError{Source: p.name, Err: err})...)
		}
	}
	return errors.Join(faults...)
}

// Reload has each followed source look now, while Run runs, and returns when what they found serves.
// A source with a fault keeps its last good state and does not hold back the
// others; the error has the faults of all. Shadows look too, but one that can't be read is no fault of
// the reload: nobody's login depends on it, so its fault is logged and in its status, and it
// isn't waited for longer than a moment.
func (d *Directory) Reload(ctx context.Context) error {
	faults := make([]error, len(d.places))
	briefly, cancel := context.WithTimeout(ctx, shadowLook)
	defer cancel()
	var asking sync.WaitGroup
	for i, p := range d.allPlaces() {
		switch {
		case p.follower == nil:
		case i < len(d.places):
			asking.Go(func() { faults[i] = p.follower.reload(ctx) })
		default:
			asking.Go(func() { _ = p.follower.reload(briefly) })
		}
	}
	asking.Wait()
	return errors.Join(faults...)
}

// ErrNotHeld means that there is nothing to confirm.
var ErrNotHeld = errors.New("no loss is held")

// Confirm lets a source's state serve that the shrink guard holds, while Run runs: the one
// that is held now, and no later one.
func (d *Directory) Confirm(source string) error {
	p := d.placeOf(source)
	if p == nil {
		return fmt.Errorf("confirming source %.80q: %w", source, ErrNoSource)
	}
	err := ErrNotHeld
	if p.follower != nil {
		err = p.follower.askConfirm()
	}
	if err != nil {
		return fmt.Errorf("confirming source %s: %w", source, err)
	}
	return nil
}

func (f *follower) askConfirm() error {
	answer := make(chan error, 1)
	select {
	case f.confirms <- answer:
		return <-answer // which comes without waiting for anybody
	case <-f.stopped:
		return errStopped
	case <-time.After(confirmPatience):
		return errStopped
	}
}

func (f *follower) confirm() error {
	if !f.Status().Held {
		return ErrNotHeld
	}
	before := entries(f.serving)
	if err := f.serve(f.wanted); err != nil {
		return err
	}
	f.peak.reset() // what is lost further on is lost from here
	f.dir.log.Warn("directory source's loss is confirmed", "source", f.name, "entries_before", before, "entries", entries(f.wanted))
	f.recovered()
	return nil
}
