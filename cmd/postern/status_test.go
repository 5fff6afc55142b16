package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	one, two := startAdmin(t, "gw1", fakeSession("a-1", "alice@example.com", "guest-01")), startAdmin(t, "gw2")
	t.Run("one", func(t *testing.T) {
		r := postern(t, "status", "--admin", one.socket)
		r.check(t, 0, "degraded", "")
		for _, want := range []string{"1d1h", "gw1", "127.0.0.1:1110", "file:a.map", "2m0s", "held", "the shrink guard holds"} {
			if !strings.Contains(r.out, want) {
				t.Errorf("no %s in\n%s", want, r.out)
			}
		}
	})
	t.Run("two, each row named", func(t *testing.T) {
		r := postern(t, tokenVariable+"="+adminSecret, "status", "--admin", "unix:"+one.socket, "--admin", two.tcp)
		r.check(t, 0, "gw2", "")
		if rows := lines(r.out); rows[1][0] != "unix:"+one.socket || rows[2][0] != two.tcp {
			t.Errorf("%v", rows)
		}
	})
	t.Run("one of two is dead", func(t *testing.T) {
		dead := deadSocket(t)
		r := postern(t, "status", "--admin", dead, "--admin", one.socket)
		r.check(t, 3, "gw1", dead+": dial unix")
	})
	t.Run("one of two hangs", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		began := time.Now()
		r := postern(t, "status", "--timeout", "300ms", "--admin", silent.Addr().String(), "--admin", one.socket)
		r.check(t, 3, "gw1", "no answer in time")
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		all := jsonLines(t, postern(t, "status", "--json", "--admin", one.socket, "--admin", two.socket).out)
		if len(all) != 2 || all[0]["gateway"] != "gw1" || all[1]["admin"] != two.socket || all[0]["ready"] != true {
			t.Errorf("%v", all)
		}
	})
	t.Run("what answers is no postern", func(t *testing.T) {
		s := newSite(t)
		postern(t, "status", "--timeout", "2s", "--admin", s.guests["guest-01"]).check(t, 3, "", s.guests["guest-01"])
	})
}

// Tokens come from the file, else from the environment, and are not sent where a
// socket's mode decides.
func TestTokenOfCommands(t *testing.T) {
	t.Parallel()
	g := startAdmin(t, "gw1")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(adminSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const wants = "it wants a token"
	postern(t, "status", "--admin", g.tcp).check(t, 1, "", wants)
	postern(t, tokenVariable+"=wrong-0123456789", "status", "--admin", g.tcp).check(t, 1, "", wants)
	postern(t, tokenVariable+"="+adminSecret, "status", "--admin", "http://"+g.tcp).check(t, 0, "gw1", "")
	postern(t, "status", "--admin", g.tcp, "--token-file", file).check(t, 0, "gw1", "")
	postern(t, tokenVariable+"=wrong-0123456789", "status", "--admin", "http://"+g.tcp+"/api", "--token-file", file).check(t, 2, "", "want a path")
	postern(t, "status", "--admin", g.tcp, "--token-file", file+"x").check(t, 2, "", "--token-file")
	postern(t, "status", "--admin", g.socket, "--token-file", file+"x").check(t, 0, "gw1", "")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	r := postern(t, "status", "--admin", g.tcp, "--token-file", file)
	r.check(t, 2, "", "others may read it")
	if strings.Contains(r.faults, adminSecret) {
		t.Error("the token is printed")
	}
}

func TestReloadCommand(t *testing.T) {
	t.Parallel()
	one, two := startAdmin(t, "gw1"), startAdmin(t, "gw2")
	postern(t, "reload", "--admin", one.socket, "--admin", two.socket).check(t, 0, "yes", "")
	two.mu.Lock()
	two.fault = errorLines("postern.yaml:1:2: colour: no such key", "postern.yaml:3:4: shape: no such key")
	two.mu.Unlock()
	r := postern(t, "reload", "--admin", one.socket, "--admin", two.socket)
	r.check(t, 2, one.socket, two.socket+": what is faulty was refused")
	if !strings.Contains(r.faults, "\npostern.yaml:1:2: colour: no such key\npostern.yaml:3:4: ") {
		t.Errorf("the faults don't stand on lines of their own:\n%s", r.faults)
	}
	postern(t, "reload", "--admin", two.socket, "--admin", deadSocket(t)).check(t, 3, "", "postern.yaml:3:4")
	all := jsonLines(t, postern(t, "reload", "--json", "--admin", one.socket).out)
	if len(all) != 1 || all[0]["reloaded"] != true {
		t.Errorf("%v", all)
	}
}

// errorLines is an error with a line for each fault.
type lineError []string

func errorLines(lines ...string) error { return lineError(lines) }

func (e lineError) Error() string { return strings.Join(e, "\n") }
