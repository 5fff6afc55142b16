package file

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/directory"
	"postern/directory/directorytest"
)

// site is a folder with a map file that is replaced by renaming, as one should.
type site struct{ path, aside string }

func newSite(t *testing.T) site {
	folder := t.TempDir()
	return site{path: filepath.Join(folder, "mailboxes.map"), aside: filepath.Join(folder, "aside")}
}

func (s site) Set(t *testing.T, lines string) {
	t.Helper()
	place := s.path
	if _, err := os.Stat(s.aside); err == nil {
		place = s.aside // it is broken: Repair brings it
	}
	write(t, place+".new", lines)
	rename(t, place+".new", place)
}

func (s site) Break(t *testing.T) { rename(t, s.path, s.aside) }

func (s site) Repair(t *testing.T) { rename(t, s.aside, s.path) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func source(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		at := newSite(t)
		return source(t, Options{Path: at.path, Settle: 20 * time.Millisecond}), at
	})
}

// TestConformanceOfThePollAlone is for file systems on which nothing is ever notified.
func TestConformanceOfThePollAlone(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		at := newSite(t)
		s := source(t, Options{Path: at.path, Settle: 10 * time.Millisecond, Poll: 30 * time.Millisecond})
		return unwatched{s}, at
	})
}
