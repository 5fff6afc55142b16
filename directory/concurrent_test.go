package directory

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"postern/backend"
)

// TestLocateWhileEverythingChanges holds the promise of the snapshot: while sources and
// backends are replaced without pause, every answer is one that was true at some
// moment. In generation n, mailbox and backend carry that number, and the backends of
// all generations but two do not exist.
func TestLocateWhileEverythingChanges(t *testing.T) {
	const generations = 200
	d := serve(t, "", nil, []string{})
	var changing, looking sync.WaitGroup
	done := make(chan struct{})
	step := func(n int) {
		lines := []string{fmt.Sprintf("alice guest-%d login%d", n, n), "bob nowhere"}
		if err := d.replace(0, map[string]*Table{"g": build(t, lines...)}); err != nil {
			t.Error(err)
		}
	}
	backends := func(n int) {
		var targets []backend.Target
		for i := n; i < n+2; i++ {
			targets = append(targets, backend.Target{Name: fmt.Sprintf("guest-%d", i)})
		}
		if err := d.SetBackends(targets, Fallback{}); err != nil {
			t.Error(err)
		}
	}
	backends(0)
	step(0)
	changing.Go(func() {
		for n := range generations {
			backends(n)
			step(n + 1)
		}
	})
	for range 2 {
		looking.Go(func() {
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				last = lookAt(t, d, last)
			}
		})
	}
	changing.Wait()
	close(done)
	looking.Wait()
}

// lookAt checks one answer and returns its generation.
func lookAt(t *testing.T, d *Directory, last int) int {
	r, err := d.Locate(t.Context(), Query{User: "alice"})
	if err != nil {
		t.Errorf("alice: %v", err) // there is a backend for her in each state
		return last
	}
	var entry, target int
	if _, err := fmt.Sscanf(r.Login+" "+r.Backend.Name, "login%d guest-%d", &entry, &target); err != nil || entry != target || entry < last {
		t.Errorf("login %s at %s after generation %d, %v", r.Login, r.Backend.Name, last, err)
	}
	var missing *NoBackendError
	if r, err := d.Locate(t.Context(), Query{User: "bob"}); !errors.As(err, &missing) {
		t.Errorf("bob: %v, %v, want no backend", r, err)
	}
	return entry
}
