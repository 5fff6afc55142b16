package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"strings"
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
	file   string // no path: of the source's name and of what identifies it
	pace   pace
	write  func(io.Writer) error // errNothingToSave: there is none
	dirty  chan struct{}

	// Of run's goroutine only.
	last time.Time
	took time.Duration

	faults   atomic.Uint64
	lastFail string
}

func newSaver(d *Directory, s NamedSource, pace pace, write func(io.Writer) error) *saver {
	return &saver{
		dir: d, source: s.Name, file: stateFile(s, d.defaultDomain), pace: pace, write: write, dirty: make(chan struct{}, 1),
	}
}

// stateFile names a source's file. The addresses in it hold the default domain, so another one is another source.
func stateFile(s NamedSource, defaultDomain string) string {
	sum := sha256.Sum256([]byte(s.Name + "\x00" + s.Fingerprint + "\x00" + defaultDomain))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, s.Name)
	return "source-" + plain[:min(len(plain), 40)] + "-" + hex.EncodeToString(sum[:12])
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
		case <-ctx.Done():
			if due != nil || len(s.dirty) > 0 || time.Since(s.last) > restAge {
				s.save()
			}
			return
		}
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

// write writes the groups that serve. What was read from disk itself is not written again: it is as old as it was.
func (f *follower) write(w io.Writer) error {
	f.mu.Lock()
	groups, at := f.saved, f.status.LoadedAt
	skip := groups == nil || f.status.Saved
	if f.status.Err == nil {
		at = time.Now()
	}
	f.mu.Unlock()
	if skip {
		return errNothingToSave
	}
	return encodeGroups(w, at, groups)
}

// restore makes what was saved serve, at the source's first failure. The source's first good update replaces it.
func (f *follower) restore() {
	if f.tried {
		return
	}
	f.tried = true
	var at time.Time
	var groups map[string]*Table
	found := f.saver.read(func(r io.Reader) (err error) {
		at, groups, err = decodeGroups(r)
		return err
	})
	if !found {
		return
	}
	if err := f.dir.replace(f.order, groups); err != nil {
		f.dir.log.Error("directory state that was saved can't be used", "source", f.name, "err", err)
		return
	}
	f.serving = groups
	f.loaded(groups, at, true)
}

func (a *asked) write(w io.Writer) error {
	if a.cache.Len() == 0 {
		return errNothingToSave
	}
	return encodeAnswers(w, a.cache.All())
}

// restore brings back the answers that were saved. Each has its time, so it expires and serves on as if
// the process had run all the while.
func (a *asked) restore() {
	restored := 0
	a.saver.read(func(r io.Reader) error {
		return decodeAnswers(r, func(address string, v Value, at time.Time) {
			a.cache.Restore(address, answerOf(v, at))
			restored++
		})
	})
	if restored > 0 {
		a.dir.log.Info("directory answers that were saved are back", "source", a.name, "entries", restored)
	}
}
