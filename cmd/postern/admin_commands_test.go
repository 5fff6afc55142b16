package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/admin"
)

const adminSecret = "operator-0123456789"

// fakeGateway is the admin side of a gateway with sessions that are made up.
type fakeGateway struct {
	socket, tcp string

	mu       sync.Mutex
	sessions []admin.Session
	kicked   []string
	fault    error
}

func (g *fakeGateway) kick(ids []string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		if slices.ContainsFunc(g.sessions, func(s admin.Session) bool { return s.ID == id }) {
			g.kicked, n = append(g.kicked, id), n+1
		}
	}
	return n
}

func (g *fakeGateway) reload(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault
}

func (g *fakeGateway) explain(_ context.Context, address string) (admin.Explanation, error) {
	file := admin.Source{Name: "file:mailboxes.map", Entries: 7, LoadedAt: time.Now().Add(-90 * time.Second)}
	return admin.Explanation{
		Typed: address, Mailbox: strings.ToLower(address), Login: "alice-2", State: "active", Admitted: false,
		Because: []string{"sessions_per_mailbox is reached"},
		Backend: &admin.Backend{Name: "guest-01", Addresses: []string{"127.0.0.11:110"}},
		Sources: []admin.SourceAnswer{
			{Source: file, Known: true, Wins: true, Entry: "alice@example.com", Backend: "guest-01", State: "active"},
			{Source: admin.Source{Name: "file:old.map", Failing: true, Error: "old.map:3: \x1b[31mbroken"}, Known: true, Backend: "guest-09"},
		},
		Sessions: g.sessions,
		Logins:   []admin.LoginAttempt{{At: time.Now().Add(-time.Hour), Client: "192.0.2.1:1001", Result: "refused", Backend: "guest-01", Step: "pass"}},
	}, nil
}

// startAdmin opens a fake gateway's socket and address.
func startAdmin(t *testing.T, name string, sessions ...admin.Session) *fakeGateway {
	t.Helper()
	g := &fakeGateway{socket: filepath.Join(t.TempDir(), "s"), sessions: sessions}
	token, err := admin.NewToken("olga", admin.Operator, adminSecret)
	if err != nil {
		t.Fatal(err)
	}
	server, err := admin.New(admin.Options{
		Facts: func() admin.Facts {
			return admin.Facts{
				Gateway: name, Version: "1.0", Started: time.Now().Add(-25 * time.Hour), Sessions: len(sessions),
				Listeners: []admin.Listener{{Name: "pop", Address: "127.0.0.1:1110", Sessions: len(sessions)}},
				Directory: []admin.Source{{Name: "file:a.map", Entries: 7, LoadedAt: time.Now().Add(-2 * time.Minute), Held: true, Failing: true}},
			}
		},
		Sessions: func() []admin.Session { return g.sessions }, Kick: g.kick, Reload: g.reload, Explain: g.explain,
		Backends:  func() []admin.Backend { return nil },
		Canonical: func(typed string) (string, error) { return strings.ToLower(typed), nil },
		Access:    &admin.Access{Tokens: []admin.Token{token}},
		Observer:  admin.NewObserver(admin.ObserverOptions{}), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.tcp = tcp.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeSocket(socket) })
	serving.Go(func() { _ = server.ServeTCP(tcp, nil) })
	t.Cleanup(func() {
		server.Close(t.Context())
		serving.Wait()
	})
	return g
}

func fakeSession(id, mailbox, backend string) admin.Session {
	return admin.Session{
		ID: id, Mailbox: mailbox, Backend: backend, Client: netip.MustParseAddrPort("192.0.2.1:1001"), Listener: "pop",
		State: "relay", Since: time.Now().Add(-3 * time.Minute), ToClient: 5 << 20, TLS: "1.3",
	}
}

// deadSocket is where a gateway was that is no more.
func deadSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	return path
}

// ran is what came of a command.
type ran struct {
	status      int
	out, faults string
}

// postern runs the command; an argument "NAME=VALUE" before the first other one is its environment.
func postern(t *testing.T, args ...string) ran {
	t.Helper()
	env := append(os.Environ(), asPostern+"=1", tokenVariable+"=")
	for len(args) > 0 && strings.HasPrefix(args[0], "POSTERN_") {
		env, args = append(env, args[0]), args[1:]
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = env
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	err := cmd.Run()
	status := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return ran{status, out.String(), faults.String()}
}

func (r ran) check(t *testing.T, status int, out, faults string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.out, out) || !strings.Contains(r.faults, faults) ||
		(out == "") != (r.out == "") || (faults == "") != (r.faults == "") {
		t.Errorf("exit %d, want %d\nstandard output, want %q:\n%s\nstandard error, want %q:\n%s", r.status, status, out, r.out, faults, r.faults)
	}
}

// lines are the words of each row.
func lines(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// jsonLines reads one object a line.
func jsonLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var one map[string]any
		switch err := decoder.Decode(&one); {
		case err == io.EOF:
			return all
		case err != nil:
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, one)
	}
}
