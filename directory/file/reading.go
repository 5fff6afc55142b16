package file

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"postern/directory"
	"postern/directory/mapfile"
)

const (
	// patience is how often a file that changes while it is read is read again
	// before that is called a fault.
	patience = 50
	// freshness is how far a file's time may be off: one that was written again within the
	// clock's tick, or on a server with another clock, can look unchanged.
	freshness = 2 * time.Second
)

// reading is what a run remembers of its files.
type reading struct {
	source  *Source
	changes *watch
	files   map[string]*tracked         // by path
	sent    map[string]*directory.Table // by group's name
	whole   bool                        // an update without an error was sent: it had everything
	failing bool                        // an error was sent after that
	unsure  bool                        // they have to be read again, whatever they look like
	read    []seen                      // as they were last read
	seen    []seen                      // as they were last looked at
}

// stable reads the files, again where one changes meanwhile, and returns what to send: an
// empty update where there is nothing new.
func (r *reading) stable(ctx context.Context) directory.Update {
	for range patience {
		u, _, again := r.once(ctx)
		if !again {
			return u
		}
		select {
		case <-ctx.Done():
			return directory.Update{}
		case <-time.After(r.source.settle):
		}
	}
	r.failing = true
	return directory.Update{Err: changing(r.source.path)}
}

// once reads the files and tells whether there is news. With again, they have to be
// read once more after a while.
func (r *reading) once(ctx context.Context) (u directory.Update, news, again bool) {
	r.changes.follow(r.source.path) // first, or a change behind the reading goes unseen
	files, err := list(r.source.path)
	if err == nil {
		err = r.load(ctx, files)
	}
	if errors.Is(err, errChanging) {
		return u, false, true
	}
	r.note(files, err)
	u = directory.Update{Groups: r.groups(err), Err: err}
	news = r.failing || err != nil || len(u.Groups) > 0
	r.failing = err != nil
	return u, news, false
}

// load reads each of the files, which get what they looked like when they were read. A broken one keeps
// its last good state, and one that is not there any more has none.
func (r *reading) load(ctx context.Context, files []seen) error {
	results, err := r.source.load(ctx, files, r.files)
	if err != nil {
		return err
	}
	if only := results[0]; only.path == r.source.path && only.file == nil {
		return only.err // it may have been a folder, whose files are not gone for that
	}
	next := make(map[string]*tracked)
	var faults []error
	for _, result := range results {
		if next[result.path] = result.file; result.file == nil {
			next[result.path] = r.files[result.path]
		}
		faults = append(faults, result.err)
	}
	r.files = next
	return errors.Join(faults...)
}

// groups returns what has to be sent. Until everything could be sent at once, that is nothing.
func (r *reading) groups(err error) (groups []directory.Group) {
	if err != nil && !r.whole {
		return nil
	}
	r.whole = true
	now := make(map[string]*directory.Table)
	for _, f := range r.files {
		if f == nil {
			continue
		}
		for _, b := range f.blocks {
			if b.Table.Len() > 0 {
				now[b.name] = b.Table
			}
		}
	}
	for name, table := range now {
		if r.sent[name] != table {
			groups = append(groups, directory.Group{Name: name, Table: table})
		}
	}
	for name := range r.sent {
		if now[name] == nil {
			groups = append(groups, directory.Group{Name: name})
		}
	}
	r.sent = now
	return groups
}

// note remembers what the files looked like when they were read. A fault in a text stays
// until that changes; any other may pass by itself.
func (r *reading) note(files []seen, err error) {
	r.seen, r.read = files, files
	r.unsure = err != nil && !onlyFaults(err)
	for _, f := range files {
		if f.info == nil || isFresh(f.info.ModTime()) {
			r.unsure = true
		}
	}
}

// onlyFaults tells whether nothing but texts is wrong.
func onlyFaults(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if !onlyFaults(err) {
				return false
			}
		}
		return true
	}
	return errors.As(err, new(*mapfile.Faults))
}

func isFresh(modified time.Time) bool {
	age := time.Since(modified)
	return 0 <= age && age < freshness
}

// changed tells, from the outside, whether the files have to be read.
func (r *reading) changed() bool {
	r.moved()
	return r.unsure || !sameFiles(r.read, r.seen)
}

// moved tells whether the files look different from when they were last looked at.
func (r *reading) moved() bool {
	before := r.seen
	r.seen, _ = list(r.source.path) // an error is told by what reads
	return !sameFiles(before, r.seen)
}

// concerns tells whether a change in a folder may be one of the files. That may happen under
// another name, where a link leads through it. Neighbours that change all
// the time must not put the reading off for ever, so they only lead to a look.
func (r *reading) concerns(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	moved := r.moved()
	return moved || event.Name == r.changes.target || r.names(event.Name)
}

// names tells whether a path is one of a file that is followed.
func (r *reading) names(path string) bool {
	if filepath.Base(path) == filepath.Base(r.source.path) {
		return true
	}
	return r.changes.folder == filepath.Dir(path) && isMap(filepath.Base(path))
}
