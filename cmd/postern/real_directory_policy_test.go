package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/pop3/pop3test"
)

// These need no server: the directory is a file, and what is tested is what the gateway does with it.

// startFiles starts a gateway on map files below its folder, by their names. directory has DIR for that folder.
func startFiles(t *testing.T, guests, files map[string]string, directory string) *asker {
	t.Helper()
	a := newAsker(t, guests, "")
	for name, rows := range files {
		a.rewrite(name, rows)
	}
	a.addDirectory(strings.ReplaceAll(directory, "DIR", a.dir))
	a.start()
	return a
}

// rewrite replaces a map, by rename as careful editors do.
func (a *asker) rewrite(name, rows string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	must(a.t, os.WriteFile(path+".new", []byte(rows), 0o600), os.Rename(path+".new", path))
}

// session logs in and stays.
func (a *asker) session(user string) *pop3test.Client {
	a.t.Helper()
	c, err := pop3test.Dial(a.address)
	must(a.t, err)
	a.t.Cleanup(func() { c.Close() })
	c.SetTimeout(faultPatience)
	must(a.t, c.Login(user, "secret"))
	return c
}

func lives(t *testing.T, who string, c *pop3test.Client) {
	t.Helper()
	if reply, err := c.Cmd("STAT"); err != nil || !strings.HasPrefix(reply, "+OK 1") {
		t.Errorf("the session of %s hears %q, %v", who, reply, err)
	}
}

func ends(t *testing.T, who string, c *pop3test.Client) {
	t.Helper()
	began := time.Now()
	if err := c.End(); err == nil || !strings.Contains(err.Error(), "-ERR [SYS/TEMP] The session is ended") {
		t.Errorf("the session of %s: %v", who, err)
	}
	// It takes a fraction of a second; the rest is for a machine that is busy.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the session of %s lived on for %v", who, took)
	} else {
		t.Logf("the session of %s ended after %v", who, took)
	}
}

const oneSource = "  sources: [{type: file, path: DIR/a.map}]\n"

// TestDirectoryMoveEndsSessions: two guests must not have one maildrop open. Sessions of other mailboxes, and of
// one that is gone from the directory, go on.
func TestDirectoryMoveEndsSessions(t *testing.T) {
	t.Parallel()
	guests := faultGuests(t, "alice", "bob", "carol", "dave", "erin")
	rows := "alice guest-01\nbob guest-01\ncarol guest-02\ndave guest-02\nerin guest-01\n"
	a := startFiles(t, guests, map[string]string{"a.map": rows}, oneSource)
	sessions := make(map[string]*pop3test.Client)
	for _, user := range []string{"alice", "bob", "carol", "dave", "erin"} {
		sessions[user] = a.session(user)
	}
	a.rewrite("a.map", "alice guest-02\nbob guest-01\ncarol guest-02 state=suspended\ndave guest-02 state=moving\n")
	for _, user := range []string{"alice", "carol", "dave"} {
		ends(t, user, sessions[user])
	}
	lives(t, "bob", sessions["bob"])
	lives(t, "erin", sessions["erin"])
	a.hears("alice", "alice on guest-02")
	a.hears("carol", "-ERR [SYS/PERM]")
	a.hears("dave", temporary)
	a.record("msg=end", "mailbox=alice@example.com", "ended_by=gateway", "reason=moved")
}

func TestDirectoryMoveKeepsSessions(t *testing.T) {
	t.Parallel()
	a := startFiles(t, faultGuests(t, "alice"), map[string]string{"a.map": "alice guest-01\n"}, oneSource+"  on_move: keep\n")
	session := a.session("alice")
	a.rewrite("a.map", "alice guest-02\n")
	a.soonOr("alice", "alice on guest-02", busy)
	time.Sleep(time.Second) // longer than a look at the sessions takes
	lives(t, "alice", session)
}

// soonOr is soon where the guest may be busy with the mailbox until then.
func (a *asker) soonOr(user, want, meanwhile string) {
	a.t.Helper()
	eventually(a.t, user+" never hears "+want, func() bool {
		got := a.try(user, "secret")
		if got != want && !strings.HasPrefix(got, meanwhile) {
			a.t.Fatalf("%s hears %q", user, got)
		}
		return got == want
	})
}

