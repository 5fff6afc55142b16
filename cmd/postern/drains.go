package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"postern/admin"
	"postern/backend"
	"postern/directory/state"
)

// drainsFile is where operators' words are kept, with the directory's state.
const drainsFile = "drains"

// maxDrains bounds what is read of it, in octets: a word takes about a hundred.
const maxDrains = 1 << 20

// drains keep operators' words on disk, and end the sessions of drained backends in their time.
type drains struct {
	pool   *backend.Pool
	folder string // empty: they are not kept
	end    func(backend string)

	mu     sync.Mutex
	timers map[string]*time.Timer // by backend
	until  map[string]time.Time
}

func newDrains(pool *backend.Pool, folder string, end func(backend string)) (*drains, error) {
	d := &drains{pool: pool, folder: folder, end: end, timers: make(map[string]*time.Timer), until: make(map[string]time.Time)}
	return d, d.restore()
}

// restore says again what was said before the gateway was started.
func (d *drains) restore() error {
	if d.folder == "" {
		return nil
	}
	var saved []backend.Drain
	err := state.Read(d.folder, drainsFile, func(r io.Reader) error {
		return json.NewDecoder(io.LimitReader(r, maxDrains)).Decode(&saved)
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading which backends are drained: %w", err)
	}
	d.pool.Restore(saved)
	return nil
}

func (d *drains) save() error {
	if d.folder == "" {
		return nil
	}
	err := state.Write(d.folder, drainsFile, func(w io.Writer) error { return json.NewEncoder(w).Encode(d.pool.Drained()) })
	if err != nil {
		return fmt.Errorf("it holds until the gateway is started again, since it can't be saved: %w", err)
	}
	return nil
}

// drain lets no new sessions in. Those that run are ended after the deadline, unless that is negative.
func (d *drains) drain(name, by string, deadline time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.pool.Drain(name, by); err != nil {
		return admin.ErrNoBackend
	}
	d.stop(name)
	if deadline >= 0 {
		d.until[name] = time.Now().Add(deadline)
		d.timers[name] = time.AfterFunc(deadline, func() { d.end(name) })
	}
	return d.save()
}

func (d *drains) resume(name, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.pool.Resume(name, by); err != nil {
		return admin.ErrNoBackend
	}
	d.stop(name)
	return d.save()
}

// stop takes a deadline back. The caller holds d.mu.
func (d *drains) stop(name string) {
	if t := d.timers[name]; t != nil {
		t.Stop()
	}
	delete(d.timers, name)
	delete(d.until, name)
}

// deadline is when a backend's sessions are ended; zero: they end by themselves.
func (d *drains) deadline(name string) time.Time {
	if d == nil { // a session may begin before the gateway is whole
		return time.Time{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.until[name]
}

// past tells whether the deadline of a drained backend is over.
func (d *drains) past(name string) bool {
	until := d.deadline(name)
	return !until.IsZero() && !time.Now().Before(until)
}

// close forgets the deadlines: the sessions end with the gateway.
func (d *drains) close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.timers {
		d.stop(name)
	}
}
