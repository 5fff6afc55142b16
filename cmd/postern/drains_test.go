package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postern/admin"
	"postern/backend"
	"postern/configs"
)

// twoBackends is a pool with guest-01 and guest-02.
func twoBackends() *backend.Pool {
	pool := backend.NewPool(backend.PoolOptions{Logger: slog.New(slog.DiscardHandler)})
	pool.Sync([]backend.Target{
		{Name: "guest-01", Addresses: []string{"192.0.2.1:110"}, Declared: true},
		{Name: "guest-02", Addresses: []string{"192.0.2.2:110"}, Declared: true},
	})
	return pool
}

func drained(pool *backend.Pool) (names string) {
	for _, d := range pool.Drained() {
		names += d.Name + " by " + d.By + ";"
	}
	return names
}

// An operator's word is kept over a restart, and so is that it was taken back.
func TestDrainsAreKept(t *testing.T) {
	t.Parallel()
	folder, began := t.TempDir(), time.Now().Add(-time.Second)
	start := func() (*drains, *backend.Pool) {
		pool := twoBackends()
		d, err := newDrains(pool, folder, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		return d, pool
	}
	d, _ := start()
	for _, name := range []string{"guest-02", "guest-01"} {
		if err := d.drain(name, "olga", -1); err != nil {
			t.Fatal(err)
		}
	}
	d, pool := start()
	if got := drained(pool); got != "guest-01 by olga;guest-02 by olga;" || pool.Drained()[0].Since.Before(began) {
		t.Errorf("restored %q since %v", got, pool.Drained()[0].Since)
	}
	if err := d.resume("guest-01", "piet"); err != nil {
		t.Fatal(err)
	}
	if _, pool = start(); drained(pool) != "guest-02 by olga;" {
		t.Errorf("restored %q", drained(pool))
	}
	pool = twoBackends()
	pool.Sync(nil) // it is not configured at the moment: the word stays
	if d, err := newDrains(pool, folder, nil); err != nil || d.resume("guest-02", "piet") != nil {
		t.Fatal("no word of a backend that isn't configured", err)
	}
	if _, pool = start(); drained(pool) != "" {
		t.Errorf("restored %q", drained(pool))
	}
}

func TestDrainsOfNobody(t *testing.T) {
	t.Parallel()
	d, err := newDrains(twoBackends(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.drain("nowhere", "olga", -1), d.resume("nowhere", "olga")); !errors.Is(err, admin.ErrNoBackend) || len(d.timers) > 0 {
		t.Errorf("%v, %d timers", err, len(d.timers))
	}
}

// The deadline ends the sessions once; a resume or another word takes it back.
func TestDrainDeadlines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		then  func(*drains) error
		ended string
	}{
		{"it comes", func(*drains) error { return nil }, "guest-01 after 1m0s;"},
		{"resumed", func(d *drains) error { return d.resume("guest-01", "olga") }, ""},
		{"another is resumed", func(d *drains) error { return d.resume("guest-02", "olga") }, "guest-01 after 1m0s;"},
		{"another deadline", func(d *drains) error { return d.drain("guest-01", "olga", 2*time.Minute) }, "guest-01 after 2m30s;"},
		{"at once", func(d *drains) error { return d.drain("guest-01", "olga", 0) }, "guest-01 after 30s;"},
		{"no deadline any more", func(d *drains) error { return d.drain("guest-01", "olga", -1) }, ""},
		{"both", func(d *drains) error { return d.drain("guest-02", "olga", time.Hour) }, "guest-01 after 1m0s;guest-02 after 1h0m30s;"},
		{"the gateway ends", func(d *drains) error { d.close(); return nil }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, ended := time.Now(), make(chan string, 10)
				d, err := newDrains(twoBackends(), "", func(name string) {
					ended <- fmt.Sprintf("%s after %v;", name, time.Since(begin))
				})
				if err != nil || d.drain("guest-01", "olga", time.Minute) != nil {
					t.Fatal("not drained", err)
				}
				if got := d.deadline("guest-01"); !got.Equal(begin.Add(time.Minute)) {
					t.Errorf("the deadline is %v", got)
				}
				time.Sleep(30 * time.Second)
				if err := tt.then(d); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				close(ended)
				got := ""
				for one := range ended {
					got += one
				}
				if got != tt.ended {
					t.Errorf("ended %q, want %q", got, tt.ended)
				}
			})
		})
	}
}

