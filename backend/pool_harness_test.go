package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/backend"
	"postern/pop3"
)

// What a login into a backend may end with.
var (
	refusedConnect = &backend.Error{Kind: backend.Unreachable, Step: backend.Connect, Err: syscall.ECONNREFUSED}
	hungGreeting   = &backend.Error{Kind: backend.TimedOut, Step: backend.Greeting}
	hungPass       = &backend.Error{Kind: backend.TimedOut, Step: backend.Pass}
	wrongPassword  = &backend.Error{Kind: backend.Refused, Step: backend.Pass, Code: pop3.Auth}
	clientLeft     = &backend.Error{Kind: backend.Canceled, Step: backend.Pass}
)

// health is what the checks of a test do: a Prober.
type health struct {
	mu      sync.Mutex
	down    map[string]error // by name; nil: the check succeeds
	takes   map[string]time.Duration
	entered bool
	asked   map[string][]time.Time
}

func (h *health) Probe(ctx context.Context, t backend.Target) (bool, error) {
	h.mu.Lock()
	err, takes, entered := h.down[t.Name], h.takes[t.Name], h.entered
	if h.asked == nil {
		h.asked = map[string][]time.Time{}
	}
	h.asked[t.Name] = append(h.asked[t.Name], time.Now())
	h.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return false, &backend.Error{Kind: backend.Canceled, Step: backend.Greeting, Err: ctx.Err()}
		}
	}
	return entered, err
}

func (h *health) set(name string, err error, takes time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down == nil {
		h.down, h.takes = map[string]error{}, map[string]time.Duration{}
	}
	h.down[name], h.takes[name] = err, takes
}

func (h *health) times(name string) []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]time.Time(nil), h.asked[name]...)
}

func poolSettings() backend.Settings {
	return backend.Settings{
		Interval: time.Minute, DownInterval: 2 * time.Second, Timeout: 5 * time.Second,
		Fall: 3, Rise: 1, QueueTimeout: 10 * time.Second,
	}
}

// rig is a pool in a test.
type rig struct {
	*backend.Pool
	t      testing.TB
	health *health
	log    *logbook
	said   string
}

// idlePool is a pool that doesn't run: no checks, no heartbeat.
func idlePool(t testing.TB, targets ...backend.Target) *rig {
	t.Helper()
	log, h := new(logbook), &health{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := backend.NewPool(backend.PoolOptions{Settings: poolSettings(), Prober: h, Logger: logger})
	p.Sync(targets)
	return &rig{Pool: p, t: t, health: h, log: log}
}

// runningPool runs one to the test's end.
func runningPool(t *testing.T, targets ...backend.Target) *rig {
	t.Helper()
	r := idlePool(t, targets...)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

func named(name string) backend.Target {
	return backend.Target{Name: name, Addresses: []string{name + ".example.org:110"}, MaxLogins: 20, Declared: true}
}

// client is the nth client's address, each in a network of its own.
func client(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func visit(n int) backend.Visit {
	return backend.Visit{Client: client(n), Mailbox: fmt.Sprintf("user%d@example.com", n)}
}

// login is one that takes no time and ends with err.
func (r *rig) login(name string, n int, err error) error {
	turn, refused := r.Enter(r.t.Context(), named(name), visit(n))
	if refused != nil {
		return refused
	}
	turn.Done(backend.Outcome{Err: err})
	turn.Leave()
	return nil
}

// enter is one that must have its turn.
func (r *rig) enter(name string, n int) *backend.Turn {
	r.t.Helper()
	turn, err := r.Enter(r.t.Context(), named(name), visit(n))
	if err != nil {
		r.t.Fatal(err)
	}
	return turn
}

func (r *rig) status(name string) backend.Status {
	r.t.Helper()
	for _, s := range r.Snapshot() {
		if s.Name == name {
			return s
		}
	}
	r.t.Fatalf("no status of %s", name)
	return backend.Status{}
}

func (r *rig) wantState(name string, want backend.State) {
	r.t.Helper()
	if s := r.status(name); s.State != want {
		r.t.Errorf("%s is %s (%s), want %s", name, s.State, s.Reason, want)
	}
}

// wantSaid looks for a record among those not looked at yet, and takes them.
func (r *rig) wantSaid(parts ...string) {
	r.t.Helper()
	r.said = r.log.take()
	for _, part := range parts {
		if !strings.Contains(r.said, part) {
			r.t.Errorf("no %q in the log:\n%s", part, r.said)
		}
	}
}

func wantReason(t testing.TB, err error, want backend.Reason) {
	t.Helper()
	got, ok := errors.AsType[*backend.Unavailable](err)
	if !ok || got.Reason != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
