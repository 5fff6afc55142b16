package consul

import (
	"context"
	"io"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"postern/directory"
	"postern/directory/directorytest"
)

const patience = 30 * time.Second

// wire is a way to a server that can be cut.
type wire struct {
	to string

	mu       sync.Mutex
	listener net.Listener
	address  string
	conns    map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	w := &wire{to: to, address: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	w.join(t)
	w.address = w.listener.Addr().String()
	t.Cleanup(w.cut)
	return w
}

func (w *wire) join(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.listener = listener
	w.mu.Unlock()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", w.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.keep(in, out)
			go pump(in, out)
			go pump(out, in)
		}
	}()
}

func (w *wire) keep(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = true
	}
}

func pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.listener.Close()
	for c := range w.conns {
		_ = c.Close()
		delete(w.conns, c)
	}
}

// site is a prefix behind a wire. put writes a key.
type site struct {
	*wire
	put func(t *testing.T, key, value string)
}

func (s site) Set(t *testing.T, lines string) { s.put(t, "p/mailboxes", lines) }
func (s site) Break(*testing.T)               { s.cut() }
func (s site) Repair(t *testing.T)            { s.join(t) }

var _ directorytest.Site = site{}

func source(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func store(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := NewStore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// running is a source that runs, and what it said so far.
type running struct {
	t       *testing.T
	up      chan directory.Update
	look    chan struct{}
	state   map[string]*directory.Table
	err     error
	updates int
	stop    func() // and wait for its end
}

func start(t *testing.T, s directory.Source) *running {
	t.Helper()
	r := &running{t: t, up: make(chan directory.Update), look: make(chan struct{}), state: make(map[string]*directory.Table)}
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		_ = s.Run(ctx, r.look, r.up)
	}()
	r.stop = func() { cancel(); <-ended }
	t.Cleanup(r.stop)
	return r
}

// until takes updates until the state is as wanted.
func (r *running) until(what string, wanted func() bool) {
	r.t.Helper()
	for timeout := time.After(patience); !wanted(); {
		select {
		case u := <-r.up:
			r.take(u)
		case <-timeout:
			r.t.Fatalf("not within %v: %s; the last error: %v; %d groups", patience, what, r.err, len(r.state))
		}
	}
}

func (r *running) take(u directory.Update) {
	r.err = u.Err
	r.updates++
	for _, g := range u.Groups {
		if r.state[g.Name] = g.Table; g.Table.Len() == 0 {
			delete(r.state, g.Name)
		}
	}
}

// quiet takes updates for a while.
func (r *running) quiet(d time.Duration) {
	for timeout := time.After(d); ; {
		select {
		case u := <-r.up:
			r.take(u)
		case <-timeout:
			return
		}
	}
}

func (r *running) entries() map[string]string {
	all := make(map[string]string)
	for _, table := range r.state {
		for address, v := range table.All() {
			all[address] = v.Backend
		}
	}
	return all
}

// holds waits for exactly these entries, without a fault. They are pairs of address and backend.
func (r *running) holds(pairs ...string) {
	r.t.Helper()
	want := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		want[pairs[i]] = pairs[i+1]
	}
	r.until("entries", func() bool { return r.updates > 0 && r.err == nil && maps.Equal(r.entries(), want) })
}
