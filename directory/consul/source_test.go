package consul

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/directory"
	"postern/directory/directorytest"
	"postern/pop3"
)

func TestConformance(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		f := newFake(t)
		at := site{newWire(t, f.server.Listener.Addr().String()), func(_ *testing.T, key, value string) { f.put(key, value) }}
		o := f.options()
		o.Address = at.address
		return source(t, o), at
	})
}

func TestKeysComeAndGo(t *testing.T) {
	f := newFake(t)
	f.put("p/", "") // a folder, as Consul's page makes it
	f.put("p/a", "alice g1\n")
	f.put("q/b", "nobody g1\n")
	f.put("pp", "nobody g1\n")
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g1")
	f.put("p/deep/er", "bob g2\n")
	r.holds("alice@example.com", "g1", "bob@example.com", "g2")
	f.put("p/a", "alice g3\ncarol g3")
	r.holds("alice@example.com", "g3", "carol@example.com", "g3", "bob@example.com", "g2")
	f.remove("p/a")
	r.holds("bob@example.com", "g2")
	f.put("p/a", "alice g3\ncarol g3")
	r.holds("alice@example.com", "g3", "carol@example.com", "g3", "bob@example.com", "g2")
}

// TestNoKeys: at the start a wrong prefix must not make every user unknown; later the
// loss of all keys is news, which the shrink guard judges.
func TestNoKeys(t *testing.T) {
	f := newFake(t)
	r := start(t, source(t, f.options()))
	r.until("an error", func() bool { return r.err != nil })
	if !strings.Contains(r.err.Error(), "p/: no key below the prefix") {
		t.Error(r.err)
	}
	f.put("p/a", "alice g1\n")
	r.holds("alice@example.com", "g1")
	f.remove("p/a")
	r.holds()
}

func TestAFaultyKeyKeepsItsLastState(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	f.put("p/b", "bob g1\n")
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g1", "bob@example.com", "g1")
	f.put("p/a", "alice g2\nbroken\n")
	r.until("a fault", func() bool { return r.err != nil })
	if want := "p/a:2:7: no backend behind the address"; r.err.Error() != want {
		t.Errorf("%v, want %s", r.err, want)
	}
	f.put("p/b", "bob g2\n")
	r.until("bob's move", func() bool { return r.entries()["bob@example.com"] == "g2" })
	if r.err == nil || r.entries()["alice@example.com"] != "g1" {
		t.Errorf("beside a fault: %v, %v", r.entries(), r.err)
	}
	f.put("p/a", "alice g3\n")
	r.holds("alice@example.com", "g3", "bob@example.com", "g2")
	f.put("p/a", strings.Repeat("#", maxValue+1))
	r.until("a fault", func() bool { return r.err != nil })
	f.remove("p/a")
	r.holds("bob@example.com", "g2")
}

func TestAFaultAtTheStartServesNothing(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	f.put("p/b\x1b[2J", "broken\n")
	r := start(t, source(t, f.options()))
	r.until("a fault", func() bool { return r.err != nil })
	if len(r.state) > 0 || strings.Contains(r.err.Error(), "\x1b") {
		t.Errorf("%d groups, %v", len(r.state), r.err)
	}
	f.put("p/b\x1b[2J", "bob g1\n")
	r.holds("alice@example.com", "g1", "bob@example.com", "g1")
}

// TestAFaultBeforeTheFirstStateIsTaken: the first update without an error holds everything, also where
// a complete one was ready and nobody took it in time.
func TestAFaultBeforeTheFirstStateIsTaken(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	f.put("p/b", "bob g1\n")
	r := start(t, source(t, f.options()))
	f.blocks(t, 3)
	time.Sleep(10 * gathering) // everything is read, and waits to be taken
	f.put("p/b", "broken\n")
	time.Sleep(10 * rest)
	r.until("an update", func() bool { return r.updates > 0 })
	if r.err == nil || len(r.state) > 0 {
		t.Errorf("%d groups, %v", len(r.state), r.err)
	}
	f.put("p/b", "bob g2\n")
	r.holds("alice@example.com", "g1", "bob@example.com", "g2")
}

