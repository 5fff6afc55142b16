// What the tests of sick backends share: a gateway in front of two Dovecots. Something
// happens to the one; nobody on the other may notice.

package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// wardOptions are what a ward is made of.
type wardOptions struct {
	victim   realtest.VictimOptions // its mailboxes are the ward's
	messages []realtest.Message     // in each; nil: a short one
	users    int                    // of the sick guest who have a mailbox; 0: all
	path     *realtest.Path         // to the sick guest; nil: none
	backend  string                 // further keys of the sick backend, such as ", tls: stls"
	backends string                 // further lines of the section backends
	timeouts string                 // nil: short ones
}

// shortTimeouts are long enough for a loaded machine, and for a test to wait for them.
const shortTimeouts = "backend: 3s, backend_login: 4s, drain: 5s"

// ward is a running gateway with its two guests.
type ward struct {
	t          *testing.T
	process    *realtest.Process
	address    string
	api        http.Client
	admin      string
	sick, well *realtest.Victim
	way        *realtest.Forwarder // to the sick guest, if there is one
	strangers  []net.Conn          // that fill the sick guest
}

// sickUsers are enough to open a breaker, and to find it open.
const sickUsers = 12

// wellSettings keep the processes of one login for the next: the machine has to
// measure a gateway.
const wellSettings = `
service pop3 {
  service_count = 1000
  process_min_avail = 2
}
`

func newWard(t *testing.T, o wardOptions) *ward {
	t.Helper()
	needReal(t)
	w := &ward{t: t}
	for number := range cmp.Or(o.users, sickUsers) {
		box := realtest.Mailbox{Address: sickUser(number), Login: sickUser(number), Password: "secret", Messages: o.messages}
		if box.Messages == nil {
			box.Messages = realtest.TaggedMessages(box.Address, 1, 100)
		}
		o.victim.Mailboxes = append(o.victim.Mailboxes, box)
	}
	var fault [2]error
	var starting sync.WaitGroup
	starting.Go(func() { w.sick, fault[0] = realtest.StartVictim(t, o.victim) })
	starting.Go(func() {
		boxes := []realtest.Mailbox{{Address: "well@example.com", Login: "well@example.com", Password: "secret"}}
		w.well, fault[1] = realtest.StartVictim(t, realtest.VictimOptions{Mailboxes: boxes, More: wellSettings})
	})
	starting.Wait()
	if err := errors.Join(fault[:]...); err != nil {
		t.Fatal(err)
	}
	w.serve(o)
	return w
}

func sickUser(number int) string { return fmt.Sprintf("sick-%d@example.com", number) }

// serve starts the gateway.
func (w *ward) serve(o wardOptions) {
	w.t.Helper()
	address := w.sick.Address
	if o.path != nil {
		var err error
		if w.way, err = realtest.StartForwarder(w.t, address, *o.path); err != nil {
			w.t.Fatal(err)
		}
		address = w.way.Address
	}
	dir := w.t.TempDir()
	var rows strings.Builder
	fmt.Fprintln(&rows, "well@example.com well")
	for number := range max(o.users, sickUsers) {
		fmt.Fprintln(&rows, sickUser(number), "sick")
	}
	if err := os.WriteFile(filepath.Join(dir, "mailboxes.map"), []byte(rows.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if o.timeouts == "" {
		o.timeouts = shortTimeouts
	}
	w.address, w.admin = freeAddress(w.t), filepath.Join(dir, "admin.sock")
	w.process = servePostern(w.t, fmt.Sprintf(`listeners: [{address: %q, name: pop}]
timeouts: {%s}
auth: {failure_delay: 100ms}
admin: {socket: %q}
directory:
  default_domain: example.com
  state: %q
  sources: [{type: file, path: %q}]
backends:
%s
  static:
    - {name: sick, address: %q%s}
    - {name: well, address: %q}
`, w.address, o.timeouts, w.admin, filepath.Join(dir, "state"), filepath.Join(dir, "mailboxes.map"),
		o.backends, address, o.backend, w.well.Address))
	w.api = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.admin)
		},
	}}
	if err := w.process.Answers("tcp", w.address); err != nil {
		w.t.Fatal(err)
	}
}

// backendStatus is what operators see of a backend, as far as tests need it.
type backendStatus struct {
	Name, State, Breaker, Reason string
	Logins, Sessions             int
	Drain                        *struct{ By string }
}

func (w *ward) status(name string) backendStatus {
	w.t.Helper()
	answer, err := w.api.Get("http://localhost/api/v1/backends")
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	var all struct{ Backends []backendStatus }
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		w.t.Fatal(err)
	}
	at := slices.IndexFunc(all.Backends, func(b backendStatus) bool { return b.Name == name })
	if at < 0 {
		w.t.Fatalf("no backend %s among %+v", name, all.Backends)
	}
	return all.Backends[at]
}

