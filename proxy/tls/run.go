package tls

import (
	"context"
	"time"
)

// patience is how many times the settling time a change may be put off by others that
// come behind it: neighbours may write into the same folder all the time.
const patience = 10

// Run keeps the front up to date until the context ends: it reads files again
// when they changed, turns random ticket keys, and once a day speaks of certificates
// that expire soon. Nobody does these things otherwise.
func (f *Front) Run(ctx context.Context) {
	changes := newWatch(f.log)
	defer changes.close()
	f.follow(ctx, changes)
}

// follow reads changed files when they were left alone for a moment: a certificate and its
// key are written one after the other. The poll sees what the watch doesn't (a
// link inside a path, a network's file system), and what becomes true by time alone.
func (f *Front) follow(ctx context.Context, changes *watch) {
	f.look(changes) // first, or a change since New would go unseen
	f.remind(time.Now())
	poll, days := time.NewTicker(f.poll), time.NewTicker(day)
	defer poll.Stop()
	defer days.Stop()
	rest := time.NewTimer(f.settle)
	rest.Stop()
	for disturbed := (time.Time{}); ; { // since when; zero: all is quiet
		select {
		case <-ctx.Done():
			return
		case <-changes.events:
			disturbed = f.disturb(rest, disturbed)
		case <-changes.errors: // events were lost
			disturbed = f.disturb(rest, disturbed)
		case <-rest.C:
			disturbed = time.Time{}
			f.look(changes)
		case <-poll.C:
			if disturbed.IsZero() {
				f.look(changes)
			}
		case <-days.C:
			f.remind(time.Now())
		}
	}
}

// disturb starts the settling time anew, within bounds.
func (f *Front) disturb(rest *time.Timer, since time.Time) time.Time {
	if since.IsZero() {
		since = time.Now()
	}
	rest.Reset(max(0, min(f.settle, time.Until(since.Add(patience*f.settle)))))
	return since
}

// look reads everything. Folders are added before, or a change behind the reading
// would go unseen, and after, since new files may lead into new folders.
func (f *Front) look(changes *watch) {
	changes.follow(f.paths())
	_ = f.Reload() // it was logged
	changes.follow(f.paths())
}

// paths are the folders and files that the front is made of.
func (f *Front) paths() (folders, files []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.stores {
		d, p := s.paths()
		folders, files = append(folders, d...), append(files, p...)
	}
	if f.tickets.path != "" {
		files = append(files, f.tickets.path)
	}
	for _, l := range f.listeners {
		if l.path != "" {
			files = append(files, l.path)
		}
	}
	return folders, files
}
