package directory

import (
	"errors"
	"time"

	"postern/directory/cache"
)

// SourceStatus is how a source stands.
type SourceStatus struct {
	Name     string
	Entries  int       // that serve; of one that is asked, those kept
	Most     int       // that served in the last minutes: what a held loss is compared with; 0: as Entries
	LoadedAt time.Time // when they came, or when the source last answered; zero: never
	Err      error     // why the source's newest state does not serve, or why it does not answer; nil: it does
	Held     bool      // the shrink guard is why
	Saved    bool      // what serves was read from disk, and is as old as LoadedAt
	Shadow   bool      // it is only compared

	Asked bool           // it is asked, and not followed
	Cache cache.Counters // of one that is asked
}

// Status tells how each source stands, in the configured order, and behind them the shadows. A Judge has
// no state to tell of, but its name.
func (d *Directory) Status() []SourceStatus {
	var all []SourceStatus
	for i, p := range d.allPlaces() {
		status := SourceStatus{Name: p.name, Asked: true}
		switch {
		case p.follower != nil:
			status = p.follower.Status()
		case p.asked != nil:
			status = p.asked.status()
		}
		status.Shadow = i >= len(d.places)
		all = append(all, status)
	}
	return all
}

func (a *asked) status() SourceStatus {
	s := a.cache.Status()
	return SourceStatus{
		Name: a.name, Asked: true, Entries: s.Entries, LoadedAt: s.LastGood, Err: s.Err, Cache: a.cache.Counters(),
	}
}

// Status tells how the source stands.
func (f *follower) Status() SourceStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// loaded notes that a new state serves, and from when it is.
func (f *follower) loaded(groups map[string]*Table, at time.Time, fromDisk bool) {
	n := entries(groups)
	f.mu.Lock()
	f.status.Entries, f.status.LoadedAt, f.status.Saved = n, at, fromDisk
	f.saved = groups
	f.mu.Unlock()
	if fromDisk {
		f.dir.log.Warn("directory serves what was saved", "source", f.name, "entries", n,
			"saved_at", at.UTC(), "age", time.Since(at).Round(time.Second))
		return
	}
	f.dir.log.Info("directory loaded", "source", f.name, "entries", n)
}

// failed notes, and logs once for each kind of it, that the source's newest state does not serve.
// Where none serves yet, that is the time for the one that was saved.
func (f *follower) failed(err error) {
	if f.serving == nil {
		f.restore()
	}
	var held *HeldError
	isHeld, most := errors.As(err, &held), 0
	if isHeld {
		most = held.Most
	}
	f.mu.Lock()
	f.status.Err, f.status.Held, f.status.Most = err, isHeld, most
	never := f.status.LoadedAt.IsZero()
	f.mu.Unlock()
	f.spoke()
	if text := err.Error(); text != f.lastFail {
		f.lastFail = text
		f.dir.log.Error("directory source failed, the last good state stays",
			"source", f.name, "held", isHeld, "never_loaded", never, "err", err)
	}
}

// recovered notes that the source's newest state serves.
func (f *follower) recovered() {
	f.mu.Lock()
	f.status.Err, f.status.Held, f.status.Most = nil, false, 0
	f.mu.Unlock()
	f.spoke()
	if f.lastFail != "" {
		f.lastFail = ""
		f.dir.log.Info("directory source is well again", "source", f.name)
	}
}

// spoke lets Load go on, whatever the source's first word was.
func (f *follower) spoke() {
	select {
	case <-f.first:
	default:
		close(f.first)
	}
}
