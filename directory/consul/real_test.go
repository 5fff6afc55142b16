package consul

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/directory/directorytest"
	"postern/pop3"
)

func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs a real Consul: `make test` builds it and sets POSTERN_REAL=1")
	}
	silence(t)
}

func agent(t *testing.T, settings string) *realtest.Consul {
	t.Helper()
	needReal(t)
	c, err := realtest.StartConsul(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(c *realtest.Consul) Options {
	return Options{ClientOptions: ClientOptions{Address: c.Address}, Prefix: "p", DefaultDomain: "example.com"}
}

// kv is a plain client.
func kv(t *testing.T, address string) *api.KV {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	return client.KV()
}

func put(t *testing.T, kv *api.KV, key, value string) {
	t.Helper()
	if _, err := kv.Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestRealConformance(t *testing.T) {
	c := agent(t, "")
	keys := kv(t, c.Address)
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		way := site{newWire(t, c.Address), func(t *testing.T, key, value string) { put(t, keys, key, value) }}
		o := at(c)
		o.Address = way.address
		return source(t, o), way
	})
}

// TestRealCommandLine: what people type is seen.
func TestRealCommandLine(t *testing.T) {
	c := agent(t, "")
	cli := func(args ...string) {
		t.Helper()
		if _, err := c.CLI(args...); err != nil {
			t.Fatal(err)
		}
	}
	cli("kv", "put", "p/site", "alice guest-01")
	r := start(t, source(t, at(c)))
	r.holds("alice@example.com", "guest-01")
	cli("kv", "put", "p/site", "alice guest-02")
	r.holds("alice@example.com", "guest-02")
	cli("kv", "put", "p/more/", "") // a folder
	cli("kv", "put", "p/more/site", "bob guest-03")
	r.holds("alice@example.com", "guest-02", "bob@example.com", "guest-03")
	cli("kv", "delete", "p/site")
	r.holds("bob@example.com", "guest-03")
}

// TestRealHostileNames: keys whose names Consul itself can't be asked for are followed like others.
func TestRealHostileNames(t *testing.T) {
	c := agent(t, "")
	client, err := api.NewClient(&api.Config{Address: c.Address})
	if err != nil {
		t.Fatal(err)
	}
	set := func(key, value string) {
		t.Helper()
		ok, answer, _, err := client.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVSet, Key: key, Value: []byte(value)}}}, nil)
		if err != nil || !ok {
			t.Fatalf("%q: %v %v", key, err, answer)
		}
	}
	names := []string{"p/a//b", "p/../q", "p/./c", "p/ü", "p/a?b#c&keys", "p/ sp ace", "p/\x01\x1b[2J", "p/%2e%2e", "p/%41", "p/tail/", "p/..", "p/a\nb", "p/+", "p/shards-2/x", "p/" + strings.Repeat("long", 100)}
	var want []string
	for i, name := range names {
		set(name, fmt.Sprintf("user%d g1\n", i))
		want = append(want, fmt.Sprintf("user%d@example.com", i), "g1")
	}
	r := start(t, source(t, at(c)))
	r.holds(want...)
	for i, name := range names {
		set(name, fmt.Sprintf("user%d g2\n", i))
		want[2*i+1] = "g2"
		r.holds(want...)
	}
	groups, err := store(t, at(c)).Groups(t.Context())
	if err != nil || len(groups) != len(names) {
		t.Errorf("%d groups, %v", len(groups), err)
	}
	for i := range len(names) / 2 {
		if ok, _, _, err := client.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVDelete, Key: names[i]}}}, nil); err != nil || !ok {
			t.Fatal(err)
		}
	}
	r.holds(want[2*(len(names)/2):]...)
}

// TestRealWiped: an agent that comes back with nothing is believed, since it leads itself; whether
// so large a loss serves is the directory's to say.
func TestRealWiped(t *testing.T) {
	c := agent(t, "")
	keys := kv(t, c.Address)
	put(t, keys, "p/a", "alice g1\n")
	put(t, keys, "p/b", "bob g1\n")
	r := start(t, source(t, at(c)))
	r.holds("alice@example.com", "g1", "bob@example.com", "g1")
	c.Kill()
	r.until("an error", func() bool { return r.err != nil })
	if len(r.entries()) != 2 {
		t.Errorf("while it is down: %v", r.entries())
	}
	if err := c.Restart(); err != nil {
		t.Fatal(err)
	}
	r.holds()
	put(t, keys, "p/a", "alice g2\n")
	r.holds("alice@example.com", "g2")
}