func TestAValueCutInHalf(t *testing.T) {
	whole := string(compose(3, 8, [][]byte{[]byte("alice@example.com g1\n"), []byte("bob@example.com guest-02\n")}))
	f := newFake(t)
	f.put("p/s", whole)
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g1", "bob@example.com", "guest-02")
	for end := len(firstLine); end < len(whole); end++ {
		if _, err := parse("p/s", []byte(whole[:end]), ""); err == nil || !strings.Contains(err.Error(), "p/s:") {
			t.Fatalf("cut at %d: %v", end, err)
		}
	}
	f.put("p/s", whole[:len(whole)-len(lastLine)-4]) // the last line that is left reads well
	r.until("a fault", func() bool { return r.err != nil })
	if len(r.entries()) != 2 || !strings.Contains(r.err.Error(), "p/s:3:1: the shard's last line is missing") {
		t.Errorf("%v, %v", r.entries(), r.err)
	}
}

// TestConsulRestored: the index is lower than before, and the same index stands for
// another value.
func TestConsulRestored(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g1")
	f.restore(map[string]string{"p/a": "alice g2\n", "p/b": "bob g2\n"})
	r.holds("alice@example.com", "g2", "bob@example.com", "g2")
	f.blocks(t, 3)
	f.restore(map[string]string{"p/a": "alice g3\n"}) // again with index 2
	f.put("p/b", "bob g4\n")
	r.holds("alice@example.com", "g3", "bob@example.com", "g4")
	f.restore(nil)
	r.holds()
}

// TestAServerThatLags: what any server may answer must not bring back the past.
func TestAServerThatLags(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g1")
	lagged := make(chan struct{}, 100)
	f.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("stale") || !r.URL.Query().Has("index") || r.URL.Path != "/v1/kv/p/a" {
			return false
		}
		w.Header().Set("X-Consul-Index", "5")
		fmt.Fprint(w, `[{"Key":"p/a","Value":"YWxpY2UgZzAK","ModifyIndex":5}]`) // alice g0
		select {
		case lagged <- struct{}{}:
		default:
		}
		return true
	})
	f.put("p/a", "alice g2\n")
	for range 3 {
		<-lagged
		f.put("p/a", "alice g2\n#\n")
		r.until("the newer state", func() bool {
			if r.entries()["alice@example.com"] == "g0" {
				t.Fatal("the past came back")
			}
			return r.entries()["alice@example.com"] == "g2"
		})
	}
}

func TestWithoutALeader(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	f.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("stale") {
			return false
		}
		http.Error(w, "No cluster leader", http.StatusInternalServerError)
		return true
	})
	s := source(t, f.options())
	if s.Staleness() != (Staleness{}) {
		t.Error("something was heard before the start")
	}
	r := start(t, s)
	r.holds("alice@example.com", "g1")
	f.put("p/a", "alice g2\n")
	r.holds("alice@example.com", "g2")
	if got := s.Staleness(); got.LastContact != 7*time.Millisecond || !got.KnownLeader || time.Since(got.Heard) > patience {
		t.Errorf("%+v", got)
	}
	f.restore(nil) // a server that came back with nothing, and knows no leader
	r.until("an error", func() bool { return r.err != nil })
	if len(r.entries()) != 1 || !strings.Contains(r.err.Error(), errPast.Error()) {
		t.Errorf("%v, %v", r.entries(), r.err)
	}
}

