package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/directory"
	"postern/directory/mapfile"
)

// unwatched is a source that hears of no changes.
type unwatched struct{ *Source }

func (s unwatched) Run(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	return s.follow(ctx, &watch{log: s.log}, look, up)
}

// running starts a source and returns its updates.
func running(t *testing.T, s directory.Source) <-chan directory.Update {
	t.Helper()
	up, ended := make(chan directory.Update), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		_ = s.Run(ctx, nil, up)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return up
}

func next(t *testing.T, up <-chan directory.Update) directory.Update {
	t.Helper()
	select {
	case u := <-up:
		return u
	case <-time.After(10 * time.Second):
		t.Fatal("no update")
		return directory.Update{}
	}
}

func TestKubernetesLinks(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	generation := func(name, text string) {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(in(name), "m.map"), text)
		if err := os.Symlink(name, in("..tmp")); err != nil {
			t.Fatal(err)
		}
		rename(t, in("..tmp"), in("..data"))
	}
	generation("..1", "alice guest-01\n")
	if err := os.Symlink(filepath.Join("..data", "m.map"), in("m.map")); err != nil {
		t.Fatal(err)
	}
	up := running(t, source(t, Options{Path: in("m.map"), Settle: 10 * time.Millisecond, Poll: time.Hour}))
	next(t, up)
	for _, backend := range []string{"guest-02", "guest-03"} {
		generation(".."+backend, "alice "+backend+"\n")
		if v, _ := next(t, up).Groups[0].Table.Get("alice"); v.Backend != backend {
			t.Errorf("alice is at %q, want %s", v.Backend, backend)
		}
	}
}

func TestALinkIntoAnotherFolder(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	target, link := filepath.Join(there, "target"), filepath.Join(here, "m.map")
	write(t, target, "alice guest-01\n")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	up := running(t, source(t, Options{Path: link, Settle: 10 * time.Millisecond, Poll: time.Hour}))
	next(t, up)
	write(t, target, "alice guest-02\n")
	if v, _ := next(t, up).Groups[0].Table.Get("alice"); v.Backend != "guest-02" {
		t.Errorf("alice is at %q", v.Backend)
	}
}

// TestNeighboursDoNotDelay: somebody writes into the same folder all the time.
func TestNeighboursDoNotDelay(t *testing.T) {
	at := newSite(t)
	at.Set(t, "alice guest-01\n")
	up := running(t, source(t, Options{Path: at.path, Settle: 50 * time.Millisecond, Poll: time.Hour}))
	next(t, up)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				_ = os.WriteFile(at.path+".log", fmt.Append(nil, i), 0o600)
			}
		}
	}()
	at.Set(t, "alice guest-02\n")
	if v, _ := next(t, up).Groups[0].Table.Get("alice"); v.Backend != "guest-02" {
		t.Errorf("alice is at %q", v.Backend)
	}
	close(stop)
	<-stopped
}

// TestHalfAFileNeverServes: a writer truncates the file and writes it anew, slowly.
func TestHalfAFileNeverServes(t *testing.T) {
	at := newSite(t)
	const lines, generations = 50, 8
	text := func(generation int) (text []string) {
		for i := range lines {
			text = append(text, fmt.Sprintf("user%d guest-%d\n", i, generation))
		}
		return text
	}
	at.Set(t, strings.Join(text(0), ""))
	up := running(t, source(t, Options{Path: at.path, Settle: 500 * time.Millisecond, Poll: 20 * time.Millisecond}))
	next(t, up)
	go func() {
		for generation := 1; generation <= generations; generation++ {
			f, err := os.Create(at.path)
			if err != nil {
				t.Error(err)
				return
			}
			for _, line := range text(generation) {
				_, _ = f.WriteString(line[:3])
				_, _ = f.WriteString(line[3:])
				time.Sleep(time.Millisecond)
			}
			_ = f.Close()
		}
	}()
	for {
		u := next(t, up)
		if u.Err != nil {
			t.Fatalf("half a line was read: %v", u.Err)
		}
		last := ""
		for address, v := range u.Groups[0].Table.All() {
			if last != "" && v.Backend != last {
				t.Fatalf("%s is of %s, the others of %s", address, v.Backend, last)
			}
			last = v.Backend
		}
		if got := u.Groups[0].Table.Len(); got != lines {
			t.Fatalf("%d lines of %s, want %d", got, last, lines)
		}
		if last == fmt.Sprintf("guest-%d", generations) {
			return
		}
	}
}

func TestTheSameTextIsNoNews(t *testing.T) {
	at := newSite(t)
	at.Set(t, "alice guest-01\n")
	up := running(t, source(t, Options{Path: at.path, Settle: time.Millisecond, Poll: 5 * time.Millisecond}))
	next(t, up)
	at.Set(t, "alice guest-01\n")
	select {
	case u := <-up:
		t.Errorf("an update for a file with the same text: %+v", u)
	case <-time.After(100 * time.Millisecond):
	}
}

// TestAChangeThatDoesNotShow: same size, same time, as within one tick of the file
// system's clock.
func TestAChangeThatDoesNotShow(t *testing.T) {
	at := newSite(t)
	write(t, at.path, "alice guest-01\n")
	up := running(t, unwatched{source(t, Options{Path: at.path, Settle: time.Millisecond, Poll: 20 * time.Millisecond})})
	next(t, up)
	info, err := os.Stat(at.path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, at.path, "alice guest-02\n")
	if err := os.Chtimes(at.path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if v, _ := next(t, up).Groups[0].Table.Get("alice"); v.Backend != "guest-02" {
		t.Errorf("alice is at %q", v.Backend)
	}
}

func TestWhatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, folder, filepath.Join(folder, "missing"), filepath.Join(folder, "no", "folder"), ""} {
		if u := next(t, running(t, source(t, Options{Path: path}))); u.Err == nil || len(u.Groups) > 0 {
			t.Errorf("%q: %+v, want an error", path, u)
		}
	}
	if err := Check(t.Context(), filepath.Join(folder, "missing"), "", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestAFolderThatComesLater(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(folder, "m.map")
	up := running(t, source(t, Options{Path: path, Settle: time.Millisecond, Poll: 20 * time.Millisecond}))
	if u := next(t, up); u.Err == nil {
		t.Fatal("a file in a folder that isn't there was read")
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, "alice guest-01\n")
	for u := next(t, up); u.Err != nil; u = next(t, up) {
		if len(u.Groups) > 0 {
			t.Fatalf("groups with a fault: %+v", u)
		}
	}
}

func TestCheck(t *testing.T) {
	at := newSite(t)
	at.Set(t, "alice guest-01\nbob elsewhere\n")
	if err := Check(t.Context(), at.path, "example.com", nil); err != nil {
		t.Errorf("without backends: %v", err)
	}
	knows := func(value string) bool { return value == "guest-01" }
	err := Check(t.Context(), at.path, "example.com", knows)
	want := at.path + `:2:5: mailbox bob@example.com: backend "elsewhere" is not configured`
	if faults := (*mapfile.Faults)(nil); !errors.As(err, &faults) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := Check(t.Context(), at.path, "no domain", nil); err == nil {
		t.Error("a default domain that is none is taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx, at.path, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
