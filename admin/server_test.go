package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// canary is a mailbox whose name may not be seen where nothing personal may be.
const canary = "canary-7731@example.com"

// The secrets of the test's tokens.
const (
	viewerSecret   = "viewer-0123456789"
	helpdeskSecret = "helpdesk-0123456789"
	operatorSecret = "operator-0123456789"
)

// gateway is a server with its three doors open, and what was done to it.
type gateway struct {
	*Server
	tcp, probes string // addresses
	socket      string // path
	logs        *lockedBuffer
	observer    *Observer

	mu       sync.Mutex
	facts    Facts
	sessions []Session
	kicked   []string
	drains   []string
	reloads  int
	fault    error
}

// lockedBuffer is a log that many goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func aSession(id, mailbox, backend, client string) Session {
	return Session{
		ID: id, Mailbox: mailbox, Backend: backend, Client: netip.MustParseAddrPort(client),
		Listener: "pop", State: "relay", Since: time.Unix(1_700_000_000, 0).UTC(),
	}
}

func someFacts() Facts {
	return Facts{
		Gateway: "gw1", Version: "1.0", Started: time.Now().Add(-time.Hour), Sessions: 3,
		Listeners: []Listener{{Name: "pop", Address: "127.0.0.1:1110", Sessions: 3}},
		Directory: []Source{{
			Name: "file:a.map", Entries: 7, LoadedAt: time.Now().Add(-time.Minute),
			Failing: true, Error: "a.map:3: " + canary + ": no backend",
		}},
		Certificates: []Certificate{{Name: "pop.example.com", NotAfter: time.Now().Add(1000 * time.Hour)}},
	}
}

func (g *gateway) options(t *testing.T) Options {
	token := func(name string, role Role, secret string) Token {
		made, err := NewToken(name, role, secret)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	return Options{
		Facts: func() Facts { g.mu.Lock(); defer g.mu.Unlock(); return g.facts },
		Sessions: func() []Session {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.sessions
		},
		Backends: func() []Backend {
			return []Backend{
				{Name: "guest-01", Addresses: []string{"127.0.0.11:110"}, State: "usable", Sessions: 1}, {Name: "guest-02", State: "usable", Sessions: 2},
			}
		},
		Kick: g.kick,
		Explain: func(_ context.Context, address string) (Explanation, error) {
			if address == "fault" {
				return Explanation{}, errors.New("no answer")
			}
			return Explanation{Typed: address, Mailbox: strings.ToLower(address), Sources: []SourceAnswer{{Source: g.facts.Directory[0]}}}, nil
		},
		Drain: func(name, by string, deadline time.Duration) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.drains = append(g.drains, fmt.Sprint(name, " ", by, " ", deadline)); name == "nobody" {
				return ErrNoBackend
			}
			return nil
		},
		Resume: func(name, by string) error { return map[string]error{"nobody": ErrNoBackend}[name] },
		Confirm: func(source string) error {
			return map[string]error{"nobody": ErrNoSource, "file:b.map": ErrNotHeld}[source]
		},
		Forget: func(address string) (int, error) {
			if address == "@" {
				return 0, errors.New("no name")
			}
			return 2, nil
		},
		Reload: func(context.Context) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.reloads++
			return g.fault
		},
		Canonical: func(typed string) (string, error) {
			if strings.HasPrefix(typed, "@") {
				return "", errors.New("nothing before the @")
			}
			return strings.ToLower(typed), nil
		},
		Descriptors: func() (int, int) { return 100, 1000 },
		Access: &Access{Hosts: []string{"gw1.example.com"}, Tokens: []Token{
			token("vera", Viewer, viewerSecret), token("hanna", Helpdesk, helpdeskSecret), token("olga", Operator, operatorSecret),
		}},
		Observer: g.observer,
		Logger:   slog.New(slog.NewTextHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (g *gateway) kick(ids []string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		for _, session := range g.sessions {
			if session.ID == id {
				g.kicked = append(g.kicked, id)
				n++
			}
		}
	}
	return n
}

// open starts a gateway; change may replace its options and limits first.
func open(t *testing.T, change func(*Options, *limits)) *gateway {
	t.Helper()
	g := &gateway{logs: new(lockedBuffer), facts: someFacts(), observer: NewObserver(ObserverOptions{
		Version: "1.0", Listeners: []string{"pop"}, Results: []string{"ok", "refused"},
	})}
	g.sessions = []Session{
		aSession("s-1", "alice@example.com", "guest-01", "192.0.2.1:1001"),
		aSession("s-2", canary, "guest-02", "192.0.2.2:1002"),
		aSession("s-3", "bob@example.com", "guest-02", "[2001:db8::1]:1003"),
	}
	options, bounds := g.options(t), usualLimits()
	if change != nil {
		change(&options, &bounds)
	}
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	server.limits = bounds
	g.Server, g.socket = server, filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp, probes := listenTCP(t), listenTCP(t)
	g.tcp, g.probes = tcp.Addr().String(), probes.Addr().String()
	var serving sync.WaitGroup
	for _, serve := range []func() error{
		func() error { return server.ServeSocket(socket) },
		func() error { return server.ServeTCP(tcp, nil) },
		func() error { return server.ServeProbes(probes) },
	} {
		serving.Go(func() {
			if err := serve(); err != nil {
				t.Errorf("serving: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		server.Close(t.Context())
		serving.Wait()
	})
	return g
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%q: %v", a.body, err)
	}
}

// do sends a request; header lines are "Name: value", and Host is one of them.
func (g *gateway) do(t *testing.T, method, url string, header ...string) answer {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		url = "http://socket" + path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", g.socket)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	got, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(body)}
}

// as is do at the TCP door with a token.
func (g *gateway) as(t *testing.T, secret, method, path string, header ...string) answer {
	t.Helper()
	return g.do(t, method, "http://"+g.tcp+path, append(header, "Authorization: Bearer "+secret)...)
}

func TestNewWantsEverything(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a server of nothing")
	}
	g := open(t, nil)
	if _, err := New(g.Server.options); err == nil {
		t.Error("two servers share an observer")
	}
}

func TestCloseShutsEveryDoor(t *testing.T) {
	g := open(t, nil)
	for _, url := range []string{"unix:/livez", "http://" + g.tcp + "/livez", "http://" + g.probes + "/livez"} {
		g.do(t, "GET", url) // it is open
	}
	g.Close(t.Context())
	for network, address := range map[string]string{"tcp": g.tcp, "unix": g.socket} {
		if c, err := net.Dial(network, address); err == nil {
			c.Close()
			t.Errorf("%s %s is open", network, address)
		}
	}
	late := listenTCP(t)
	if err := g.ServeTCP(late, nil); err != nil {
		t.Errorf("a door after the end: %v", err)
	}
	if c, err := net.Dial("tcp", late.Addr().String()); err == nil {
		c.Close()
		t.Error("the late door is open")
	}
}
