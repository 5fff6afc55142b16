package main

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern/cmd/postern/realtest"
)

// TestRealDirectoryCanary: what the gateway says to its sources' servers so that they answer is said to nobody else,
// while they answer, refuse it, and are gone: not in logs at their loudest, not by metrics, API or
// explain, not in what is saved.
func TestRealDirectoryCanary(t *testing.T) {
	t.Parallel()
	needServers(t)
	const token, wrong = "c4n4ry0f-c0ns-ul00-0000-t0k3n0000000", "wr0ng-c4n4ry"
	var d *realtest.Database
	var s *realtest.Slapd
	var c *realtest.Consul
	errs := make([]error, 3)
	startTogether(
		func() { d, errs[0] = realtest.StartPostgres(t, placePassword) },
		func() {
			s, errs[1] = realtest.StartSlapd(t, realtest.SlapdOptions{Sync: true, Password: placePassword})
		},
		func() { c, errs[2] = realtest.StartConsul(t, consulWithToken(token)) },
	)
	must(t, errs...)
	c.Token = token
	must(t, psql(d, mailboxTable), kvPut(c, "postern/all", "bob guest-01\n"))
	guests := faultGuests(t, "alice", "bob")
	j := startJudge(t, guests["guest-01"])
	consul := func(name, secret string) string {
		return fmt.Sprintf("{type: consul, name: %s, address: %q, prefix: postern, token: %q}", name, c.Address, secret)
	}
	a := startAsker(t, guests, strings.Join([]string{
		"  sources:", "    - " + consul("first", token), "    - " + j.source(), "  shadow:",
		"    - " + postgresSource(d, placePassword, askedTimes+", name: db"), "    - " + postgresSource(d, wrong, askedTimes+", name: wrong-db"),
		"    - " + named("ldap", ldapSource(s, placePassword, false)), "    - " + named("wrong-ldap", ldapSource(s, wrong, false)),
		"    - " + named("follow", ldapSource(s, placePassword, true)), "    - " + named("wrong-follow", ldapSource(s, wrong, true)),
		"    - " + consul("wrong-consul", wrong),
	}, "\n"))
	var told []string
	look := func() {
		for _, path := range []string{"/metrics", "/readyz", "/api/v1/status", "/api/v1/directory", "/api/v1/backends", "/api/v1/mailboxes/alice", "/api/v1/mailboxes/bob"} {
			_, body := a.get(path)
			told = append(told, body)
		}
		for _, args := range [][]string{{"explain", "alice", "--admin", a.socket}, {"status", "--admin", a.socket}, {"lookup", "--config", a.config(), "bob", "nobody"},
			{"explain", "bob", "--config", a.config()}, {"check", "--config", a.config()}} {
			cmd := exec.Command(os.Args[0], args...)
			cmd.Env = append(os.Environ(), asPostern+"=1")
			out, _ := cmd.CombinedOutput() // some of them have to fail
			told = append(told, string(out))
		}
	}
	a.soon("bob", "bob on guest-01")
	j.expectLogin(a, "alice", "right", "alice on guest-01", "alice right")
	a.hears("alice", denied)
	for _, name := range []string{"wrong-db", "wrong-ldap", "wrong-follow", "wrong-consul"} {
		a.record("source="+name, "err=")
	}
	look()
	d.Kill()
	s.Kill()
	c.Kill()
	j.set(func(j *judge) { j.broken = "down" })
	a.hears("alice", temporary)
	a.hears("bob", "bob on guest-01")
	look()
	a.end()
	told = append(told, a.log(), saved(t, filepath.Join(a.dir, "state")))
	for _, secret := range []string{placePassword, wrong, token} {
		encoded := base64.StdEncoding.EncodeToString([]byte(secret))
		for _, text := range told {
			for _, form := range []string{secret, encoded[:len(encoded)-2]} {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%q is in ...%s", secret, text[max(0, i-200):min(len(text), i+50)])
				}
			}
		}
	}
}

// consulWithToken lets one token do everything, and nobody else anything.
func consulWithToken(token string) string {
	return fmt.Sprintf(`acl { enabled = true default_policy = "deny" tokens { initial_management = %q } }`, token)
}

func named(name, source string) string { return strings.Replace(source, "{", "{name: "+name+", ", 1) }

// saved is all that lies in a folder.
func saved(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v", path, info.Mode())
		}
		text, err2 := os.ReadFile(path)
		all += string(text)
		if err == nil {
			err = err2
		}
		return err
	}))
	if !strings.Contains(all, "bob@example.com") {
		t.Errorf("nothing of the directory is saved: %d octets", len(all))
	}
	return all
}
