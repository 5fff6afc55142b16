package directorytest

import (
	"maps"
	"runtime"
	"testing"
	"time"

	"postern/directory"
)

const (
	before = "alice@example.com guest-01\nbob@example.com guest-02 login=b state=moving\n@example.org guest-03\n"
	after  = "alice@example.com guest-02\n@example.org guest-03\ncarol@example.com guest-01\n"
	faulty = "alice@example.com guest-09\nbob@example.com guest-09 login=%0D%0A\n"
)

func beforeEntries() map[string]directory.Value {
	return map[string]directory.Value{
		"alice@example.com": {Backend: "guest-01"},
		"bob@example.com":   {Backend: "guest-02", Login: "b", State: directory.Moving},
		"@example.org":      {Backend: "guest-03"},
	}
}

func afterEntries() map[string]directory.Value {
	return map[string]directory.Value{
		"alice@example.com": {Backend: "guest-02"},
		"carol@example.com": {Backend: "guest-01"},
		"@example.org":      {Backend: "guest-03"},
	}
}

// Run proves that the sources which fresh makes keep the contract.
func Run(t *testing.T, fresh func(t *testing.T) (directory.Source, Site)) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, directory.Source, Site)
	}{
		{"the first update is everything", firstIsEverything},
		{"each run begins with everything", eachRunIsAnew},
		{"a change arrives", changeArrives},
		{"what vanished is sent empty", vanishedIsEmpty},
		{"what is broken changes nothing", brokenKeeps},
		{"a faulty line changes nothing", faultyKeeps},
		{"a broken start says so", brokenAtStart},
		{"a request to look is answered", lookIsAnswered},
		{"a request to look sees faults", lookSeesFaults},
		{"cancelling ends it at rest", endsAtRest},
		{"cancelling ends it while it sends", endsWhileSending},
		{"cancelling ends it while it is broken", endsWhileBroken},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, site := fresh(t)
			site.Set(t, before)
			goroutines := runtime.NumGoroutine()
			test.run(t, source, site)
			leavesNothing(t, goroutines)
		})
	}
}

// leavesNothing waits for the goroutines to become as many as there were.
func leavesNothing(t *testing.T, goroutines int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > goroutines {
		if time.Now().After(deadline) {
			stacks := make([]byte, 64<<10)
			t.Fatalf("goroutines were left behind:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
		<-time.After(time.Millisecond)
	}
}

func firstIsEverything(t *testing.T, source directory.Source, _ Site) {
	r := start(t, source)
	if u := r.next(); u.Err != nil || !maps.Equal(r.state.entries(t), beforeEntries()) {
		t.Errorf("the first update holds %v, %v", r.state.entries(t), u.Err)
	}
	r.end()
}

func eachRunIsAnew(t *testing.T, source directory.Source, _ Site) {
	for range 2 {
		firstIsEverything(t, source, nil)
	}
}

func changeArrives(t *testing.T, source directory.Source, site Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	site.Set(t, after)
	r.holds(afterEntries())
	site.Set(t, before)
	r.holds(beforeEntries())
	r.end()
}

func vanishedIsEmpty(t *testing.T, source directory.Source, site Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	site.Set(t, "\n")
	r.holds(map[string]directory.Value{})
	r.end()
}

func brokenKeeps(t *testing.T, source directory.Source, site Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	site.Break(t)
	r.keepsThrough("broken")
	site.Repair(t)
	r.holds(beforeEntries())
	site.Break(t)
	r.keepsThrough("broken again")
	site.Set(t, after)
	site.Repair(t)
	r.holds(afterEntries())
	r.end()
}

func faultyKeeps(t *testing.T, source directory.Source, site Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	site.Set(t, faulty)
	r.keepsThrough("faulty")
	site.Set(t, after)
	r.holds(afterEntries())
	r.end()
}

// keepsThrough waits until the source says that something is wrong, and wants no
// other state from it.
func (r *run) keepsThrough(what string) {
	r.t.Helper()
	r.until("with a fault", func(u directory.Update) bool { return u.Err != nil })
	if got := r.state.entries(r.t); !maps.Equal(got, beforeEntries()) {
		r.t.Errorf("%s, the source holds %v", what, got)
	}
}

func brokenAtStart(t *testing.T, source directory.Source, site Site) {
	site.Break(t)
	r := start(t, source)
	if u := r.next(); u.Err == nil || len(u.Groups) > 0 {
		t.Errorf("the first update of a broken source: %d groups, %v", len(u.Groups), u.Err)
	}
	site.Repair(t)
	r.holds(beforeEntries())
	r.end()
}

func lookIsAnswered(t *testing.T, source directory.Source, site Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	for range 3 {
		if u := r.asks(); u.Err != nil || !maps.Equal(r.state.entries(t), beforeEntries()) {
			t.Errorf("with nothing new: %v, %v", r.state.entries(t), u.Err)
		}
	}
	site.Set(t, after)
	if u := r.asks(); u.Err != nil || !maps.Equal(r.state.entries(t), afterEntries()) {
		t.Errorf("after a change: %v, %v", r.state.entries(t), u.Err)
	}
	r.end()
}

func lookSeesFaults(t *testing.T, source directory.Source, site Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	site.Set(t, faulty)
	if u := r.asks(); u.Err == nil || !maps.Equal(r.state.entries(t), beforeEntries()) {
		t.Errorf("a faulty line: %v, %v", r.state.entries(t), u.Err)
	}
	site.Break(t)
	if u := r.asks(); u.Err == nil || !maps.Equal(r.state.entries(t), beforeEntries()) {
		t.Errorf("broken: %v, %v", r.state.entries(t), u.Err)
	}
	r.end()
}

func endsAtRest(t *testing.T, source directory.Source, _ Site) {
	r := start(t, source)
	r.holds(beforeEntries())
	r.end()
	r.staysSilent()
}

func endsWhileSending(t *testing.T, source directory.Source, _ Site) {
	r := start(t, source)
	<-time.After(silence) // nobody takes the first update
	r.cancel()
	select {
	case <-r.ended:
	case <-time.After(patience):
		t.Fatal("the source does not end while nobody takes its update")
	}
	r.staysSilent()
}

func endsWhileBroken(t *testing.T, source directory.Source, site Site) {
	site.Break(t)
	r := start(t, source)
	r.next()
	r.end()
	r.staysSilent()
}

// staysSilent wants the channel open and empty after the end.
func (r *run) staysSilent() {
	r.t.Helper()
	select {
	case _, open := <-r.up:
		r.t.Errorf("after its end the source sent something, or closed the channel (open: %v)", open)
	case <-time.After(silence):
	}
}
