package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/admin"
)

// startDirectoryAdmin opens the socket of a gateway whose shrink guard holds some sources.
func startDirectoryAdmin(t *testing.T, name string, held ...string) string {
	t.Helper()
	sources := []admin.Source{
		{Name: "file:a.map", Entries: 7, LoadedAt: time.Now().Add(-2 * time.Minute), Held: len(held) > 0, Failing: len(held) > 0},
		{Name: "sql:postgres", Asked: true, Kept: &admin.Kept{Hits: 90, Misses: 11, Stale: 12, Questions: 13, Errors: 14}},
		{Name: "consul:p", Entries: 8, LoadedAt: time.Now(), Saved: true},
		{Name: "new", Entries: 9, LoadedAt: time.Now(), Shadow: true,
			Compared: &admin.Shadow{Same: 21, Different: 22, UnknownThere: 23, UnknownHere: 24, Failed: 25, Dropped: 26}},
	}
	server, err := admin.New(admin.Options{
		Facts: func() admin.Facts {
			return admin.Facts{Gateway: name, Version: "1.0", Started: time.Now(), Directory: sources}
		},
		Sessions: func() []admin.Session { return nil }, Backends: func() []admin.Backend { return nil },
		Confirm: func(source string) error {
			switch {
			case strings.Contains(strings.Join(held, " "), source):
				return nil
			case source == "file:a.map":
				return admin.ErrNotHeld
			}
			return admin.ErrNoSource
		},
		Kick: func([]string) int { return 0 }, Reload: func(context.Context) error { return nil },
		Explain:   func(context.Context, string) (admin.Explanation, error) { return admin.Explanation{}, nil },
		Forget:    func(address string) (int, error) { return len(address), nil },
		Canonical: func(typed string) (string, error) { return strings.ToLower(typed), nil },
		Access:    &admin.Access{}, Observer: admin.NewObserver(admin.ObserverOptions{}), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeSocket(socket) })
	t.Cleanup(func() {
		server.Close(t.Context())
		serving.Wait()
	})
	return path
}

func TestDirectoryStatus(t *testing.T) {
	t.Parallel()
	held, well := startDirectoryAdmin(t, "gw1", "file:a.map"), startDirectoryAdmin(t, "gw2")
	r := postern(t, "directory", "status", "--admin", held, "--admin", well)
	r.check(t, 0, held, "")
	for _, want := range [][]string{
		{held, "file:a.map", "7", "2m0s", "held"},
		{well, "file:a.map", "7", "2m0s", "well"},
		{held, "sql:postgres", "0", "-", "not", "asked", "yet"},
		{held, "consul:p", "8", "0s", "saved"},
		{held, "new", "9", "0s", "well,", "shadow"},
		{held, "sql:postgres", "0", "90", "11", "12", "13", "14"},
		{held, "new", "21", "22", "23", "24", "25", "26"},
	} {
		found := false
		for _, row := range lines(r.out) {
			found = found || strings.Join(row, " ") == strings.Join(want, " ")
		}
		if !found {
			t.Errorf("no row %q in\n%s", want, r.out)
		}
	}
	rows := jsonLines(t, postern(t, "directory", "status", "--json", "--admin", held, "--admin", well).out)
	if len(rows) != 2 || rows[0]["admin"] != held || rows[1]["gateway"] != "gw2" || len(rows[0]["sources"].([]any)) != 4 {
		t.Errorf("JSON: %v", rows)
	}
	postern(t, "directory", "status", "--admin", held, "--admin", deadSocket(t)).check(t, 3, held, "dead")
}

// One of several gateways may have taken the new state already, or never have seen the old one.
func TestDirectoryConfirm(t *testing.T) {
	t.Parallel()
	held, well := startDirectoryAdmin(t, "gw1", "file:a.map", "file:/etc/b.map"), startDirectoryAdmin(t, "gw2")
	r := postern(t, "directory", "confirm", "file:a.map", "--admin", held, "--admin", well)
	r.check(t, 0, "yes", "")
	if rows := lines(r.out); len(rows) != 3 || rows[1][2] != "yes" || rows[2][2] != "no" {
		t.Errorf("rows:\n%s", r.out)
	}
	postern(t, "directory", "confirm", "file:/etc/b.map", "--admin", held).check(t, 0, "yes", "")
	postern(t, "directory", "confirm", "file:a.map", "--admin", well).check(t, 1, "no", "holds nothing of source file:a.map")
	postern(t, "directory", "confirm", "nonsense", "--admin", held).check(t, 1, "", "no such source")
	postern(t, "directory", "confirm", "file:a.map", "--admin", held, "--admin", deadSocket(t)).check(t, 3, "yes", "dead")
	rows := jsonLines(t, postern(t, "directory", "confirm", "file:a.map", "--json", "--admin", held, "--admin", well).out)
	if len(rows) != 2 || rows[0]["held"] != true || rows[0]["gateway"] != "gw1" || rows[1]["held"] != false {
		t.Errorf("JSON: %v", rows)
	}
}

func TestDirectoryForget(t *testing.T) {
	t.Parallel()
	one, two := startDirectoryAdmin(t, "gw1"), startDirectoryAdmin(t, "gw2")
	r := postern(t, "directory", "forget", "a/b@example.com", "--admin", one, "--admin", two)
	r.check(t, 0, "FORGOTTEN", "")
	if rows := lines(r.out); len(rows) != 3 || rows[1][1] != "15" || rows[2][1] != "15" {
		t.Errorf("rows:\n%s", r.out)
	}
	rows := jsonLines(t, postern(t, "directory", "forget", "x", "--json", "--admin", one).out)
	if len(rows) != 1 || rows[0]["forgotten"] != 1.0 || rows[0]["admin"] != one {
		t.Errorf("JSON: %v", rows)
	}
	postern(t, "directory", "forget", "x", "--admin", deadSocket(t)).check(t, 3, "", "dead")
}
