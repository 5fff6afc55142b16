package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/admin"
)

func rowOf(t *testing.T, text, backend string) []string {
	t.Helper()
	for _, row := range lines(text) {
		if len(row) > 2 && row[1] == backend {
			return row
		}
	}
	t.Fatalf("no row of %s in\n%s", backend, text)
	return nil
}

// The command shows each backend of each gateway, as a table and as JSON.
func TestBackendsCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	socket := s.desk("")
	p := s.start()
	c := p.connect(t)
	if err := c.Login("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	t.Run("table", func(t *testing.T) {
		r := postern(t, "backends", "--admin", socket)
		r.check(t, 0, "GREETING", "")
		row := rowOf(t, r.out, "guest-01") // GATEWAY BACKEND STATE FOR BREAKER LOGINS QUEUED SESSIONS ...
		if row[0] != socket || row[2] != "usable" || row[4] != "closed" || row[5] != "0/20" || row[6] != "0" || row[7] != "1" || !strings.Contains(r.out, s.guests["guest-01"]) {
			t.Errorf("%q", row)
		}
		if row := rowOf(t, r.out, "guest-02"); row[7] != "0" {
			t.Errorf("%q", row)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		all := jsonLines(t, postern(t, "backends", "--json", "--admin", socket).out)
		if len(all) != 2 || all[0]["name"] != "guest-01" || all[0]["state"] != "usable" || all[0]["sessions"] != 1.0 || all[0]["admin"] != socket {
			t.Fatalf("%v", all)
		}
		if login := all[0]["login"].(map[string]any); login["count"] != 1.0 {
			t.Errorf("%v", login)
		}
	})
	t.Run("drained", func(t *testing.T) {
		all := jsonLines(t, postern(t, "backends", "drain", "guest-02", "--json", "--admin", socket).out)
		if len(all) != 1 || all[0]["backend"] != "guest-02" || all[0]["drained"] != true {
			t.Errorf("%v", all)
		}
		p.expect(t, "bob", maintenance)
		row := strings.Join(rowOf(t, postern(t, "backends", "--admin", socket).out, "guest-02"), " ")
		if !strings.Contains(row, " drained ") || !strings.Contains(row, "by ") || !strings.Contains(row, "since ") {
			t.Error(row)
		}
		status := postern(t, "backends", "--json", "--admin", socket)
		if guest := jsonLines(t, status.out)[1]; guest["refused"].(map[string]any)["drained"] != 1.0 || guest["drain"] == nil {
			t.Errorf("%v", guest)
		}
		all = jsonLines(t, postern(t, "backends", "resume", "guest-02", "--json", "--admin", socket).out)
		if len(all) != 1 || all[0]["drained"] != false {
			t.Errorf("%v", all)
		}
	})
	t.Run("exit codes", func(t *testing.T) {
		postern(t, "backends", "drain", "nowhere", "--admin", socket).check(t, 1, "", admin.ErrNoBackend.Error())
		postern(t, "backends", "resume", "nowhere", "--admin", socket).check(t, 1, "", admin.ErrNoBackend.Error())
		postern(t, "backends", "drain", "..", "--admin", socket).check(t, 1, "", admin.ErrNoBackend.Error())
		postern(t, "backends", "--admin", socket, "--admin", deadSocket(t)).check(t, 3, "guest-01", "connection refused")
		postern(t, "backends", "resume", "guest-01", "--admin", deadSocket(t), "--admin", socket).check(t, 3, "guest-01", "connection refused")
	})
}

// What a reload takes away leaves running sessions alone, and its limits hold at once.
func TestReloadChangesBackends(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	socket := s.desk("")
	p := s.start()
	all := read(t, s, "postern.yaml")
	reload := func(text string) {
		t.Helper()
		s.write("postern.yaml", text)
		before := strings.Count(p.log(), "msg=reloaded")
		postern(t, "reload", "--admin", socket).check(t, 0, "yes", "")
		for deadline := time.Now().Add(10 * time.Second); strings.Count(p.log(), "msg=reloaded") != before+1; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) { // the log comes through a pipe
				t.Fatalf("not reloaded:\n%s", p.log())
			}
		}
	}
	running := p.connect(t)
	if err := running.Login("mover", "secret"); err != nil {
		t.Fatal(err)
	}

	t.Log("one that is removed")
	var without []string
	for line := range strings.Lines(all) {
		if !strings.Contains(line, "name: guest-01") {
			without = append(without, line)
		}
	}
	reload(strings.Join(without, ""))
	p.expect(t, "alice", "PASS: -ERR [SYS/TEMP] The mail server can't be reached")
	p.waitFor(t, "msg=login", "mailbox=alice@example.com", `result="backend not configured"`)
	p.expect(t, "bob", "bob on guest-02")
	if reply, err := running.Cmd("STAT"); err != nil || !strings.HasPrefix(reply, "+OK 1") {
		t.Fatalf("the running session hears %q, %v\n%s", reply, err, p.log())
	}
	if row := rowOf(t, postern(t, "backends", "--admin", socket).out, "guest-01"); row[2] != "removed" || row[7] != "1" {
		t.Errorf("%q", row)
	}

	t.Log("it comes back, with room for one session")
	reload(strings.Replace(all, "{name: guest-01,", "{name: guest-01, max_sessions: 1,", 1))
	p.expect(t, "alice", "PASS: -ERR [SYS/TEMP] The mail server is busy")
	if row := rowOf(t, postern(t, "backends", "--admin", socket).out, "guest-01"); row[2] != "usable" || row[7] != "1/1" {
		t.Errorf("%q", row)
	}

	t.Log("and with room for two")
	reload(strings.Replace(all, "{name: guest-01,", "{name: guest-01, max_sessions: 2,", 1))
	p.expect(t, "alice", "alice on guest-01")
	if reply, err := running.Cmd("QUIT"); err != nil || !strings.HasPrefix(reply, "+OK") {
		t.Errorf("the running session hears %q, %v", reply, err)
	}

	t.Log("a signal does the same")
	s.write("postern.yaml", strings.Join(without, ""))
	p.signal(t, syscall.SIGHUP)
	p.eventually(t, "alice", "PASS: -ERR [SYS/TEMP] The mail server can't be reached")
}
