package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"postern/admin"
	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/directory/consul"
)

// BenchmarkDirectoryConsul measures a million mailboxes in a real Consul, as `postern directory import` lays them there:
// how long a gateway takes from its start until it serves, and how long a change takes until each of three gateways
// says so.
func BenchmarkDirectoryConsul(b *testing.B) {
	if os.Getenv("POSTERN_BENCH_LARGE") == "" {
		b.Skip("needs a real Consul, and minutes: set POSTERN_BENCH_LARGE=1")
	}
	const mailboxes, backends = 1_000_000, 400
	c, err := realtest.StartConsul(b, "")
	must(b, err)
	guests := map[string]string{"guest-01": "127.0.0.1:1", "guest-02": "127.0.0.1:2"}
	more := ""
	for i := 3; i <= backends; i++ {
		more += fmt.Sprintf("    - {name: guest-%02d, address: \"127.0.0.1:%d\"}\n", i, i)
	}
	configured := func() *asker { return newAsker(b, guests, "  sources:\n    - "+consulSource(c)+"\n", more) }
	started := func() *asker {
		a := configured()
		a.start()
		return a
	}
	first := configured()
	path := filepath.Join(first.dir, "import.map")
	writeMailboxes(b, path, mailboxes, backends)
	load := exec.Command(os.Args[0], "directory", "import", "--config", first.config(), path)
	load.Env = append(os.Environ(), asPostern+"=1")
	began := time.Now()
	must(b, told(load))
	b.Logf("imported in %v", time.Since(began))

	b.Run(fmt.Sprintf("start/mailboxes=%d", mailboxes), func(b *testing.B) {
		for b.Loop() {
			a := started()
			b.StopTimer()
			if n := a.entries(); n != mailboxes {
				b.Fatalf("%d entries", n)
			}
			a.end()
			b.StartTimer()
		}
	})
	b.Run("change/gateways=3", func(b *testing.B) {
		changes(b, c, []*asker{started(), started(), started()}, mailboxes)
	})
}

// writeMailboxes writes a map of addresses with 34 characters.
func writeMailboxes(b *testing.B, path string, n, backends int) {
	b.Helper()
	file, err := os.Create(path)
	must(b, err)
	out := bufio.NewWriter(file)
	for i := range n {
		_, err := fmt.Fprintf(out, "user%08d@domain-%03d.example.com guest-%02d\n", i, i%1000, 1+i%backends)
		must(b, err)
	}
	must(b, out.Flush(), file.Close())
}

// changes has one mailbox move at a time, and measures until all gateways know.
func changes(b *testing.B, c *realtest.Consul, gateways []*asker, mailboxes int) {
	b.Helper()
	store, err := consul.NewStore(consul.Options{ClientOptions: consul.ClientOptions{Address: c.Address}, Prefix: "postern", DefaultDomain: "example.com"})
	must(b, err)
	defer store.Close()
	const count = 100
	var took []time.Duration
	for round := 1; b.Loop(); round++ {
		took = took[:0]
		for i := range count {
			n := i * (mailboxes / count)
			user := fmt.Sprintf("user%08d@domain-%03d.example.com", n, n%1000)
			backend := fmt.Sprintf("guest-%02d", 2+(7*round+i)%300)
			began := time.Now()
			_, _, err := store.Set(b.Context(), user, func(v directory.Value, _ bool) (directory.Value, error) {
				v.Backend = backend
				return v, nil
			})
			must(b, err)
			written := time.Now()
			var seeing sync.WaitGroup
			for _, a := range gateways {
				seeing.Go(func() { a.sees(user, backend) })
			}
			seeing.Wait()
			took = append(took, time.Since(written))
			if i == 0 {
				b.Logf("the first was written in %v", written.Sub(began))
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[count/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[count*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// sees waits until the gateway says that a mailbox is on a backend.
func (a *asker) sees(user, backend string) {
	for {
		_, body := a.get("/api/v1/mailboxes/" + user)
		var e admin.Explanation
		must(a.t, json.Unmarshal([]byte(body), &e))
		if len(e.Sources) > 0 && e.Sources[0].Backend == backend {
			return
		}
		time.Sleep(10 * time.Millisecond) // asking must not be what takes the time
	}
}

// entries is how many the first source serves.
func (a *asker) entries() int {
	a.t.Helper()
	_, body := a.get("/api/v1/directory")
	var state admin.DirectoryState
	must(a.t, json.Unmarshal([]byte(body), &state))
	return state.Sources[0].Entries
}
