package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
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

// reading is what a run remembers of the file.
type reading struct {
	source  *Source
	changes *watch
	sum     []byte      // of what was last sent; nil: nothing was
	failing bool        // an error was sent after that
	read    fs.FileInfo // as it was last read; nil: it has to be read again
	seen    fs.FileInfo // as it was last looked at; nil: not there
}

// stable reads the file, again where it changes meanwhile, and returns what to send: an
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
	return directory.Update{Err: r.source.changing()}
}

// once reads the file and tells whether there is news. With again, it has to be
// read once more after a while.
func (r *reading) once(ctx context.Context) (u directory.Update, news, again bool) {
	r.changes.follow(r.source.path) // first, or a change behind the reading goes unseen
	c, err := r.source.load(ctx, r.sum, nil)
	if errors.Is(err, errChanging) {
		return u, false, true
	}
	r.note(c.info, err)
	if err != nil {
		r.failing = true
		return directory.Update{Err: err}, true, false
	}
	if c.table != nil {
		u.Groups = []directory.Group{{Name: r.source.path, Table: c.table}}
	}
	news = r.failing || c.table != nil
	r.sum, r.failing = c.sum, false
	return u, news, false
}

// note remembers what the file looked like when it was read. A fault in its text stays
// until that changes; any other may pass by itself.
func (r *reading) note(info fs.FileInfo, err error) {
	r.seen, r.read = info, info
	var faults *mapfile.Faults
	if err != nil && !errors.As(err, &faults) || info != nil && isFresh(info.ModTime()) {
		r.read = nil
	}
}

func isFresh(modified time.Time) bool {
	age := time.Since(modified)
	return 0 <= age && age < freshness
}

// changed tells, from the outside, whether the file has to be read.
func (r *reading) changed() bool {
	r.moved()
	return r.read == nil || !same(r.read, r.seen)
}

// moved tells whether the file looks different from when it was last looked at.
func (r *reading) moved() bool {
	before := r.seen
	r.seen = stat(r.source.path)
	return !same(before, r.seen)
}

// concerns tells whether a change in the folder may be one of the file. That may happen under
// another name, where a link leads through it. Neighbours that change all
// the time must not put the reading off for ever, so they only lead to a look.
func (r *reading) concerns(event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	moved := r.moved()
	return moved || event.Name == r.changes.target || filepath.Base(event.Name) == filepath.Base(r.source.path)
}

func stat(path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}
