// Who stands still for a while, or runs short of something, loses no session for it.

package main_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postern/cmd/postern/realtest"
)

// TestRealStops lets each of them stop.
func TestRealStops(t *testing.T) {
	needReal(t)
	together(t, map[string]func(*testing.T){
		"gateway for 8 s":          func(t *testing.T) { gatewayStops(t, 8*time.Second) },
		"gateway for 20 s":         func(t *testing.T) { gatewayStops(t, 20*time.Second) },
		"guest for 8 s":            guestStops,
		"gateway's descriptors":    gatewayRunsShort,
		"refused connections":      refusedConnections,
		"login takes 9 s":          slowLogin,
		"a gateway not trusted":    notTrusted,
		"reset in the midst":       resetInTheMidst,
		"a stale session":          staleSession,
		"a session that is in use": busySession,
		"drained in the midst":     drainedInTheMidst,
		"drained, never read":      drainedUnread,
	}, func(t *testing.T, run func(*testing.T)) { run(t) })
}

// gatewayStops has logins in progress when it stops: their time is over when it goes on,
// and that says nothing of the guest.
func gatewayStops(t *testing.T, still time.Duration) {
	w := newWard(t, wardOptions{timeouts: "backend: 7s, backend_login: 7s, drain: 5s"})
	var holders []*realtest.Terminal
	for number := range 3 {
		holders = append(holders, w.stay(number))
	}
	if err := w.sick.Freeze(); err != nil {
		t.Fatal(err)
	}
	midst := make(chan []heard, 1)
	go func() { midst <- w.crowd(3, 10) }()
	w.awaitLogins(7)
	w.signal(syscall.SIGSTOP)
	if err := w.sick.Thaw(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(still)
	w.signal(syscall.SIGCONT)
	for _, h := range <-midst {
		if !h.ok() && !strings.HasPrefix(h.answer, "-ERR [SYS/TEMP] ") {
			t.Errorf("a login in the midst of it hears %q", h.answer)
		}
	}
	all := w.crowd(3, sickUsers)
	for _, h := range all {
		if !h.ok() {
			t.Errorf("behind it a user hears %q after %v", h.answer, h.after)
		}
	}
	for _, holder := range holders {
		quit(t, holder)
	}
	w.neverOpened()
}

func (w *ward) signal(s syscall.Signal) {
	w.t.Helper()
	if err := w.process.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

// awaitLogins waits until so many logins are in progress.
func (w *ward) awaitLogins(number int) {
	w.t.Helper()
	for deadline := time.Now().Add(6 * time.Second); w.status("sick").Logins < number; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%d logins are not in progress: %+v", number, w.status("sick"))
		}
	}
}

