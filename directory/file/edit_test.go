package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postern/directory"
	"postern/directory/mapfile"
)

func to(backend string) mapfile.Change {
	return func(directory.Value, bool) (directory.Value, error) { return directory.Value{Backend: backend}, nil }
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSet(t *testing.T) {
	folder := t.TempDir()
	path, link := filepath.Join(folder, "m.map"), filepath.Join(folder, "link")
	write(t, path, "# head\r\nALICE guest-01  # VIP\r\nbob guest-01\r\n")
	if err := errors.Join(os.Chmod(path, 0o640), os.Symlink("m.map", link)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(path, 4711, 4712); err != nil {
			t.Fatal(err)
		}
	}
	before, existed, err := Set(t.Context(), link, "alice@example.com", "example.com", to("guest-02"))
	if err != nil || !existed || before.Backend != "guest-01" {
		t.Fatalf("%+v, %v, %v", before, existed, err)
	}
	if _, existed, err := Set(t.Context(), path, "carol", "EXAMPLE.com.", to("guest-03")); err != nil || existed {
		t.Fatal(existed, err)
	}
	if got, want := read(t, path), "# head\r\nALICE guest-02  # VIP\r\nbob guest-01\r\ncarol@example.com guest-03\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if owner := fmt.Sprintf("%+v", info.Sys()); os.Getuid() == 0 && !strings.Contains(owner, "Uid:4711 Gid:4712") {
		t.Errorf("owner: %s", owner)
	}
	if target, err := os.Readlink(link); err != nil || target != "m.map" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, _, err := Set(t.Context(), path, "bob", "example.com", to("guest-01")); err != nil {
		t.Error(err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(info, now) {
		t.Error("what is there already was written again")
	}
	if files, _ := list(folder); len(files) != 2 {
		t.Errorf("left behind for a source of the folder: %+v", files)
	}
}

func TestSetInAFolder(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	write(t, in("a.map"), "alice guest-01\n")
	write(t, in("b.map"), "bob guest-01\n")
	if _, existed, err := Set(t.Context(), folder, "bob", "example.com", to("guest-02")); err != nil || !existed || read(t, in("b.map")) != "bob guest-02\n" {
		t.Errorf("%v, %v, %q", existed, err, read(t, in("b.map")))
	}
	_, _, err := Set(t.Context(), folder, "carol", "example.com", to("guest-02"))
	if err == nil || !strings.Contains(err.Error(), in("a.map")+", "+in("b.map")) {
		t.Error(err)
	}
	write(t, in("c.map"), "ALICE@example.com guest-01\n")
	if _, _, err := Set(t.Context(), folder, "alice", "example.com", to("guest-02")); err == nil || !strings.Contains(err.Error(), "in several files") {
		t.Error(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("dave guest-01\n")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	write(t, in("d.map.gz"), packed.String())
	if _, _, err := Set(t.Context(), folder, "dave", "example.com", to("guest-02")); !errors.Is(err, errCompressed) {
		t.Error(err)
	}
}

func TestSetRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.map")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	full := errors.New("full")
	for _, test := range []struct {
		name, text, address, domain string
		ctx                         context.Context
		change                      mapfile.Change
	}{
		{"a fault", "alice guest-01\nbroken\n", "alice", "", t.Context(), to("g")},
		{"compressed", "\x1f\x8b\x08", "alice", "", t.Context(), to("g")},
		{"no address", "alice g\n", "a@", "", t.Context(), to("g")},
		{"no domain", "alice g\n", "alice", "no domain", t.Context(), to("g")},
		{"no backend", "alice g\n", "alice", "", t.Context(), to("")},
		{"cancelled", "alice h\n", "alice", "", cancelled, to("g")},
		{"the change", "alice g\n", "alice", "", t.Context(), func(directory.Value, bool) (directory.Value, error) { return directory.Value{}, full }},
		{"a change by hand meanwhile", "alice g\n", "alice", "", t.Context(), func(directory.Value, bool) (directory.Value, error) {
			write(t, path, "alice by-hand\n")
			return directory.Value{Backend: "h"}, nil
		}},
	} {
		write(t, path, test.text)
		if _, _, err := Set(test.ctx, path, test.address, test.domain, test.change); err == nil {
			t.Errorf("%s is taken", test.name)
		}
		if got := read(t, path); got != test.text && got != "alice by-hand\n" {
			t.Errorf("%s: the file was changed: %q", test.name, got)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*.tmp")); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", test.name, left, err)
		}
	}
	if _, _, err := Set(t.Context(), path+".missing", "alice", "", to("g")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestManySetAtOnce: the lock lets no change be lost.
func TestManySetAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.map")
	write(t, path, "")
	var setting sync.WaitGroup
	for who := range 4 {
		setting.Go(func() {
			for i := range 10 {
				if _, _, err := Set(t.Context(), path, fmt.Sprintf("user%d-%d", who, i), "", to("g")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	setting.Wait()
	if lines := strings.Count(read(t, path), "\n"); lines != 40 {
		t.Errorf("%d lines, want 40", lines)
	}
}
