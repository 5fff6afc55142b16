package directory

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"time"

	"postern/directory/state"
)

// pace says how often a source's state may be saved.
type pace struct {
	settle time.Duration // after a change: more are likely to follow
	rest   time.Duration // between two
}

var (
	followedSaves = pace{settle: 3 * time.Second, rest: 10 * time.Second}
	askedSaves    = pace{settle: 10 * time.Second, rest: time.Minute} // each question changes its entry's time
)

const (
	restShare = 20        // a save that took a second isn't repeated within twenty: large states are not written all day
	restAge   = time.Hour // what has not changed is saved again, so that its age is told truly
)

var errNothingToSave = errors.New("nothing that would be worth saving")

// saver keeps one source's state on disk, while it runs.
type saver struct {
	dir    *Directory
	source string
	file   string // no path: of what identifies the source
	pace   pace
	write  func(io.Writer) error // errNothingToSave: there is none
	dirty  chan struct{}

	requests chan chan struct{} // of Save: closed when all that was noted is on disk, or can't be
	stopped  chan struct{}      // closed at run's end

	// Of run's goroutine only.
	last time.Time
	took time.Duration

	faults   atomic.Uint64
	lastFail string
}

func newSaver(d *Directory, s NamedSource, pace pace, write func(io.Writer) error) *saver {
	return &saver{
		dir: d, source: s.Name, file: stateFile(s, d.defaultDomain), pace: pace, write: write, dirty: make(chan struct{}, 1),
		requests: make(chan chan struct{}), stopped: make(chan struct{}),
	}
}

// now has run save.
func (s *saver) now(ctx context.Context) {
	saved := make(chan struct{})
	select {
	case s.requests <- saved:
	case <-s.stopped: // which has saved, too
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-saved:
	case <-ctx.Done():
	}
}

// note says that there is something new to save. It never waits.
func (s *saver) note() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// run saves some time after each change, at its end, and now and then.
func (s *saver) run(ctx context.Context) {
	defer close(s.stopped)
	if s.dir.state == "" {
		return
	}
	var due <-chan time.Time
	for {
		select {
		case <-s.dirty:
			if due == nil {
				due = time.After(max(s.pace.settle, max(s.pace.rest, restShare*s.took)-time.Since(s.last)))
			}
		case <-due:
			due = nil
			s.save()
		case <-time.After(restAge):
			s.save()
		case saved := <-s.requests:
			if s.pending(due) {
				due = nil
				s.save()
			}
			close(saved)
		case <-ctx.Done():
			if s.pending(due) || time.Since(s.last) > restAge {
				s.save()
			}
			return
		}
	}
}

// pending tells whether something was noted that is not saved, and takes the note.
func (s *saver) pending(due <-chan time.Time) bool {
	select {
	case <-s.dirty:
		return true
	default:
		return due != nil
	}
}

func (s *saver) save() {
	began := time.Now()
	err := state.Write(s.dir.state, s.file, s.write)
	if errors.Is(err, errNothingToSave) {
		return
	}
	s.last, s.took = time.Now(), time.Since(began)
	text := ""
	if err != nil {
		s.faults.Add(1)
		text = err.Error()
	}
	if text != "" && s.lastFail == "" { // its details name a new file each time
		s.dir.log.Error("directory state can't be saved", "source", s.source, "err", err)
	}
	s.lastFail = text
}

// read hands what was saved to take. False: there is nothing that may be used, which is logged
// where it is there.
func (s *saver) read(take func(io.Reader) error) bool {
	if s.dir.state == "" {
		return false
	}
	err := state.Read(s.dir.state, s.file, take)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.dir.log.Error("directory state that was saved can't be used", "source", s.source, "err", err)
	}
	return err == nil
}