// What can't be saved holds all the same, and is told.
func TestDrainsThatCanNotBeSaved(t *testing.T) {
	t.Parallel()
	pool, folder := twoBackends(), filepath.Join(t.TempDir(), "file")
	d, err := newDrains(pool, folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.drain("guest-01", "olga", -1); err == nil || !strings.Contains(err.Error(), "until the gateway is started again") {
		t.Errorf("error %v", err)
	}
	if got := drained(pool); got != "guest-01 by olga;" {
		t.Errorf("drained: %q", got)
	}
}

func TestDamagedDrains(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	d, err := newDrains(twoBackends(), kept, nil)
	if err != nil || d.drain("guest-01", "olga", -1) != nil {
		t.Fatal("not drained", err)
	}
	whole, err := os.ReadFile(filepath.Join(kept, drainsFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "garbage": "garbage\n", "cut": string(whole[:len(whole)-3]), "changed": strings.Replace(string(whole), "guest-01", "guest-02", 1),
		"much": strings.Repeat("[", maxDrains+5), "binary": "\x00\xff\x00",
	} {
		folder, pool := t.TempDir(), twoBackends()
		if err := os.WriteFile(filepath.Join(folder, drainsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := newDrains(pool, folder, nil)
		if err == nil || drained(pool) != "" {
			t.Errorf("%s: %v, drained %q", name, err, drained(pool))
		}
		if d == nil || d.drain("guest-02", "olga", -1) != nil || drained(pool) != "guest-02 by olga;" {
			t.Errorf("%s: nobody can be drained any more", name)
		}
	}
}

// A gateway with a damaged file serves, and says so.
func TestServeWithDamagedDrains(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.desk("")
	config, err := configs.Load(filepath.Join(s.dir, "postern.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	folder := stateFolder(config, slog.New(slog.DiscardHandler))
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, drainsFile), []byte("garbage\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	p := s.start()
	p.waitFor(t, "level=ERROR", "backends that were drained are not any more")
	p.expect(t, "alice", "alice on guest-01")
}

// desk gives the site an admin socket and a folder for its state, and more configuration.
func (s *site) desk(more string) (socket string) {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "desk") // a socket's path has to be short
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.deskAt(filepath.Join(dir, "s"), more)
	return filepath.Join(dir, "s")
}

func (s *site) deskAt(socket, more string) {
	s.t.Helper()
	s.configure("admin: {socket: " + socket + "}\n" + more)
}

const maintenance = "PASS: -ERR [SYS/TEMP] The mail server is down for maintenance"

// Drain lets running sessions be, keeps new ones out, holds over a restart, and resume takes it back.
func TestDrainAndResumeAGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	socket := s.desk("timeouts: {drain: 1s}\n")
	p := s.start()
	running := p.connect(t)
	if err := running.Login("mover", "secret"); err != nil {
		t.Fatal(err)
	}
	postern(t, "backends", "drain", "guest-01", "--admin", socket).check(t, 0, "guest-01", "")
	p.expect(t, "alice", maintenance)
	p.expect(t, "bob", "bob on guest-02")
	postern(t, "explain", "alice", "--admin", socket).check(t, 0, "drained, by socket", "")
	if reply, err := running.Cmd("STAT"); err != nil || !strings.HasPrefix(reply, "+OK 1") {
		t.Errorf("the running session hears %q, %v", reply, err)
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, 20*time.Second); status != 0 {
		t.Errorf("exit %d", status)
	}
	p = s.start()
	p.expect(t, "alice", maintenance)
	postern(t, "backends", "resume", "guest-01", "--admin", socket).check(t, 0, "guest-01", "")
	p.expect(t, "alice", "alice on guest-01")
}

// The deadline ends the sessions of that backend, with a word; a resume before it lets them be.
func TestDrainDeadlineOfAGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	socket := s.desk("")
	p := s.start()
	alice, bob := p.connect(t), p.connect(t)
	if err := errors.Join(alice.Login("alice", "secret"), bob.Login("bob", "secret")); err != nil {
		t.Fatal(err)
	}
	postern(t, "backends", "drain", "guest-02", "--deadline", "1h", "--admin", socket).check(t, 0, "guest-02", "")
	postern(t, "backends", "resume", "guest-02", "--admin", socket).check(t, 0, "guest-02", "")
	postern(t, "backends", "drain", "guest-01", "--deadline", "0s", "--admin", socket).check(t, 0, "guest-01", "")
	alice.SetTimeout(20 * time.Second)
	if line, err := alice.Line(); err != nil || !strings.HasPrefix(line, "-ERR [SYS/TEMP] The session is ended") {
		t.Errorf("alice hears %q, %v", line, err)
	}
	alice.Close()
	p.waitFor(t, "msg=end", "mailbox=alice@example.com", "ended_by=gateway", "reason=drained")
	if reply, err := bob.Cmd("STAT"); err != nil || !strings.HasPrefix(reply, "+OK 1") {
		t.Errorf("bob hears %q, %v", reply, err)
	}
	if _, err := bob.Cmd("QUIT"); err != nil {
		t.Error(err)
	}
	p.expect(t, "alice", maintenance)
	p.eventually(t, "bob", "bob on guest-02")
}
