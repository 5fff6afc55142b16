package main

import (
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// TestRealDirectoryNetworkCut has a Consul in a network of its own, and cuts the way there so that nothing says
// so: packets are gone, connections stay open. Logins go on. A change of that time is seen once the way is back,
// without anybody doing anything.
func TestRealDirectoryNetworkCut(t *testing.T) {
	t.Parallel()
	needServers(t)
	n, err := realtest.StartNetwork(t)
	must(t, err)
	c, err := realtest.StartConsulIn(t, n)
	must(t, err)
	must(t, kvPut(c, "postern/all", "alice guest-01\nbob guest-01\n"))
	a := consulGateway(t, c, faultGuests(t, "alice", "bob"))
	a.soon("alice", "alice on guest-01")
	must(t, n.Cut())
	if _, err := c.CLI("kv", "put", "postern/all", "alice guest-02\nbob guest-01\n"); err != nil { // from inside
		t.Fatal(err)
	}
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		a.hears("alice", "alice on guest-01")
		a.hears("bob", "bob on guest-01")
		a.hears("nobody", denied)
	}
	must(t, n.Mend())
	a.soon("alice", "alice on guest-02")
	a.shows("/readyz", `"degraded":[]`)

	t.Log("a gateway that starts behind the cut says so, and comes to itself")
	must(t, n.Cut())
	fresh := newAsker(t, faultGuests(t, "alice", "bob"), "  sources:\n    - "+consulSource(c))
	fresh.start()
	fresh.hears("alice", temporary)
	fresh.shows("/readyz", "was never loaded")
	must(t, n.Mend())
	fresh.soon("alice", "alice on guest-02")
}
