package state_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/directory/state"
)

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	err := state.Write(folder, name, func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(folder, name string) (content string, err error) {
	err = state.Read(folder, name, func(r io.Reader) error {
		all, err := io.ReadAll(r)
		content = string(all)
		return err
	})
	return content, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "var", "state")
	for _, content := range []string{"", "alice", strings.Repeat("0123456789", 1<<17)} {
		write(t, folder, "source-1", content)
		if got, err := read(folder, "source-1"); err != nil || got != content {
			t.Errorf("%d octets become %d, %v", len(content), len(got), err)
		}
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	write(t, folder, "name", "alice")
	for path, want := range map[string]fs.FileMode{folder: 0o700, filepath.Join(folder, "name"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func TestMissingIsNotDamaged(t *testing.T) {
	folder := t.TempDir()
	for _, in := range []string{folder, filepath.Join(folder, "nowhere")} {
		if _, err := read(in, "name"); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, state.ErrDamaged) {
			t.Errorf("%v", err)
		}
	}
}

// TestDamageIsSeen changes each octet, cuts the file at each, and lets it grow.
func TestDamageIsSeen(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "name")
	write(t, folder, "name", "alice guest-01\n")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, at int, bad []byte) {
		t.Helper()
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		err := state.Read(folder, "name", func(io.Reader) error {
			t.Errorf("%s at %d: the content is believed", what, at)
			return nil
		})
		if err == nil {
			t.Errorf("%s at %d is not seen", what, at)
		}
	}
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 0x40
		refused("a changed octet", at, bad)
		refused("a cut", at, good[:at])
	}
	refused("something more", len(good), append(bytes.Clone(good), 0))
	for _, length := range []uint64{0, 1, 1 << 31, 1 << 62, 1<<64 - 1} {
		bad := bytes.Clone(good)
		binary.BigEndian.PutUint64(bad[len("postern state\n")+2:], length)
		refused("a length", int(length), bad)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(folder, "name"); err != nil || got != "alice guest-01\n" {
		t.Errorf("whole again: %q, %v", got, err)
	}
}

func TestANameIsNeverAPath(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	write(t, folder, "name", "alice")
	for _, name := range []string{"", ".", "..", "../name", "a/b", "/etc/passwd", `a\b`, ".hidden", "a\x00b", "a b", "ä", strings.Repeat("a", 201)} {
		err := state.Write(folder, name, func(io.Writer) error { t.Errorf("%q is written", name); return nil })
		if err == nil {
			t.Errorf("writing %q", name)
		}
		if _, err := read(folder, name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("reading %q: %v", name, err)
		}
	}
}

func TestWhatFailsChangesNothing(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "name", "old")
	wrong := errors.New("wrong")
	err := state.Write(folder, "name", func(w io.Writer) error {
		_, _ = io.WriteString(w, "half of the ne")
		return wrong
	})
	if !errors.Is(err, wrong) {
		t.Errorf("writing: %v", err)
	}
	if got, err := read(folder, "name"); err != nil || got != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
	if err := state.Read(folder, "name", func(io.Reader) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("reading: %v", err)
	}
}

// TestWhatACrashLeft holds that files which were never renamed go in time, and those of another writer stay.
func TestWhatACrashLeft(t *testing.T) {
	folder := t.TempDir()
	for name, age := range map[string]time.Duration{
		"name.writing-OLD": 2 * time.Hour, "name.writing-NEW": time.Minute, "other.writing-OLD": 2 * time.Hour,
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, folder, "name", "alice")
	var left []string
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if got := strings.Join(left, " "); got != "name name.writing-NEW other.writing-OLD" {
		t.Errorf("left: %s", got)
	}
}

func TestManyWriteAtOnce(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "name", strings.Repeat("0", 10000))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 5 {
				err := state.Write(folder, "name", func(w io.Writer) error {
					_, err := io.WriteString(w, strings.Repeat(string(rune('0'+i)), 10000))
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if got, err := read(folder, "name"); err != nil || got != strings.Repeat(got[:1], 10000) {
					t.Errorf("a mixture: %v", err)
				}
			}
		})
	}
	all.Wait()
}
