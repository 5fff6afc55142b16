package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
)

// served is a directory over one map file, with guest-01 to guest-03.
type served struct {
	*directory.Directory
	site
	t *testing.T
}

func serve(t *testing.T, text string) (s served, loaded error) {
	t.Helper()
	s = served{site: newSite(t), t: t}
	s.Set(t, text)
	var err error
	s.Directory, err = directory.New(directory.Options{
		DefaultDomain: "example.com",
		ShrinkGuard:   directory.ShrinkGuard{Ratio: 0.5, Rows: 20},
		Sources: []directory.NamedSource{{Name: "file:mailboxes.map", Source: source(t, Options{
			Path: s.path, DefaultDomain: "example.com", Settle: 10 * time.Millisecond, Poll: time.Hour,
		})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var targets []backend.Target
	for i := range 3 {
		targets = append(targets, backend.Target{Name: fmt.Sprintf("guest-%02d", i+1)})
	}
	if err := s.SetBackends(targets, directory.Fallback{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return s, s.Load(t.Context())
}

// alice returns the name of alice's backend, or what is wrong.
func (s served) alice() string {
	r, err := s.Locate(s.t.Context(), directory.Query{User: "Alice"})
	if err != nil {
		return err.Error()
	}
	return r.Backend.Name
}

func TestAReloadServesWhenItReturns(t *testing.T) {
	s, err := serve(t, "alice guest-01\n")
	if err != nil || s.alice() != "guest-01" {
		t.Fatalf("%v, alice is at %s", err, s.alice())
	}
	for i := range 30 {
		want := fmt.Sprintf("guest-%02d", i%3+1)
		s.Set(t, "alice "+want+"\n")
		if err := s.Reload(t.Context()); err != nil || s.alice() != want {
			t.Fatalf("reload %d: %v, alice is at %s, want %s", i, err, s.alice(), want)
		}
	}
}

func TestAChangeServesWithoutAReload(t *testing.T) {
	s, err := serve(t, "alice guest-01\n")
	if err != nil {
		t.Fatal(err)
	}
	s.Set(t, "alice guest-02\n")
	for deadline := time.Now().Add(10 * time.Second); s.alice() != "guest-02"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("alice is at %s", s.alice())
		}
	}
}

func TestAFaultyMapFailsTheStartAndNothingElse(t *testing.T) {
	s, err := serve(t, "alice guest-01\nbob\n")
	if err == nil || err.Error() != s.path+":2:4: no backend behind the address" {
		t.Errorf("Load: %v", err)
	}
	if _, err := s.Locate(t.Context(), directory.Query{User: "alice"}); !errors.Is(err, directory.ErrNotReady) {
		t.Errorf("before the first load: %v", err)
	}
	s.Set(t, "alice guest-01\n")
	if err := s.Reload(t.Context()); err != nil {
		t.Errorf("mended: %v", err)
	}
	s.Set(t, "alice guest-02\nbob guest-01 x\ncarol\n")
	if err := s.Reload(t.Context()); err == nil || strings.Count("\n"+err.Error(), "\n"+s.path+":") != 2 {
		t.Errorf("Reload: %v, want both faults", err)
	}
	if s.alice() != "guest-01" {
		t.Errorf("half a file serves: alice is at %s", s.alice())
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); !errors.Is(err, os.ErrNotExist) || s.alice() != "guest-01" {
		t.Errorf("without a file: %v, alice is at %s", err, s.alice())
	}
}

func TestATruncatedMapIsHeld(t *testing.T) {
	var text strings.Builder
	text.WriteString("alice guest-01\n")
	for i := range 100 {
		fmt.Fprintf(&text, "user%d guest-01\n", i)
	}
	s, err := serve(t, text.String())
	if err != nil {
		t.Fatal(err)
	}
	s.Set(t, "bob guest-02\n")
	for range 2 {
		var held *directory.HeldError
		if err := s.Reload(t.Context()); !errors.As(err, &held) || held.Most != 101 || held.Now != 1 {
			t.Errorf("Reload: %v", err)
		}
		if status := s.Status()[0]; s.alice() != "guest-01" || !status.Held || status.Entries != 101 {
			t.Errorf("alice is at %s, %+v", s.alice(), status)
		}
	}
	s.Set(t, text.String())
	if err := s.Reload(t.Context()); err != nil || s.Status()[0].Held {
		t.Errorf("whole again: %v, %+v", err, s.Status()[0])
	}
}

// TestThePollNoticesInItsTime: with the defaults, and nothing that tells of changes.
func TestThePollNoticesInItsTime(t *testing.T) {
	at := newSite(t)
	at.Set(t, "alice guest-01\n")
	synctest.Test(t, func(t *testing.T) {
		up := make(chan directory.Update)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = unwatched{source(t, Options{Path: at.path})}.Run(ctx, nil, up) }()
		<-up
		began := time.Now()
		at.Set(t, "alice guest-02\n")
		u := <-up
		if took := time.Since(began); u.Err != nil || took != 30*time.Second+100*time.Millisecond {
			t.Errorf("noticed after %v, %v", took, u.Err)
		}
		at.Break(t)
		if u = <-up; u.Err == nil {
			t.Error("a missing file is no fault")
		}
	})
}