// TestAnswersThatAreNone: nothing of that may look like a Consul without keys.
func TestAnswersThatAreNone(t *testing.T) {
	secret := "5ec2e7-token"
	for name, special := range map[string]http.HandlerFunc{
		"not found, by another server": http.NotFound,
		"not JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			fmt.Fprint(w, "<html>")
		},
		"no keys": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			fmt.Fprint(w, "[null, null]")
		},
		"filtered": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			w.Header().Set("X-Consul-LastContact", "0")
			w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
			fmt.Fprint(w, "[]")
		},
		"denied": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			if r.URL.Query().Has("keys") || r.URL.Query().Has("recurse") { // what an anonymous client hears
				w.WriteHeader(http.StatusNotFound)
				return
			}
			http.Error(w, "Permission denied for "+r.Header.Get("X-Consul-Token"), http.StatusForbidden)
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/v1/kv/q", http.StatusTemporaryRedirect)
		},
		"no end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			fmt.Fprint(w, `["`+strings.Repeat("x", 1000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.put("p/a", "alice g1\n")
			o := f.options()
			o.Token = pop3.NewSecret([]byte(secret))
			r := start(t, source(t, o))
			r.holds("alice@example.com", "g1")
			f.answering(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("X-Consul-Token") != secret {
					t.Error("the token was not sent")
				}
				if r.URL.Query().Has("keys") || name == "denied" {
					special(w, r)
					return true
				}
				return false
			})
			f.put("p/a", "alice g2\n")
			r.until("an error", func() bool { return r.err != nil })
			if len(r.entries()) != 1 || strings.Contains(r.err.Error(), secret) {
				t.Errorf("%v, %v", r.entries(), r.err)
			}
			f.answering(nil)
			r.holds("alice@example.com", "g2")
		})
	}
}

func TestQueriesWaitOnAnIndex(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g1\n")
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g1")
	f.put("p/a", "alice g2\n")
	r.holds("alice@example.com", "g2")
	r.quiet(200 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, query := range f.queries {
		if strings.Contains(query, "index=0") || strings.Contains(query, "index=") && !strings.Contains(query, "stale") {
			t.Errorf("asked %q", query)
		}
	}
	if f.asked > 12 {
		t.Errorf("%d questions for one change: %q", f.asked, f.queries)
	}
}

func TestABusyKeyIsPaced(t *testing.T) {
	f := newFake(t)
	f.put("p/a", "alice g0\n")
	r := start(t, source(t, f.options()))
	r.holds("alice@example.com", "g0")
	began, before := time.Now(), r.updates
	last := ""
	for i := range 10_000 {
		last = fmt.Sprintf("g%d", i)
		f.put("p/a", "alice "+last+"\n")
	}
	r.holds("alice@example.com", last)
	most := int(time.Since(began)/rest) + 3
	if updates := r.updates - before; updates > most {
		t.Errorf("%d updates in %v", updates, time.Since(began))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked > 2*most+10 {
		t.Errorf("%d questions in %v", f.asked, time.Since(began))
	}
}

func TestAThousandKeysShareQueries(t *testing.T) {
	f := newFake(t)
	var want []string
	for i := range 1000 {
		f.put(fmt.Sprintf("p/domain-%03d.example", i), fmt.Sprintf("user%d@domain-%03d.example g1\n", i, i))
		want = append(want, fmt.Sprintf("user%d@domain-%03d.example", i, i), "g1")
	}
	r := start(t, source(t, f.options()))
	r.holds(want...)
	f.put("p/domain-500.example", "user500@domain-500.example g2\n")
	want[2*500+1] = "g2"
	r.holds(want...)
	f.put("p/another", "user@another g3\n")
	f.remove("p/domain-999.example")
	r.holds(append(slices.Clone(want[:2*999]), "user@another", "g3")...)
	f.mu.Lock()
	most := f.most
	f.mu.Unlock()
	if most > maxQueries+parallel {
		t.Errorf("%d queries at once", most)
	}
}

func TestPrefixes(t *testing.T) {
	for _, prefix := range []string{"", "/", "a//b", "../a", "a/../b", "a/./b", "a%2e", "a\x00", "a\nb"} {
		if _, err := New(Options{Prefix: prefix}); err == nil {
			t.Errorf("prefix %q is taken", prefix)
		}
	}
	for _, prefix := range []string{"postern/directory", "/postern/directory/", "post fäch"} {
		if s, err := New(Options{Prefix: prefix}); err != nil || s.prefix != strings.Trim(prefix, "/")+"/" {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	if _, err := New(Options{Prefix: "p", DefaultDomain: "no domain"}); err == nil {
		t.Error("a default domain that is none is taken")
	}
}
