package consul

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is as much of Consul as a source and a store use, with blocking queries that block. What a real one
// can't be made to do, it does.
type fake struct {
	server *httptest.Server

	mu       sync.Mutex
	values   map[string]entry
	index    uint64
	changed  chan struct{} // closed at the next change
	restores int           // each ends all queries, as Consul does
	blocking int           // queries that wait now
	most     int           // that ever did at once
	asked    int
	queries  []string                                          // raw, of those that could block
	special  func(w http.ResponseWriter, r *http.Request) bool // answers first
}

type entry struct {
	value  string
	modify uint64
}

func newFake(t *testing.T) *fake {
	f := &fake{values: make(map[string]entry), index: 10, changed: make(chan struct{})}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) options() Options {
	return Options{ClientOptions: ClientOptions{Address: f.server.URL}, Prefix: "p", DefaultDomain: "example.com"}
}

func (f *fake) put(key, value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write(key, &value)
}

func (f *fake) remove(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write(key, nil)
}

func (f *fake) write(key string, value *string) {
	f.index++
	if value == nil {
		delete(f.values, key)
	} else {
		f.values[key] = entry{*value, f.index}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// restore makes the values those given, and the index a lower one.
func (f *fake) restore(values map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index = 2
	f.restores++
	f.values = make(map[string]entry)
	for key, value := range values {
		f.values[key] = entry{value, 2}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) answering(special func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.special = special
}

// blocks waits until so many queries wait.
func (f *fake) blocks(t *testing.T, queries int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		f.mu.Lock()
		waiting := f.blocking
		f.mu.Unlock()
		if waiting == queries {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d queries wait, not %d", waiting, queries)
		}
		time.Sleep(time.Millisecond)
	}
}

func (f *fake) text(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[key].value
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked++
	special := f.special
	f.mu.Unlock()
	if special != nil && special(w, r) {
		return
	}
	key, isKey := strings.CutPrefix(r.URL.Path, "/v1/kv/")
	if !isKey && r.Method == http.MethodGet {
		fmt.Fprint(w, `"127.0.0.1:8300"`)
		return
	}
	switch r.Method {
	case http.MethodGet:
		f.get(w, r, key)
	case http.MethodPut:
		if r.URL.Path == "/v1/txn" {
			f.txn(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil { // whoever sent it was called off in its midst
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		value := string(body)
		f.cas(w, r, key, &value)
	case http.MethodDelete:
		f.cas(w, r, key, nil)
	}
}

func (f *fake) cas(w http.ResponseWriter, r *http.Request, key string, value *string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	want, _ := strconv.ParseUint(r.URL.Query().Get("cas"), 10, 64)
	if f.values[key].modify != want {
		fmt.Fprint(w, "false")
		return
	}
	f.write(key, value)
	fmt.Fprint(w, "true")
}

func (f *fake) txn(w http.ResponseWriter, r *http.Request) {
	var ops []struct{ KV struct{ Key string } }
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var results []map[string]any
	for _, op := range ops {
		results = append(results, map[string]any{"KV": f.pair(op.KV.Key)})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Results": results})
}

func (f *fake) pair(key string) map[string]any {
	e := f.values[key]
	return map[string]any{"Key": key, "Value": base64.StdEncoding.EncodeToString([]byte(e.value)), "ModifyIndex": e.modify}
}

// state is the answer's index, and whether there is something new behind an index.
func (f *fake) state(r *http.Request, key string) (index uint64, found []string) {
	query := r.URL.Query()
	for name, e := range f.values {
		if name == key || (query.Has("keys") || query.Has("recurse")) && strings.HasPrefix(name, key) {
			found = append(found, name)
			index = max(index, e.modify)
		}
	}
	slices.Sort(found)
	if len(found) == 0 || query.Has("keys") || query.Has("recurse") {
		index = f.index // a deletion shows
	}
	return index, found
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	query := r.URL.Query()
	f.mu.Lock()
	if !query.Has("cas") {
		f.queries = append(f.queries, r.URL.RawQuery)
	}
	index, found := f.state(r, key)
	waitFor, _ := strconv.ParseUint(query.Get("index"), 10, 64)
	wait, _ := time.ParseDuration(query.Get("wait"))
	timeout := time.After(wait)
	f.blocking++
	restores := f.restores
	f.most = max(f.most, f.blocking)
	for waitFor > 0 && index == waitFor && f.restores == restores && r.Context().Err() == nil && wait > 0 {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
		case <-timeout:
			wait = 0
		}
		f.mu.Lock()
		index, found = f.state(r, key)
	}
	f.blocking--
	var answer []any
	for _, name := range found {
		if query.Has("keys") {
			answer = append(answer, name)
		} else {
			answer = append(answer, f.pair(name))
		}
	}
	f.mu.Unlock()
	w.Header().Set("X-Consul-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Consul-KnownLeader", "true")
	w.Header().Set("X-Consul-LastContact", "7")
	if len(found) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}
