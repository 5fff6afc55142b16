package directory_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// childMap is the variable that makes this test program the child of the memory test.
const childMap = "POSTERN_TEST_CHILD_MAP"

// TestRealResidentSize measures in a process of its own what the directory takes three seconds after the
// load, and at most during a reload that changes every entry. How long both take is logged: that is the machine's
// doing too.
func TestRealResidentSize(t *testing.T) {
	if path := os.Getenv(childMap); path != "" {
		measureResident(t, path)
		return
	}
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("takes a while, and a hundred megabytes: set POSTERN_REAL=1")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the resident size is read from /proc")
	}
	if raced() {
		t.Skip("the race detector's memory counts too")
	}
	const ratio = 1.6
	mailboxes, most := 1_000_000, 100.0
	if os.Getenv("POSTERN_BENCH_LARGE") != "" {
		mailboxes, most = 10_000_000, 700
	}
	path := filepath.Join(t.TempDir(), "mailboxes.map")
	for generation, name := range []string{path, path + ".new"} {
		if err := writeMap(name, mailboxes, generation); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRealResidentSize$", "-test.v")
	child.Env = append(os.Environ(), childMap+"="+path)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var took, reloaded, loaded, peak float64
	at := strings.Index(string(out), "resident: ")
	if _, err := fmt.Sscanf(string(out[max(at, 0):]), "resident: %f %f %f %f", &took, &loaded, &reloaded, &peak); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%d mailboxes: loaded in %.1f s, %.0f MiB three seconds later; reloaded in %.1f s, %.0f MiB at most",
		mailboxes, took, loaded, reloaded, peak)
	if loaded > most || peak > ratio*most {
		t.Errorf("want at most %.0f MiB, and %.1f times that during a reload", most, ratio)
	}
}

func measureResident(t *testing.T, path string) {
	began := time.Now()
	d, end, err := served(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	took := time.Since(began)
	time.Sleep(3 * time.Second)
	loaded, err := resident()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	peak := make(chan float64)
	go func() {
		most := 0.0
		for !done.Load() {
			now, _ := resident()
			most = max(most, now)
			time.Sleep(5 * time.Millisecond)
		}
		peak <- most
	}()
	began = time.Now()
	if err := d.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	reloaded := time.Since(began)
	done.Store(true)
	fmt.Printf("resident: %.2f %.1f %.2f %.1f\n", took.Seconds(), loaded, reloaded.Seconds(), <-peak)
}

// raced tells whether the race detector is in this program.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
