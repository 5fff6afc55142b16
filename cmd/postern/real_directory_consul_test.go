package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

func consulGateway(t *testing.T, c *realtest.Consul, guests map[string]string, more ...string) *asker {
	t.Helper()
	return startAsker(t, guests, "  sources:\n    - "+consulSource(c)+"\n"+strings.Join(more, "\n"))
}

func faultConsul(t *testing.T) *realtest.Consul {
	t.Helper()
	needServers(t)
	c, err := realtest.StartConsul(t, "")
	must(t, err)
	return c
}

// crowd is a map of so many mailboxes on guest-01, and alice.
func crowd(n int) string {
	rows := "alice guest-01\n"
	for i := range n {
		rows += fmt.Sprintf("user%d guest-01\n", i)
	}
	return rows
}

// TestRealDirectoryConsulGarbage: a value cut in half changes nothing of what it said before, and nothing of
// the other keys.
func TestRealDirectoryConsulGarbage(t *testing.T) {
	t.Parallel()
	c := faultConsul(t)
	must(t, kvPut(c, "postern/a", "alice guest-01\n"), kvPut(c, "postern/b", "bob guest-01\ncarol guest-02\n"))
	a := consulGateway(t, c, faultGuests(t, "alice", "bob", "carol"))
	a.soon("carol", "carol on guest-02")
	must(t, kvPut(c, "postern/b", "bob guest-01\ncaro"))
	a.shows("/api/v1/directory", "postern/b")
	a.shows("/readyz", "can't be read")
	a.hears("alice", "alice on guest-01")
	a.hears("bob", "bob on guest-01")
	a.hears("carol", "carol on guest-02")
	must(t, kvPut(c, "postern/a", "alice guest-02\n"))
	a.soon("alice", "alice on guest-02")
	a.hears("carol", "carol on guest-02")

	t.Log("a gateway that starts now does not take the half for the whole")
	fresh := consulGateway(t, c, faultGuests(t, "alice", "bob", "carol"))
	fresh.hears("carol", temporary)
	must(t, kvPut(c, "postern/b", "bob guest-02\ncarol guest-02\n"))
	a.soon("bob", "bob on guest-02")
	fresh.soon("bob", "bob on guest-02")
	fresh.hears("alice", "alice on guest-02")
	a.shows("/readyz", `"degraded":[]`)
}

// TestRealDirectoryConsulLeaderKilled: no login fails while a cluster loses its leader, neither at a gateway that asks
// the leader nor at one that asks another server.
func TestRealDirectoryConsulLeaderKilled(t *testing.T) {
	t.Parallel()
	needServers(t)
	servers, err := realtest.StartConsulServers(t)
	must(t, err)
	leader, err := servers.Leader()
	must(t, err)
	other := servers[0]
	if other == leader {
		other = servers[1]
	}
	users := []string{"alice", "mover"}
	rows := "alice guest-01\n"
	for i := range 40 {
		users = append(users, fmt.Sprintf("user%d", i))
		rows += fmt.Sprintf("user%d guest-01\n", i)
	}
	must(t, kvPut(other, "postern/all", rows), kvPut(other, "postern/mover", "mover guest-01\n"))
	guests := faultGuests(t, users...)
	behindLeader, behindOther := consulGateway(t, leader, guests), consulGateway(t, other, guests)
	behindOther.soon("mover", "mover on guest-01")

	stop := logins(t, func(i int) {
		user := fmt.Sprintf("user%d", i%40)
		a := []*asker{behindLeader, behindOther}[i/40%2]
		if got := a.try(user, "secret"); got != user+" on guest-01" && !strings.HasPrefix(got, busy) {
			t.Errorf("%s hears %q", user, got)
		}
	})
	time.Sleep(time.Second)
	leader.Kill()
	release := holdPorts(t, leader.Address)
	eventually(t, "no new leader takes a change", func() bool { return kvPut(other, "postern/mover", "mover guest-02\n") == nil })
	behindOther.soon("mover", "mover on guest-02")
	behindLeader.hears("mover", "mover on guest-01") // its server is gone, what it knew is not
	release()
	must(t, leader.Restart())
	behindLeader.soon("mover", "mover on guest-02")
	if n := stop(); n < 50 {
		t.Errorf("only %d logins", n)
	}
}

// busy is what the guest says while a session of the same mailbox is still open there.
const busy = "-ERR [IN-USE]"

// logins has somebody log in every 25 ms, each number once, as far as the machine keeps up with it. It returns what
// ends that and tells how many were made.
func logins(t *testing.T, login func(i int)) (stop func() int64) {
	t.Helper()
	var n atomic.Int64
	var running sync.WaitGroup
	done, places := make(chan struct{}), make(chan struct{}, 20)
	running.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			places <- struct{}{}
			running.Go(func() {
				login(i)
				n.Add(1)
				<-places
			})
		}
	})
	end := sync.OnceValue(func() int64 {
		close(done)
		running.Wait()
		return n.Load()
	})
	t.Cleanup(func() { end() })
	return end
}

