package directory

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"sync"
	"time"

	"postern/directory/state"
)

// statePrefix begins the names of all sources' files. Others may keep files of theirs beside them.
const statePrefix = "source-"

// stateFile names a source's file. The addresses in it hold the default domain, so another one is another
// source. The source's name is not in it: a source that is called otherwise is the same one, and two that ask
// the same of one place may read what either of them wrote.
func stateFile(s NamedSource, defaultDomain string) string {
	kind := "followed-"
	if s.Resolver != nil {
		kind = "asked-"
	}
	sum := sha256.Sum256([]byte(cmp.Or(s.Fingerprint, s.Name) + "\x00" + defaultDomain))
	return statePrefix + kind + hex.EncodeToString(sum[:12])
}

// stateAbandoned is the age at which the state of a source that is not configured any more is removed. Until then
// a configuration that comes back finds it; and it holds people's addresses, which nobody should keep for ever.
const stateAbandoned = 30 * 24 * time.Hour

// tidyState removes what sources left that are not here any more.
func (d *Directory) tidyState() {
	if d.state == "" {
		return
	}
	ours := make(map[string]bool)
	for _, s := range d.savers() {
		ours[s.file] = true
	}
	removed, err := state.Tidy(d.state, stateAbandoned, func(name string) bool {
		return strings.HasPrefix(name, statePrefix) && !ours[name]
	})
	if err != nil {
		d.log.Warn("old directory state can't be removed", "err", err)
	}
	if removed > 0 {
		d.log.Info("old directory state is removed", "files", removed)
	}
}

func (d *Directory) savers() []*saver {
	var all []*saver
	for _, p := range d.allPlaces() {
		switch {
		case p.follower != nil:
			all = append(all, p.follower.saver)
		case p.asked != nil:
			all = append(all, p.asked.saver)
		}
	}
	return all
}

// Save brings on disk, while Run runs, what has not been saved yet: another directory that is about to start
// with the same state must not begin with older answers than this one has. It returns at ctx's end in any case.
func (d *Directory) Save(ctx context.Context) {
	if d.state == "" {
		return
	}
	var saving sync.WaitGroup
	for _, s := range d.savers() {
		saving.Go(func() { s.now(ctx) })
	}
	saving.Wait()
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

// write writes what is kept, be it nothing: an answer that was forgotten must not come back with the next start.
func (a *asked) write(w io.Writer) error {
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
