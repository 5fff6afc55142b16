package sql

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/directory"
)

// testConnectionEnded ends the kept connections on the server. The next questions don't notice.
func (l *lab) testConnectionEnded(t *testing.T) {
	l.Set(t, oneMailbox)
	r := l.asking(t, "")
	var all sync.WaitGroup
	for range 20 { // so that there are several
		all.Go(func() { tells(t, r, "alice@example.com", alice()) })
	}
	all.Wait()
	for range 3 {
		l.endConnections(t)
		for range 8 {
			all.Go(func() { tells(t, r, "alice@example.com", alice()) })
		}
		all.Wait()
	}
}

// testEndedUnderAQuestion ends the connection while the server is at work.
func (l *lab) testEndedUnderAQuestion(t *testing.T) {
	l.Set(t, oneMailbox)
	sleep, running := "sleep(1) = 0", "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%sleep(1)%' AND command = 'Execute'"
	if l.postgres() {
		sleep, running = "pg_sleep(1) IS NOT NULL", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postern' AND state = 'active'"
	}
	r := l.asking(t, "SELECT backend, login, state FROM mailbox WHERE address = $1 AND "+sleep)
	var asking sync.WaitGroup
	asking.Go(func() { tells(t, r, "alice@example.com", alice()) })
	for deadline := time.Now().Add(patience); l.number(t, running) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the question does not reach the server")
			break
		}
	}
	l.endConnections(t)
	asking.Wait()
}

func (l *lab) endConnections(t *testing.T) {
	t.Helper()
	if l.postgres() {
		l.run(t, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'postern'")
		return
	}
	l.run(t, "BEGIN NOT ATOMIC FOR c IN (SELECT id FROM information_schema.processlist WHERE user = 'postern' AND id <> connection_id()) DO KILL c.id; END FOR; END")
}

// testHanging stops the server in its tracks.
func (l *lab) testHanging(t *testing.T) {
	l.Set(t, oneMailbox)
	kept, fresh, closed, impatient := l.asking(t, ""), l.asking(t, ""), l.asking(t, ""), l.options()
	impatient.Timeout = 200 * time.Millisecond
	tells(t, kept, "alice@example.com", alice())
	tells(t, closed, "alice@example.com", alice())
	l.Pause()
	t.Cleanup(l.Resume) // before a server that hangs is asked to clean up
	began := time.Now()
	var all sync.WaitGroup
	for _, r := range []*Resolver{kept, fresh, closed} {
		for range 20 {
			all.Go(func() {
				_, err := r.Resolve(within(t, 300*time.Millisecond), mailbox("alice@example.com"))
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a server that hangs: %v", err)
				}
				keepsSecret(t, err)
			})
		}
	}
	all.Wait()
	fails(t, resolver(t, impatient), "alice@example.com", "no answer within 200ms")
	if err := closed.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("questions and closing took %v", took)
	}
	l.Resume()
	for _, r := range []*Resolver{kept, fresh} {
		comesBack(t, r)
	}
}

// comesBack waits for the right answer, and takes no wrong one.
func comesBack(t *testing.T, r *Resolver) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		v, err := ask(t, r, "alice@example.com")
		if err == nil && v == alice() {
			return
		}
		if errors.Is(err, directory.ErrUnknown) || err == nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", v, err)
		}
	}
}

// testKilled ends the server as a power cut does. Once it is back, the first question has its answer,
// though it was to go through a connection of before.
func (l *lab) testKilled(t *testing.T) {
	l.Set(t, oneMailbox)
	idle, asking := l.asking(t, ""), l.asking(t, "")
	tells(t, idle, "alice@example.com", alice())
	tells(t, asking, "alice@example.com", alice())
	l.Kill()
	for range 3 {
		fails(t, asking, "alice@example.com", "connection refused")
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	tells(t, idle, "alice@example.com", alice())
	tells(t, asking, "alice@example.com", alice())
}

// ear collects what a listener hears.
type ear struct {
	t      *testing.T
	heard  chan string
	ended  chan error
	cancel context.CancelFunc
}

func listen(t *testing.T, r *Resolver) *ear {
	ctx, cancel := context.WithCancel(t.Context())
	e := &ear{t: t, heard: make(chan string, 100), ended: make(chan error, 1), cancel: cancel}
	go func() { e.ended <- r.Listen(ctx, func(address string) { e.heard <- address }) }()
	t.Cleanup(cancel)
	return e
}

func (e *ear) hears(want string) {
	e.t.Helper()
	select {
	case got := <-e.heard:
		if got != want {
			e.t.Errorf("heard %q, want %q", got, want)
		}
	case err := <-e.ended:
		e.t.Fatalf("the listener ended: %v", err)
	case <-time.After(patience):
		e.t.Fatalf("heard nothing, want %q", want)
	}
}

func (e *ear) ends() error {
	e.t.Helper()
	select {
	case err := <-e.ended:
		return err
	case got := <-e.heard:
		e.t.Fatalf("heard %q at the end", got)
	case <-time.After(patience):
		e.t.Fatal("the listener does not end")
	}
	return nil
}

func (l *lab) listening(t *testing.T) *Resolver {
	o := l.options()
	o.Listen, o.DefaultDomain = "Postern changes", "example.com"
	if err := o.Check(t.Context()); err != nil {
		t.Error(err)
	}
	return resolver(t, o)
}

func (l *lab) testListening(t *testing.T) {
	r := l.listening(t)
	e := listen(t, r)
	e.hears("")
	for payload, want := range map[string]string{
		"alice@example.com": "alice@example.com", "ALICE@Example.org": "alice@example.org", "bob": "bob@example.com", "": "", "@example.com": "",
	} {
		l.run(t, "SELECT pg_notify('Postern changes', $1)", payload)
		e.hears(want)
	}
	l.run(t, `NOTIFY "postern changes", 'x'`) // another channel
	l.run(t, `NOTIFY "Postern changes", 'carol'`)
	e.hears("carol@example.com")

	l.endConnections(t)
	err := e.ends()
	if err == nil || !strings.HasPrefix(err.Error(), "listening at "+r.place.where+": ") {
		t.Errorf("the end of the connection: %v", err)
	}
	keepsSecret(t, err)
	e = listen(t, r)
	e.hears("")
	l.run(t, `NOTIFY "Postern changes", 'dave'`)
	e.hears("dave@example.com")
	e.cancel()
	if err := e.ends(); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}

	l.Kill()
	err = listen(t, r).ends()
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("without a server: %v", err)
	}
	keepsSecret(t, err)
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	deaf := l.asking(t, "")
	if err := deaf.Listen(t.Context(), func(string) { t.Error("heard something") }); err != nil {
		t.Errorf("not told to listen: %v", err)
	}
}

// testListeningHangs has a connection that stays open and says no more.
func (l *lab) testListeningHangs(t *testing.T) {
	r := l.listening(t)
	r.listener.beat, r.listener.timeout = 50*time.Millisecond, 3*time.Second
	e := listen(t, r)
	e.hears("")
	time.Sleep(300 * time.Millisecond) // several signs of life are asked for, and given
	l.run(t, `NOTIFY "Postern changes", 'alice'`)
	e.hears("alice@example.com")
	l.Pause()
	t.Cleanup(l.Resume)
	err := e.ends()
	if err == nil {
		t.Error("the listener ended without an error")
	}
	keepsSecret(t, err)
	l.Resume()
	e = listen(t, l.listening(t))
	e.hears("")
	e.cancel()
	_ = e.ends()
}