// becomes waits for a state of the sick backend's breaker, and tells how long.
func (w *ward) becomes(breaker string, within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		s := w.status("sick")
		switch {
		case s.Breaker == breaker:
			return time.Since(began)
		case time.Since(began) > within:
			w.t.Errorf("the breaker is not %s after %v: %+v", breaker, within, s)
			return within
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// neverOpened looks into the log, where each change has its record.
func (w *ward) neverOpened() {
	w.t.Helper()
	if log := w.process.LogTail(1 << 20); strings.Contains(log, "state=open") {
		w.t.Errorf("a breaker opened")
	}
}

// heard is what came of a login, and when after PASS.
type heard struct {
	answer string
	after  time.Duration
}

func (h heard) ok() bool { return strings.HasPrefix(h.answer, "+OK") }

// login logs in and out again.
func (w *ward) login(user, password string) heard {
	terminal, h := w.enter(user, password)
	if terminal == nil {
		return h
	}
	defer terminal.Close()
	if h.ok() {
		if err := terminal.Quit(); err != nil {
			return heard{"no good end: " + err.Error(), h.after}
		}
	}
	return h
}

// enter logs in and stays. It may be called beside the test's own goroutine.
func (w *ward) enter(user, password string) (*realtest.Terminal, heard) {
	return w.enterFrom(nil, user, password)
}

func (w *ward) enterFrom(from net.IP, user, password string) (*realtest.Terminal, heard) {
	terminal, err := realtest.DialTerminalFrom(w.t.Context(), from, w.address)
	if err != nil {
		return nil, heard{answer: "no greeting: " + err.Error()}
	}
	if _, err := terminal.Must("USER " + user); err != nil {
		terminal.Close()
		return nil, heard{answer: err.Error()}
	}
	began := time.Now()
	answer, err := terminal.Command("PASS " + password)
	if err != nil {
		answer = err.Error()
	}
	return terminal, heard{answer, time.Since(began)}
}

// stay is enter for who must get in.
func (w *ward) stay(number int) *realtest.Terminal {
	w.t.Helper()
	terminal, h := w.enter(sickUser(number), "secret")
	if terminal != nil {
		w.t.Cleanup(func() { terminal.Close() })
	}
	if !h.ok() {
		w.t.Fatalf("%s hears %q", sickUser(number), h.answer)
	}
	return terminal
}

// crowd logs in as so many users of the sick guest at once.
func (w *ward) crowd(from, to int) []heard {
	all := make([]heard, to-from)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = w.login(sickUser(from+i), "secret") })
	}
	wg.Wait()
	return all
}

// expectTemporary expects that nobody was told anything about his password, and nobody
// waited for longer than that.
func (w *ward) expectTemporary(all []heard, within time.Duration) (longest time.Duration) {
	w.t.Helper()
	for _, h := range all {
		longest = max(longest, h.after)
		if !strings.HasPrefix(h.answer, "-ERR [SYS/TEMP] ") || h.after > within {
			w.t.Errorf("a user hears %q after %v, want [SYS/TEMP] within %v", h.answer, h.after, within)
		}
	}
	return longest
}

// getsIn logs in until it works, and tells how long that took.
func (w *ward) getsIn(number int, within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		h := w.login(sickUser(number), "secret")
		switch {
		case h.ok():
			return time.Since(began)
		case time.Since(began) > within:
			w.t.Errorf("after %v %s still hears %q", within, sickUser(number), h.answer)
			return within
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// latencies are times of logins, in order of size.
type latencies []time.Duration

func (l latencies) at(share float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[int(share*float64(len(l)-1))]
}

// measure logs in on the well guest, again and again until stop is closed. All must get in.
func (w *ward) measure(stop <-chan struct{}) latencies {
	pause := 100 * time.Millisecond
	if long() {
		pause = 5 * time.Millisecond
	}
	var all latencies
	for {
		h := w.login("well@example.com", "secret")
		if !h.ok() {
			w.t.Errorf("on the well guest a user hears %q after %v", h.answer, h.after)
		}
		all = append(all, h.after)
		select {
		case <-stop:
			slices.Sort(all)
			return all
		case <-time.After(pause):
		}
	}
}

// measureFor is measure for a time.
func (w *ward) measureFor(d time.Duration) latencies {
	stop := make(chan struct{})
	time.AfterFunc(d, func() { close(stop) })
	return w.measure(stop)
}

// long tells whether there is time for figures: some minutes.
func long() bool { return os.Getenv("POSTERN_LONG") != "" }

// footprint is what the gateway holds.
type footprint struct {
	descriptors int
	memory      int // KiB
}

func (w *ward) footprint() footprint {
	w.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(w.process.Pid()))
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var f footprint
	if _, err := fmt.Sscan(rest, &f.memory); err != nil {
		w.t.Fatal(err)
	}
	f.descriptors = len(open)
	return f
}

// What may be left of a fault: idle connections of the API's client, and what Go
// gives back late.
const (
	spareDescriptors = 4
	spareMemory      = 32 << 10 // KiB
)

// comesBackTo waits until the gateway holds as little as before.
func (w *ward) comesBackTo(before footprint) footprint {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		now := w.footprint()
		if now.descriptors <= before.descriptors+spareDescriptors && now.memory <= before.memory+spareMemory {
			return now
		}
		if time.Now().After(deadline) {
			w.t.Errorf("the gateway holds %+v, before it held %+v", now, before)
			return now
		}
	}
}

// together runs subtests at once, as many as the machine bears: they wait more than they
// work. For figures each runs alone.
func together[T any](t *testing.T, cases map[string]T, run func(*testing.T, T)) {
	t.Helper()
	atOnce := 5
	if long() {
		atOnce = 1
	}
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for name, c := range cases {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(name, func(t *testing.T) { run(t, c) })
		})
	}
	wg.Wait()
}
