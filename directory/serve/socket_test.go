package serve

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketModeAndEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if rest, _ := os.ReadDir(filepath.Dir(path)); len(rest) != 0 {
		t.Errorf("left behind: %v", rest)
	}
}

// The file of a process that died is replaced, under its own name and under the one
// that a socket begins with.
func TestSocketOfTheDeadIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	for _, name := range []string{path, path + "~"} {
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		dead.Close()
	}
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSocketOfTheLivingIsRespected(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	living, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v, %v", l, err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the living one lost its socket: %v", err)
	}
	c.Close()
	living.Close()
}

// A socket that another process has put in place is not taken away at the end.
func TestSocketOfTheSuccessorStays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	old, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	old.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestSocketPathsThatCantBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(dir, "nowhere", "s"), filepath.Join(dir, strings.Repeat("x", 200)), dir} {
		if l, err := ListenUnix(path); err == nil {
			l.Close()
			t.Errorf("%s was taken", path)
		}
	}
	// Whoever means the usual place can tell that it isn't there.
	if _, err := ListenUnix(filepath.Join(dir, "nowhere", "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