// TestRealRestored: a snapshot brings back an older state and an older index.
func TestRealRestored(t *testing.T) {
	c := agent(t, "")
	keys := kv(t, c.Address)
	put(t, keys, "p/a", "alice g1\n")
	r := start(t, source(t, at(c)))
	r.holds("alice@example.com", "g1")
	file := filepath.Join(t.TempDir(), "snapshot")
	if _, err := c.CLI("snapshot", "save", file); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		put(t, keys, "p/b", fmt.Sprintf("bob g%d\n", i))
	}
	put(t, keys, "p/a", "alice g2\n")
	r.holds("alice@example.com", "g2", "bob@example.com", "g19")
	if _, err := c.CLI("snapshot", "restore", file); err != nil {
		t.Fatal(err)
	}
	r.holds("alice@example.com", "g1")
	put(t, keys, "p/a", "alice g3\n")
	r.holds("alice@example.com", "g3")
}

// TestRealRights: a token that is missing, or may not read all, never looks like an empty directory.
func TestRealRights(t *testing.T) {
	const root = "5d0cbe44-ca5d-4f0a-9a3a-2a4d83a4d101"
	needReal(t)
	c := agent(t, `acl { enabled = true default_policy = "deny" tokens { initial_management = "`+root+`" } }`)
	client, err := api.NewClient(&api.Config{Address: c.Address, Token: root})
	if err != nil {
		t.Fatal(err)
	}
	put(t, client.KV(), "p/a", "alice g1\n")
	put(t, client.KV(), "p/b", "bob g1\n")
	token := func(rules string) string {
		t.Helper()
		policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: fmt.Sprintf("n%x", hash(rules)), Rules: rules}, nil)
		if err != nil {
			t.Fatal(err)
		}
		made, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made.SecretID
	}
	with := func(secret string) Options {
		o := at(c)
		o.Token = pop3.NewSecret([]byte(secret))
		return o
	}
	const unknown = "11111111-2222-3333-4444-555555555555"
	for name, secret := range map[string]string{
		"none": "", "unknown": unknown, "for nothing": token(`key_prefix "other/" { policy = "read" }`), "for one key": token(`key "p/a" { policy = "read" }`),
	} {
		r := start(t, source(t, with(secret)))
		r.until("an error", func() bool { return r.err != nil })
		if len(r.state) > 0 || secret != "" && strings.Contains(r.err.Error(), secret) {
			t.Errorf("%s: %d groups, %v", name, len(r.state), r.err)
		}
	}
	reader := token(`key_prefix "p/" { policy = "read" }`)
	r := start(t, source(t, with(reader)))
	r.holds("alice@example.com", "g1", "bob@example.com", "g1")
	if _, _, err := store(t, with(reader)).Set(t.Context(), "alice", to("g2")); err == nil || strings.Contains(err.Error(), reader) {
		t.Errorf("set without the right: %v", err)
	}
	put(t, client.KV(), "p/a", "alice g3\n")
	r.holds("alice@example.com", "g3", "bob@example.com", "g1")
}

// TestRealLeaderKilled: without a leader, and then with another, what is there goes on being read.
func TestRealLeaderKilled(t *testing.T) {
	needReal(t)
	servers, err := realtest.StartConsulServers(t)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := servers.Leader()
	if err != nil {
		t.Fatal(err)
	}
	asked := servers[slices.IndexFunc(servers, func(c *realtest.Consul) bool { return c != leader })]
	keys := kv(t, asked.Address)
	want := []string{}
	for i := range 50 {
		put(t, keys, fmt.Sprintf("p/%d", i), fmt.Sprintf("user%d g1\n", i))
		want = append(want, fmt.Sprintf("user%d@example.com", i), "g1")
	}
	goroutines := runtime.NumGoroutine()
	r := start(t, source(t, at(asked)))
	r.holds(want...)
	for round := range 2 {
		if leader, err = servers.Leader(); err != nil {
			t.Fatal(err)
		}
		if leader == asked { // one that is killed can't be asked; that is another test
			break
		}
		leader.Kill()
		fresh := start(t, source(t, at(asked))) // a gateway that starts without a leader
		fresh.holds(want...)
		for i := 0; ; i++ {
			_, err := keys.Put(&api.KVPair{Key: "p/0", Value: fmt.Appendf(nil, "user0 g%d\n", round+2)}, nil)
			if err == nil {
				break
			}
			if i == 600 {
				t.Fatal(err)
			}
			r.quiet(100 * time.Millisecond)
			if len(r.entries()) != 50 {
				t.Fatalf("%d entries, %v", len(r.entries()), r.err)
			}
		}
		want[1] = fmt.Sprintf("g%d", round+2)
		r.holds(want...)
		fresh.holds(want...)
		fresh.stop()
		if err := leader.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := servers.WaitVoters(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.entries(); len(got) != 50 {
		t.Errorf("%d entries", len(got))
	}
	r.stop()
	const ours = 20 // of this test's other connections
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines+ours; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), goroutines)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
