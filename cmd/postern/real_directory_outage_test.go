package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestRealDirectoryOutages takes each kind of server through a bad day, with real logins all the way: down at the
// start, down later, hanging. A directory that can't answer is [SYS/TEMP], never [AUTH].
func TestRealDirectoryOutages(t *testing.T) {
	eachFaultPlace(t, func(t *testing.T, p *faultPlace) {
		p.set("alice", "guest-01")
		p.set("bob", "guest-01")
		p.kill()
		a := downAtTheStart(t, p)
		startedFromSaved(t, p, a)
		downLater(t, p, a)
		hanging(t, p, a)
	})
}

// fileFirst is a map in front of a source, with mailboxes that must never wait for that.
func fileFirst(t *testing.T, source string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "first.map")
	must(t, os.WriteFile(path, []byte("carol guest-02\n"), 0o600))
	return "  sources:\n    - {type: file, path: " + path + "}\n    - " + source
}

func downAtTheStart(t *testing.T, p *faultPlace) *asker {
	t.Helper()
	a := startAsker(t, faultGuests(t, "alice", "bob", "carol"), fileFirst(t, p.source), patientBackend)
	a.hears("alice", temporary)
	a.hears("nobody", temporary)
	a.hears("carol", "carol on guest-02")
	if p.followed {
		a.shows("/readyz", "was never loaded")
	} else {
		a.shows("/readyz", "can't answer")
	}
	must(t, p.start())
	a.soon("alice", "alice on guest-01")
	a.soon("bob", "bob on guest-01")
	a.soon("nobody", denied)
	a.shows("/readyz", `"degraded":[]`)
	return a
}

// startedFromSaved starts the gateway without the server, once it has known it.
func startedFromSaved(t *testing.T, p *faultPlace, a *asker) {
	t.Helper()
	a.end()
	p.kill()
	time.Sleep(1100 * time.Millisecond) // an age of whole seconds
	a.start()
	a.hears("alice", "alice on guest-01")
	a.hears("bob", "bob on guest-01")
	a.hears("nobody", map[bool]string{true: denied, false: temporary}[p.followed])
	if p.followed {
		a.record("directory serves what was saved", "level=WARN", "entries=2", "saved_at=", "age=")
		a.shows("/readyz", "its state of ")
		a.shows("/api/v1/directory", `"saved":true`)
	} else {
		a.shows("/readyz", "what is kept of its answers serves")
	}
	if status, body := a.get("/readyz"); status != http.StatusOK {
		t.Errorf("a gateway that serves is not ready: %d %s", status, body)
	}
	must(t, p.start())
	a.soon("nobody", denied)
	a.shows("/readyz", `"degraded":[]`)
	p.set("bob", "guest-02")
	a.soon("bob", "bob on guest-02")
}

func downLater(t *testing.T, p *faultPlace, a *asker) {
	t.Helper()
	p.kill()
	for range 5 {
		a.hears("alice", "alice on guest-01")
		a.hears("bob", "bob on guest-02")
	}
	if p.followed {
		a.hears("nobody", denied) // all of it is known
	} else {
		time.Sleep(200 * time.Millisecond) // negative_ttl
		a.hears("nobody", temporary)
	}
	a.shows("/readyz", `"degraded":["`)
	must(t, p.start())
	p.set("bob", "guest-01")
	a.soon("bob", "bob on guest-01")
	a.shows("/readyz", `"degraded":[]`)
}

// prompt is how long a login may take that has nothing to do with the server that hangs. Those that have
// wait for its time-out, which is longer.
const prompt = 10 * time.Second

// hanging has the server say nothing. Whoever needs it waits for its time-out, and nobody else does.
func hanging(t *testing.T, p *faultPlace, a *asker) {
	t.Helper()
	p.pause()
	t.Cleanup(p.resume)
	var waiting sync.WaitGroup
	for _, user := range []string{"stranger", "another", "third"} {
		waiting.Go(func() {
			want := map[bool]string{true: denied, false: temporary}[p.followed]
			if heard := a.try(user, "secret"); !strings.HasPrefix(heard, want) {
				t.Errorf("%s hears %q while the server hangs, want %q", user, heard, want)
			}
		})
	}
	waiting.Go(func() {
		if heard := a.try("alice", "secret"); heard != "alice on guest-01" { // late, where it is asked
			t.Errorf("alice hears %q while the server hangs", heard)
		}
	})
	for range 3 {
		within(t, prompt, "a login that does not need the server", func() { a.hears("carol", "carol on guest-02") })
	}
	waiting.Wait()
	within(t, prompt, "a login of a mailbox that is kept", func() { a.hears("alice", "alice on guest-01") })
	a.end()
	a.start() // with what was saved, though nothing refuses and nothing answers
	a.soon("alice", "alice on guest-01")
	p.resume()
	p.set("alice", "guest-02")
	a.soon("alice", "alice on guest-02")
}
