package directory_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/directory/file"
)

const loadBackends = 400

// writeMap writes a map file of addresses of 34 octets. What a generation changes is every mailbox's backend.
func writeMap(path string, mailboxes, generation int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for i := range mailboxes {
		line = fmt.Appendf(line[:0], "username%07d@mail%02d.example.com guest-%03d.example.net\n", i, i%100, (i+generation)%loadBackends)
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// served is a directory over a map file, and what ends it.
func served(ctx context.Context, path string) (d *directory.Directory, end func(), err error) {
	source, err := file.New(file.Options{Path: path, Poll: time.Hour})
	if err != nil {
		return nil, nil, err
	}
	d, err = directory.New(directory.Options{Sources: []directory.NamedSource{{Name: "file", Source: source}}})
	if err != nil {
		return nil, nil, err
	}
	targets := make([]backend.Target, loadBackends)
	for i := range targets {
		targets[i].Name = fmt.Sprintf("guest-%03d.example.net", i)
	}
	if err := d.SetBackends(targets, directory.Fallback{}); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	return d, func() { cancel(); running.Wait() }, d.Load(ctx)
}

// loadSizes are the benchmarks' numbers of mailboxes; see POSTERN_BENCH_LARGE.
func loadSizes() []int {
	switch {
	case testing.Short():
		return []int{1e3}
	case os.Getenv("POSTERN_BENCH_LARGE") == "":
		return []int{1e3, 1e4, 1e5, 1e6}
	}
	return []int{1e3, 1e4, 1e5, 1e6, 1e7}
}

func exponent(n int) string { return "1e" + strconv.Itoa(len(strconv.Itoa(n))-1) }

// BenchmarkDirectoryLoad is a start: from a map file to a directory that answers.
func BenchmarkDirectoryLoad(b *testing.B) {
	for _, mailboxes := range loadSizes() {
		b.Run("mailboxes="+exponent(mailboxes), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "mailboxes.map")
			if err := writeMap(path, mailboxes, 0); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				d, end, err := served(b.Context(), path)
				if err != nil || d.Status()[0].Entries != mailboxes {
					b.Fatalf("%+v, %v", d.Status(), err)
				}
				end()
			}
		})
	}
}

// resident returns the process's resident size in MiB.
func resident() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
			return float64(kilobytes) / 1024, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %q", status)
}