// metric returns the value of a line of /metrics.
func (a *asker) metric(line string) string {
	a.t.Helper()
	_, body := a.get("/metrics")
	found := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(line) + " (.*)$").FindStringSubmatch(body)
	if found == nil {
		a.t.Fatalf("no metric %s in\n%s", line, body)
	}
	return found[1]
}

// TestDirectoryUnknownForwarded: while migrating, the old gateway has all who are not in the directory yet.
func TestDirectoryUnknownForwarded(t *testing.T) {
	t.Parallel()
	a := startFiles(t, faultGuests(t, "alice", "bob", "carol"), map[string]string{"a.map": "alice guest-01\n"}, oneSource+"  unknown: backend:guest-02\n")
	a.hears("alice", "alice on guest-01")
	if n := a.metric("postern_directory_unknown_total"); n != "0" {
		t.Errorf("%s forwarded so far", n)
	}
	a.hears("bob", "bob on guest-02")
	a.hears("carol", "carol on guest-02")
	if n := a.metric("postern_directory_unknown_total"); n != "2" {
		t.Errorf("%s forwarded, want 2", n)
	}
	a.rewrite("a.map", "alice guest-01\nbob guest-01\ncarol guest-01\n")
	a.soon("bob", "bob on guest-01")
	n := a.metric("postern_directory_unknown_total")
	a.hears("bob", "bob on guest-01")
	a.hears("carol", "carol on guest-01")
	if after := a.metric("postern_directory_unknown_total"); after != n {
		t.Errorf("still counted after the migration: %s, then %s", n, after)
	}
}

// TestDirectoryUnknownHashed: the name says which guest has a mailbox, whether that guest is up or not.
func TestDirectoryUnknownHashed(t *testing.T) {
	t.Parallel()
	var users []string
	for i := range 20 {
		users = append(users, fmt.Sprintf("user%d", i))
	}
	guests := faultGuests(t, users...)
	hashed := func() *asker {
		return startFiles(t, guests, map[string]string{"a.map": "alice guest-01\n"}, oneSource+"  unknown: hash\n")
	}
	one, two := hashed(), hashed()
	seen := make(map[string]int)
	for _, user := range users {
		where := one.try(user, "secret")
		if !strings.HasPrefix(where, user+" on guest-0") {
			t.Fatalf("%s hears %q", user, where)
		}
		two.hears(user, where)
		seen[strings.TrimPrefix(where, user)]++
	}
	if len(seen) != 2 {
		t.Errorf("all of them on one guest: %v", seen)
	}

	t.Log("users of a guest that is down are not sent to another")
	guests["guest-02"] = "127.0.0.1:1"
	crippled := hashed()
	for _, user := range users {
		want := temporary
		if where := one.try(user, "secret"); strings.HasSuffix(where, "guest-01") {
			want = where
		}
		crippled.hears(user, want)
	}
}

// TestDirectoryShadow: what another source would have said is counted, and changes nothing.
func TestDirectoryShadow(t *testing.T) {
	t.Parallel()
	a := startFiles(t, faultGuests(t, "alice", "bob", "carol", "dave"), map[string]string{
		"a.map": "alice guest-01\nbob guest-01\ncarol guest-01\n", "b.map": "alice guest-01\nbob guest-02\ndave guest-02\n",
	}, oneSource+"  shadow: [{type: file, path: DIR/b.map, name: next}]\n")
	for user, want := range map[string]string{
		"alice": "alice on guest-01", "bob": "bob on guest-01", "carol": "carol on guest-01", "dave": denied,
	} {
		a.hears(user, want)
	}
	for _, result := range []string{"same", "different", "unknown there", "unknown here"} {
		line := fmt.Sprintf("postern_directory_shadow_total{result=%q,source=\"next\"}", result)
		eventually(t, line+" is not 1", func() bool { return a.metric(line) == "1" })
	}
}
