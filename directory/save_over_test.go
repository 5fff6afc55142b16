// What must not come back, and what must not be lost, where one directory follows another.

package directory

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// An answer that was forgotten stays so over a restart, be it the last one.
func TestForgottenStaysForgotten(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newResolving("alice guest-01")
		o := Options{State: folder, Sources: []NamedSource{{Name: "sql", Resolver: r, Cache: CacheOptions{TTL: time.Minute, Stale: 24 * time.Hour}}}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			if got := owner(t, d, Query{User: "alice"}); got != "guest-01" {
				t.Fatal(got)
			}
			time.Sleep(5 * time.Minute) // it is saved
			if n, err := d.Forget("alice"); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		})
		r.set("", Value{}, errors.New("down"))
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			if err := d.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := owner(t, d, Query{User: "alice"}); got != "error" {
				t.Errorf("alice was forgotten, and is on %s again", got)
			}
		})
	})
}

// mute tells of no changes.
type mute struct{ r *resolving }

func (m mute) Resolve(ctx context.Context, b Mailbox) (Value, error) { return m.r.Resolve(ctx, b) }
func (m mute) Close() error                                          { return m.r.Close() }

// A reload starts a new directory while the old one runs. It must not know less than the old one.
func TestSaveIsForTheNextDirectory(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newResolving("alice guest-01")
		o := Options{State: folder, Sources: []NamedSource{{Name: "sql", Resolver: mute{r}, Cache: CacheOptions{TTL: 10 * time.Minute, Stale: 24 * time.Hour}}}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			if got := owner(t, d, Query{User: "alice"}); got != "guest-01" {
				t.Fatal(got)
			}
			time.Sleep(2 * time.Minute) // it is saved
			if _, err := d.Forget("alice"); err != nil {
				t.Fatal(err)
			}
			r.set("alice", Value{Backend: "guest-02"}, nil)
			if got := owner(t, d, Query{User: "alice"}); got != "guest-02" {
				t.Fatal(got)
			}
			began := time.Now()
			d.Save(t.Context())
			if took := time.Since(began); took != 0 {
				t.Errorf("saving waited for %v", took)
			}
			running(t, o, func(t *testing.T, fresh *Directory, _ *bytes.Buffer) {
				if err := fresh.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := owner(t, fresh, Query{User: "alice"}); got != "guest-02" {
					t.Errorf("the next directory has alice on %s again", got)
				}
			})
		})
		r.set("", Value{}, errors.New("down"))
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			if err := d.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := owner(t, d, Query{User: "alice"}); got != "guest-02" {
				t.Errorf("after both ended alice is on %s", got)
			}
		})
	})
}

func TestSaveOfADirectoryThatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended *Directory
		o := Options{State: t.TempDir(), Sources: []NamedSource{{Name: "sql", Resolver: newResolving(), Cache: cached()}}}
		running(t, o, func(_ *testing.T, d *Directory, _ *bytes.Buffer) { ended = d })
		ended.Save(t.Context())
	})
	synctest.Test(t, func(t *testing.T) { // nor of one that does not run yet
		d, err := New(Options{State: t.TempDir(), Sources: []NamedSource{{Name: "sql", Resolver: newResolving(), Cache: cached()}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Save(ctx)
	})
}

// State of sources that are not configured any more is removed after a month, and nobody else's.
func TestOldStateIsRemoved(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		o := Options{State: folder, Sources: []NamedSource{{Name: "a", Fingerprint: "f", Source: source}}}
		running(t, o, func(*testing.T, *Directory, *bytes.Buffer) { source.tell(Group{"g", build(t, "alice guest-01")}) })
		ours := savedFiles(t, folder)
		if len(ours) != 1 {
			t.Fatalf("saved %q", ours)
		}
		for name, age := range map[string]time.Duration{
			filepath.Base(ours[0]): 31 * 24 * time.Hour, "source-followed-old": 31 * 24 * time.Hour,
			"source-asked-young": 29 * 24 * time.Hour, "drains": 31 * 24 * time.Hour,
		} {
			path := filepath.Join(folder, name)
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			at := time.Now().Add(-age)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
		o.Sources[0].Source = newTold()
		running(t, o, func(t *testing.T, _ *Directory, _ *bytes.Buffer) {
			left := make(map[string]bool)
			for _, path := range savedFiles(t, folder) {
				left[filepath.Base(path)] = true
			}
			if len(left) != 3 || !left[filepath.Base(ours[0])] || !left["source-asked-young"] || !left["drains"] {
				t.Errorf("left %v", left)
			}
		})
	})
}