func eventually(t testing.TB, complaint string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(faultPatience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(complaint)
		}
	}
}

// TestRealDirectoryConsulWiped: who deletes everything locks nobody out, until somebody says that it was meant.
func TestRealDirectoryConsulWiped(t *testing.T) {
	t.Parallel()
	c := faultConsul(t)
	must(t, kvPut(c, "postern/all", crowd(60)))
	a := consulGateway(t, c, faultGuests(t, "alice"))
	a.soon("alice", "alice on guest-01")
	must(t, kvAsk(c, http.MethodDelete, "kv/postern/?recurse=true", ""))
	a.shows("/metrics", `postern_directory_held{source="consul:postern"} 1`)
	a.shows("/readyz", "the shrink guard holds")
	a.hears("alice", "alice on guest-01")
	if status, body := a.ask(http.MethodPost, "/api/v1/directory/consul:nothing/confirm"); status != http.StatusNotFound {
		t.Errorf("confirming another source: %d %s", status, body)
	}
	if status, body := a.ask(http.MethodPost, "/api/v1/directory/consul:postern/confirm"); status != http.StatusOK {
		t.Fatalf("confirming: %d %s", status, body)
	}
	a.hears("alice", denied)
	if status, _ := a.ask(http.MethodPost, "/api/v1/directory/consul:postern/confirm"); status != http.StatusConflict {
		t.Errorf("confirming what is not held: %d", status)
	}
	must(t, kvPut(c, "postern/all", "alice guest-02\n"))
	eventually(t, "what comes after a confirmed loss is not seen", func() bool { return a.try("alice", "secret") == "alice on guest-02" })
}

// TestRealDirectoryConsulIndexBack: a Consul that comes back empty counts from the beginning. What is put into it then, at
// an index that the gateway has long passed, is seen, and until then the shrink guard holds.
func TestRealDirectoryConsulIndexBack(t *testing.T) {
	t.Parallel()
	c := faultConsul(t)
	for i := range 50 {
		must(t, kvPut(c, "postern/all", crowd(60+i)))
	}
	a := consulGateway(t, c, faultGuests(t, "alice"))
	a.soon("alice", "alice on guest-01")
	must(t, c.Restart())
	a.shows("/readyz", "the shrink guard holds")
	a.hears("alice", "alice on guest-01")
	must(t, kvPut(c, "postern/all", strings.Replace(crowd(60), "alice guest-01", "alice guest-02", 1)))
	a.soon("alice", "alice on guest-02")
	a.shows("/readyz", `"degraded":[]`)
	must(t, kvPut(c, "postern/all", crowd(60)))
	a.soon("alice", "alice on guest-01")
}

// TestRealDirectoryConsulManyChanges: 10,000 changes as fast as Consul takes them, by transactions. Lookups go on, and the
// last change is seen.
func TestRealDirectoryConsulManyChanges(t *testing.T) {
	t.Parallel()
	c := faultConsul(t)
	const keys, changes = 100, 10_000
	for i := range keys {
		must(t, kvPut(c, fmt.Sprintf("postern/key%d", i), fmt.Sprintf("user%d guest-01\n", i)))
	}
	must(t, kvPut(c, "postern/alice", "alice guest-01\n"))
	a := consulGateway(t, c, faultGuests(t, "alice", "user99", "user98"))
	a.soon("user99", "user99 on guest-01")
	stop := logins(t, func(i int) {
		if got := a.try("alice", "secret"); got != "alice on guest-01" && !strings.HasPrefix(got, busy) {
			t.Errorf("alice hears %q", got)
		}
	})
	began := time.Now()
	for i := 0; i < changes; i += keys {
		must(t, kvAsk(c, http.MethodPut, "txn", transaction(keys, []string{"guest-02", "guest-01"}[i/keys%2])))
	}
	t.Logf("%d changes in %v", changes, time.Since(began))
	must(t, kvAsk(c, http.MethodPut, "txn", transaction(keys, "guest-02")))
	a.soon("user99", "user99 on guest-02")
	a.soon("user98", "user98 on guest-02")
	if n := stop(); n == 0 {
		t.Error("nobody logged in meanwhile")
	}
}

// transaction changes all keys at once.
func transaction(keys int, guest string) string {
	type set struct{ Verb, Key, Value string }
	var ops []map[string]set
	for i := range keys {
		value := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "user%d %s\n", i, guest))
		ops = append(ops, map[string]set{"KV": {"set", fmt.Sprintf("postern/key%d", i), value}})
	}
	body, _ := json.Marshal(ops) // strings always can be
	return string(body)
}
