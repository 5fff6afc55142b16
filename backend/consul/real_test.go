package consul

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"postern/cmd/postern/realtest"
)

// site is a real agent, and a client that registers there.
type site struct {
	*api.Client
	t     *testing.T
	agent *realtest.Consul
}

func newSite(t *testing.T, settings, token string) site {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs a real Consul: `make test` builds it and sets POSTERN_REAL=1")
	}
	silence(t)
	agent, err := realtest.StartConsul(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(&api.Config{Address: agent.Address, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return site{client, t, agent}
}

func (s site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// registration is an instance with a check that a test sets.
func registration(id, host string, meta ...string) *api.AgentServiceRegistration {
	r := &api.AgentServiceRegistration{
		ID: id, Name: "pop3", Address: host, Port: 1110, Meta: make(map[string]string),
		Check: &api.AgentServiceCheck{CheckID: "check-" + id, Name: "port", TTL: "24h", Status: api.HealthPassing},
	}
	for _, m := range meta {
		key, value, _ := strings.Cut(m, "=")
		r.Meta[key] = value
	}
	return r
}

func (s site) register(id, host string, meta ...string) {
	s.t.Helper()
	s.must(s.Agent().ServiceRegister(registration(id, host, meta...)))
}

// TestRealLife: what happens to backends in a real catalogue.
func TestRealLife(t *testing.T) {
	c := newSite(t, "", "")
	o := options()
	o.DeclaredKey = "postern/declared"
	r := startWith(t, c.Client, o)
	r.fails("", "no instance")
	c.register("g1", "192.0.2.1")
	r.has("g1@192.0.2.1:1110")
	c.register("g2-a", "192.0.2.2", "guest=g2", "max_logins=5")
	c.register("g2-b", "192.0.2.3", "guest=g2")
	s := r.has("g1@192.0.2.1:1110 g2@192.0.2.2:1110,192.0.2.3:1110")
	if s.Targets[0].MaxLogins != 20 || s.Targets[1].MaxLogins != 5 {
		t.Errorf("limits %d, %d", s.Targets[0].MaxLogins, s.Targets[1].MaxLogins)
	}

	// Health: hearsay, and only where no address is well.
	c.must(c.Agent().UpdateTTL("check-g1", "connection refused", api.HealthCritical))
	s = r.has("g1@192.0.2.1:1110! g2@192.0.2.2:1110,192.0.2.3:1110")
	if s.Bad["g1"] != "check port is critical" {
		t.Error(s.Bad)
	}
	c.must(c.Agent().UpdateTTL("check-g1", "", api.HealthPassing))
	r.has("g1@192.0.2.1:1110 g2@192.0.2.2:1110,192.0.2.3:1110")
	c.must(c.Agent().EnableServiceMaintenance("g2-a", "re-IPL"))
	c.must(c.Agent().EnableServiceMaintenance("g2-b", "re-IPL"))
	s = r.has("g1@192.0.2.1:1110 g2@192.0.2.2:1110,192.0.2.3:1110!")
	if s.Bad["g2"] != "maintenance: re-IPL" {
		t.Error(s.Bad)
	}
	c.must(c.Agent().DisableServiceMaintenance("g2-a"))
	c.must(c.Agent().DisableServiceMaintenance("g2-b"))
	r.has("g1@192.0.2.1:1110 g2@192.0.2.2:1110,192.0.2.3:1110")
	c.must(c.Agent().EnableNodeMaintenance("moving"))
	r.has("g1@192.0.2.1:1110! g2@192.0.2.2:1110,192.0.2.3:1110!")
	c.must(c.Agent().DisableNodeMaintenance())

	// Meta.
	c.register("g1", "192.0.2.1", "weight=7", "tls=stls", "aliases=old-1")
	r.until("the new weight", func(s State) bool {
		g := s.Targets[0]
		return g.Weight == 7 && g.TLS.Mode().String() == "stls" && slices.Equal(g.Aliases, []string{"old-1"})
	})
	c.register("g1", "192.0.2.1", "weight=heavy")
	r.until("a fault", func(s State) bool { return s.Faults["g1"] != "" && s.Targets[0].Weight == 7 })
	c.register("g1", "192.0.2.1")
	r.until("the old weight", func(s State) bool { return len(s.Faults) == 0 && s.Targets[0].Weight == 1 })

	// Declared, and gone.
	_, err := c.KV().Put(&api.KVPair{Key: "postern/declared", Value: []byte("g1 weight=3\n")}, nil)
	c.must(err)
	s = r.has("g1@192.0.2.1:1110* g2@192.0.2.2:1110,192.0.2.3:1110")
	if s.Targets[0].Weight != 3 {
		t.Errorf("declared with weight %d", s.Targets[0].Weight)
	}
	c.must(c.Agent().ServiceDeregister("g2-a"))
	r.has("g1@192.0.2.1:1110* g2@192.0.2.3:1110")
	c.must(c.Agent().ServiceDeregister("g1"))
	r.has("g2@192.0.2.3:1110 -g1")
}

// TestRealOutage: Consul is killed, comes back with nothing, and is filled again.
func TestRealOutage(t *testing.T) {
	c := newSite(t, "", "")
	all := func() {
		for i := range 3 {
			c.register(fmt.Sprint("g", i), host(fmt.Sprint("g", i)))
		}
	}
	all()
	r := startWith(t, c.Client, options())
	serving := r.has(held("g0 g1 g2"))
	saved, err := serving.Encode()
	c.must(err)
	c.agent.Kill()
	r.fails(held("g0 g1 g2"), "asking Consul")

	o := options() // a gateway that starts while it is away
	o.Saved = saved
	late := startWith(t, c.Client, o)
	if s := late.fails(held("g0 g1 g2"), "asking Consul"); !s.Saved || !s.At.Equal(serving.At) {
		t.Errorf("%+v", s)
	}

	c.must(c.agent.Restart())
	r.fails(held("g0~ g1~ g2~"), "held until")
	late.fails(held("g0~ g1~ g2~"), "held until")
	all()
	r.has(held("g0 g1 g2"))
	late.has(held("g0 g1 g2"))
	c.must(c.Agent().ServiceDeregister("g1"))
	r.has(held("g0 g2"))
	late.has(held("g0 g2"))
}

// TestRealRights: a token that may not read all never looks like a catalogue that emptied.
func TestRealRights(t *testing.T) {
	const root = "5d0cbe44-ca5d-4f0a-9a3a-2a4d83a4d102"
	c := newSite(t, `acl { enabled = true default_policy = "deny" tokens { initial_management = "`+root+`" } }`, root)
	c.register("g1", "192.0.2.1")
	c.register("g2", "192.0.2.2")
	_, err := c.KV().Put(&api.KVPair{Key: "postern/declared", Value: []byte("g1\n")}, nil)
	c.must(err)
	with := func(name, rules string) *api.Client {
		policy, _, err := c.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
		c.must(err)
		made, _, err := c.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
		c.must(err)
		client, err := api.NewClient(&api.Config{Address: c.agent.Address, Token: made.SecretID})
		c.must(err)
		return client
	}
	o := options()
	o.DeclaredKey = "postern/declared"
	const services = `service "pop3" { policy = "read" } node_prefix "" { policy = "read" }`
	startWith(t, with("enough", services+` key "postern/declared" { policy = "read" }`), o).has("g1@192.0.2.1:1110* g2@192.0.2.2:1110")
	startWith(t, with("no-key", services), o).fails("", "it answers 403, Permission denied")
	startWith(t, with("no-node", `service "pop3" { policy = "read" } key "postern/declared" { policy = "read" }`), o).fails("", "may not read all")
	startWith(t, with("other", `service "smtp" { policy = "read" } node_prefix "" { policy = "read" } key "postern/declared" { policy = "read" }`), o).fails("", "may not read all")
}