// guestStops is what a live relocation looks like. A session that is silent, one in the midst
// of a message and one in the midst of its login go on where they were.
func guestStops(t *testing.T) {
	message := realtest.LargeMessage("sick", 24<<20)
	w := newWard(t, wardOptions{
		timeouts: "backend: 20s, backend_login: 20s, drain: 5s",
		messages: []realtest.Message{message}, users: 6,
	})
	silent, reading := w.stay(0), w.stay(1)
	if _, err := reading.Must("RETR 1"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // until all buffers are full
	if err := w.sick.Freeze(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	var fault error
	var answers []heard
	var midst sync.WaitGroup
	midst.Go(func() { got, fault = reading.Message() })
	midst.Go(func() { answers = w.crowd(2, 6) })
	time.Sleep(8 * time.Second)
	if err := w.sick.Thaw(); err != nil {
		t.Fatal(err)
	}
	midst.Wait()
	if fault != nil || realtest.Sum(got) != realtest.Sum(message.Wire()) {
		t.Errorf("the message arrived with %d octets and another sum (%v)", len(got), fault)
	}
	for _, h := range answers {
		if !h.ok() {
			t.Errorf("a login in the midst of it hears %q after %v", h.answer, h.after)
		}
	}
	quit(t, silent)
	quit(t, reading)
	w.neverOpened()
}

// gatewayRunsShort takes the gateway's descriptors away while it runs. That is no
// backend's fault.
func gatewayRunsShort(t *testing.T) {
	w := newWard(t, wardOptions{})
	holder := w.stay(0)
	w.becomes("closed", slack) // and the API's connection is there
	before := w.footprint()
	// The limit is one above the highest number, so who fills gaps doesn't matter.
	w.limitDescriptors(uint64(before.descriptors + 2))
	for range 3 {
		for _, h := range w.crowd(1, sickUsers) {
			if !strings.HasPrefix(h.answer, "-ERR [SYS/TEMP] ") && !h.ok() {
				t.Errorf("a user hears %q", h.answer)
			}
		}
	}
	if log := w.process.LogTail(1 << 20); !strings.Contains(log, "this machine's fault") {
		t.Errorf("nobody was short of descriptors")
	}
	w.limitDescriptors(20_000)
	if h := w.login(sickUser(1), "secret"); !h.ok() {
		t.Errorf("with descriptors again a user hears %q", h.answer)
	}
	if _, err := holder.Count(); err != nil {
		t.Error(err)
	}
	quit(t, holder)
	w.neverOpened()
	w.comesBackTo(before)
}

func (w *ward) limitDescriptors(number uint64) {
	w.t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(w.process.Pid(), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		w.t.Fatal(err)
	}
	limit.Cur = min(number, limit.Max)
	if err := unix.Prlimit(w.process.Pid(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		w.t.Fatal(err)
	}
}

// refusedConnections come one after the other: a breaker opens within five of them, or
// within a second.
func refusedConnections(t *testing.T) {
	w := newWard(t, wardOptions{})
	w.getsIn(0, slack)
	if err := w.sick.Kill(); err != nil {
		t.Fatal(err)
	}
	var all []heard
	for began := time.Now(); w.status("sick").Breaker != "open"; {
		if all = append(all, w.login(sickUser(len(all)%sickUsers), "secret")); len(all) > 5 && time.Since(began) > time.Second+slack {
			t.Fatalf("the breaker is not open after %d failures: %+v", len(all), w.status("sick"))
		}
	}
	if len(all) > 5 {
		t.Errorf("the breaker opened after %d failures", len(all))
	}
	w.expectTemporary(all, slack)
	if err := w.sick.Start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the breaker opened after %d refused connections, and closed %v behind the guest's return", len(all), w.becomes("closed", backWithin))
	w.getsIn(0, slack)
}

// slowLogin is a guest that reads a mailbox for nine seconds before it lets its user in.
func slowLogin(t *testing.T) {
	held := func() { <-time.After(9 * time.Second) }
	w := newWard(t, wardOptions{path: &realtest.Path{Login: held}, timeouts: "drain: 5s"})
	quiet := w.measureFor(2 * time.Second)
	stop, measured := make(chan struct{}), make(chan latencies, 1)
	go func() { measured <- w.measure(stop) }()
	for _, h := range w.crowd(0, sickUsers) {
		if !h.ok() || h.after < 9*time.Second || h.after > 15*time.Second {
			t.Errorf("a user hears %q after %v", h.answer, h.after)
		}
	}
	close(stop)
	during := <-measured
	t.Logf("others p99 %v, quiet %v", during.at(.99), quiet.at(.99))
	w.neverOpened()
}

// stockSettings are Dovecot's own delays, which the other tests do without: 2 s for each wrong
// password, and for each address that sends some up to 15 s more. The gateway is one address.
const stockSettings = `
auth_failure_delay = 2 secs
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0600
  }
}
`

// notTrusted is a Dovecot that nobody has told of the gateway.
func notTrusted(t *testing.T) {
	w := newWard(t, wardOptions{
		victim: realtest.VictimOptions{More: stockSettings}, timeouts: "drain: 5s",
	})
	wrong := make([]heard, 20)
	var guessing sync.WaitGroup
	for i := range wrong {
		guessing.Go(func() { wrong[i] = w.login(sickUser(1+i%(sickUsers-1)), fmt.Sprint("wrong-", i)) })
	}
	guessing.Wait()
	slowest := time.Duration(0)
	for _, h := range wrong {
		slowest = max(slowest, h.after)
		if !strings.HasPrefix(h.answer, "-ERR [AUTH] ") {
			t.Errorf("a wrong password hears %q after %v", h.answer, h.after)
		}
	}
	right := w.login(sickUser(0), "secret")
	if !right.ok() {
		t.Errorf("then a right one hears %q after %v", right.answer, right.after)
	}
	t.Logf("wrong passwords are refused after %v at most, then a right one is taken after %v", slowest, right.after)
	w.neverOpened()
}
