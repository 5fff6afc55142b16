package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// patience is far longer than anything takes, on a machine that is busy with other tests.
const patience = 60 * time.Second

// silence takes Consul's own variables away.
func silence(t *testing.T) {
	for _, name := range []string{"ADDR", "TOKEN", "TOKEN_FILE", "AUTH", "SSL", "SSL_VERIFY"} {
		t.Setenv("CONSUL_HTTP_"+name, "")
	}
	for _, name := range []string{"NAMESPACE", "PARTITION", "CACERT", "CAPATH", "CLIENT_CERT", "CLIENT_KEY"} {
		t.Setenv("CONSUL_"+name, "")
	}
}

// fake is as much of Consul as a catalogue uses, with blocking queries that block.
type fake struct {
	server *httptest.Server

	mu      sync.Mutex
	entries []*api.ServiceEntry
	key     *api.KVPair
	index   uint64
	changed chan struct{} // closed at the next change
	asked   []string
	special http.HandlerFunc // answers instead
}

func newFake(t *testing.T) *fake {
	silence(t)
	f := &fake{index: 10, changed: make(chan struct{})}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

// set changes something; all that waits is answered.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) has(entries ...*api.ServiceEntry) { f.set(func() { f.entries = entries }) }

func (f *fake) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// waitsBehind waits until somebody asks for news of what has this in its path, behind an index.
func (f *fake) waitsBehind(t *testing.T, path string, index int) {
	t.Helper()
	asks := func(question string) bool {
		return strings.Contains(question, fmt.Sprintf("%s?index=%d&", path, index))
	}
	for deadline := time.Now().Add(patience); !slices.ContainsFunc(f.questions(), asks); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody waits behind %d: %q", index, f.questions())
		}
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.URL.RequestURI())
	special := f.special
	f.mu.Unlock()
	if special != nil {
		special(w, r)
		return
	}
	if wait, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64); wait > 0 {
		f.wait(r.Context(), wait)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("X-Consul-Index", strconv.FormatUint(f.index, 10))
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/health/service/"):
		_ = json.NewEncoder(w).Encode(f.entries)
	case f.key == nil:
		w.WriteHeader(http.StatusNotFound)
	default:
		_ = json.NewEncoder(w).Encode([]*api.KVPair{f.key})
	}
}

func (f *fake) wait(ctx context.Context, index uint64) {
	for {
		f.mu.Lock()
		now, changed := f.index, f.changed
		f.mu.Unlock()
		if now != index {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// follower takes what a catalogue sends.
type follower struct {
	t         *testing.T
	catalogue *Catalogue
	states    chan State
	last      State
	log       *journal
}

// start runs a catalogue until the test's end.
func start(t *testing.T, address string, o Options) *follower {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: address, Token: o.Service + "-token"})
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, client, o)
}

func startWith(t *testing.T, client *api.Client, o Options) *follower {
	t.Helper()
	f := &follower{t: t, states: make(chan State), log: &journal{}}
	o.Client, o.Logger = client, slog.New(slog.NewTextHandler(f.log, nil))
	var err error
	if f.catalogue, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.catalogue.Run(ctx, f.states) })
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	return f
}

// until takes states until one is as wanted.
func (f *follower) until(what string, wanted func(State) bool) State {
	f.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case f.last = <-f.states:
			if wanted(f.last) {
				return f.last
			}
		case <-timeout:
			f.t.Fatalf("no %s; the last was %s (%v, %v)\n%s", what, line(f.last), f.last.Err, f.last.Faults, f.log)
		}
	}
}

// has waits for a state that is in short as given, and has no error.
func (f *follower) has(want string) State {
	f.t.Helper()
	return f.until(want, func(s State) bool { return line(s) == want && s.Err == nil })
}

// fails waits for a state that is in short as given, and has an error with this text.
func (f *follower) fails(want, text string) State {
	f.t.Helper()
	return f.until(want+" with "+text, func(s State) bool {
		return line(s) == want && s.Err != nil && strings.Contains(s.Err.Error(), text)
	})
}

// journal is a log in memory.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *journal) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *journal) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
