package consul

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"postern/backend"
)

// at is an instance of the service pop3 on node n1: its ID, its address, and its meta as "key=value".
func at(id, host string, meta ...string) *api.ServiceEntry {
	e := &api.ServiceEntry{
		Node:    &api.Node{Node: "n1", Address: "192.0.2.200"},
		Service: &api.AgentService{ID: id, Service: "pop3", Address: host, Port: 1110, Meta: make(map[string]string)},
	}
	for _, m := range meta {
		key, value, _ := strings.Cut(m, "=")
		e.Service.Meta[key] = value
	}
	return e
}

func checked(e *api.ServiceEntry, checks ...*api.HealthCheck) *api.ServiceEntry {
	e.Checks = checks
	return e
}

func options() Options {
	return Options{Service: "pop3", Logger: slog.New(slog.DiscardHandler), Defaults: Defaults{Target: backend.Target{Weight: 1, MaxLogins: 20}}}
}

func (b *book) services1(entries ...*api.ServiceEntry) State {
	b.hearServices(answer[[]*api.ServiceEntry]{value: entries, index: 1})
	return b.state()
}

func (b *book) key1(text string) State {
	b.hearKey(answer[*api.KVPair]{value: &api.KVPair{Value: []byte(text)}, index: 1})
	return b.state()
}

// line is a state in short: name@address,address, then * where it is declared, ! where it is bad, ~ where held.
func line(s State) string {
	var words []string
	for _, t := range s.Targets {
		word := t.Name + "@" + strings.Join(t.Addresses, ",")
		if t.Declared {
			word += "*"
		}
		if s.Bad[t.Name] != "" {
			word += "!"
		}
		if slices.Contains(s.Held, t.Name) {
			word += "~"
		}
		words = append(words, word)
	}
	for _, t := range s.Absent {
		words = append(words, "-"+t.Name)
	}
	return strings.Join(words, " ")
}

func wantLine(t *testing.T, s State, want string) {
	t.Helper()
	if got := line(s); got != want {
		t.Errorf("%s\nwant %s (%v, %v)", got, want, s.Err, s.Faults)
	}
}

// TestNames: what a backend is called, and which instances are addresses of one.
func TestNames(t *testing.T) {
	onNode := func(e *api.ServiceEntry, node string) *api.ServiceEntry { e.Node.Node = node; return e }
	noPort := at("a", "")
	noPort.Service.Port = 0
	for _, test := range []struct {
		name    string
		entries []*api.ServiceEntry
		want    string
		fault   string // name: part of its text
	}{
		{"by ID", []*api.ServiceEntry{at("b", "192.0.2.2"), at("a", "192.0.2.1")}, "a@192.0.2.1:1110 b@192.0.2.2:1110", ""},
		{"by node, where the ID says nothing", []*api.ServiceEntry{onNode(at("pop3", "192.0.2.1"), "N7")}, "n7@192.0.2.1:1110", ""},
		{"by meta", []*api.ServiceEntry{at("b", "192.0.2.2", "guest=Guest-01")}, "guest-01@192.0.2.2:1110", ""},
		{"node's address, usual port", []*api.ServiceEntry{noPort}, "a@192.0.2.200:110", ""},
		{"one guest, in the IDs' order", []*api.ServiceEntry{at("y", "192.0.2.2", "guest=g"), at("x", "192.0.2.3", "guest=G")}, "g@192.0.2.3:1110,192.0.2.2:1110", ""},
		{"one guest, in its own order", []*api.ServiceEntry{at("y", "192.0.2.2", "guest=g"), at("x", "192.0.2.3", "guest=g", "order=1")}, "g@192.0.2.2:1110,192.0.2.3:1110", ""},
		{"the same address twice", []*api.ServiceEntry{at("y", "192.0.2.2", "guest=g"), at("x", "192.0.2.2", "guest=g")}, "g@192.0.2.2:1110", ""},
		{"IPv6 and names", []*api.ServiceEntry{at("a", "2001:DB8::1"), at("b", "Mail.example.com")}, "a@[2001:db8::1]:1110 b@mail.example.com:1110", ""},
		{"two guests with one name", []*api.ServiceEntry{onNode(at("a", "192.0.2.1"), "n1"), onNode(at("a", "192.0.2.2"), "n2"), at("b", "192.0.2.3")}, "b@192.0.2.3:1110", "a: same name"},
		{"one of two says so", []*api.ServiceEntry{at("a", "192.0.2.1"), at("b", "192.0.2.2", "guest=a")}, "", "a: same name"},
		{"two words for one setting", []*api.ServiceEntry{at("a", "192.0.2.1", "guest=g", "tls=stls"), at("b", "192.0.2.2", "guest=g", "tls=none")}, "", "g: meta tls"},
		{"one is silent", []*api.ServiceEntry{at("a", "192.0.2.1", "guest=g", "weight=3"), at("b", "192.0.2.2", "guest=g")}, "g@192.0.2.1:1110,192.0.2.2:1110", ""},
		{"an address as a name", []*api.ServiceEntry{at("b", "192.0.2.2", "guest=192.0.2.9")}, "", "192.0.2.9: no IP address"},
		{"a host and port as a name", []*api.ServiceEntry{at("guest-02:110", "192.0.2.2")}, "", "guest-02:110: want letters"},
		{"an empty name", []*api.ServiceEntry{at("a", "192.0.2.2", "guest=")}, "", ": want letters"},
		{"a name with an escape", []*api.ServiceEntry{at("a\x1b[2J", "192.0.2.2")}, "", "a?[2j: want letters"},
		{"an address that is none", []*api.ServiceEntry{at("a", "192.0.2.2/24"), at("b", "192.0.2.3")}, "b@192.0.2.3:1110", "a: neither an IP"},
		{"a path as address", []*api.ServiceEntry{at("a", "/run/pop3.sock")}, "", "a: neither an IP"},
		{"order that is none", []*api.ServiceEntry{at("a", "192.0.2.2", "order=first")}, "", "a: meta order"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook(options())
			s := b.services1(test.entries...)
			wantLine(t, s, test.want)
			name, part, _ := strings.Cut(test.fault, ": ")
			if test.fault == "" && len(s.Faults) > 0 || !strings.Contains(s.Faults[name], part) {
				t.Errorf("faults %v, want %q", s.Faults, test.fault)
			}
			slices.Reverse(test.entries) // the order in which Consul has them means nothing
			if again := newBook(options()).services1(test.entries...); line(again) != test.want {
				t.Errorf("in another order: %s", line(again))
			}
		})
	}
}

// TestSettings: each meta key, what it sets, and what it may not say.
func TestSettings(t *testing.T) {
	show := func(t backend.Target) string {
		return fmt.Sprintf("%s %s %s %v w%d s%d l%d %v", t.Login, t.TLS.Mode(), t.ProxyProtocol, t.XCLIENT, t.Weight, t.MaxSessions, t.MaxLogins, t.Aliases)
	}
	const usual = "mailbox none none false w1 s0 l20 []"
	for meta, want := range map[string]string{
		"":                                    usual,
		"other=what ever":                     usual,
		"login=local":                         "local none none false w1 s0 l20 []",
		"tls=stls":                            "mailbox stls none false w1 s0 l20 []",
		"tls=implicit":                        "mailbox implicit none false w1 s0 l20 []",
		"proxy_protocol=v2":                   "mailbox none v2 false w1 s0 l20 []",
		"xclient=true":                        "mailbox none none true w1 s0 l20 []",
		"weight=1000":                         "mailbox none none false w1000 s0 l20 []",
		"max_sessions=7":                      "mailbox none none false w1 s7 l20 []",
		"max_logins=0":                        "mailbox none none false w1 s0 l0 []",
		"aliases=Old-1, o.2":                  "mailbox none none false w1 s0 l20 [old-1 o.2]",
		"login=Mailbox":                       "!login form",
		"login=":                              "!login form",
		"tls=starttls":                        "!want none, stls or implicit",
		"tls=stls\x1b[2J":                     "!stls?[2J",
		"server_name=a b":                     "!want a host's name",
		"proxy_protocol=2":                    "!want none, v1 or v2",
		"xclient=1":                           "!want true or false",
		"weight=0":                            "!from 1 to 1000",
		"weight=1001":                         "!from 1 to 1000",
		"weight= 1":                           "!from 1 to 1000",
		"max_sessions=-1":                     "!from 0 to",
		"max_logins=1e3":                      "!from 0 to",
		"max_logins=many":                     "!from 0 to",
		"aliases=a:110":                       "!want letters",
		"aliases=192.0.2.9":                   "!no IP address",
		"aliases=[::1]":                       "!want letters",
		"insecure_skip_verify=true":           usual, // is none of the keys
		"aliases=" + strings.Repeat("a,", 33): "!more than 32",
	} {
		t.Run(meta, func(t *testing.T) {
			s := newBook(options()).services1(at("g", "192.0.2.1", meta))
			part, faulty := strings.CutPrefix(want, "!")
			switch {
			case faulty:
				if fault := s.Faults["g"]; len(s.Targets) != 0 || !strings.Contains(fault, part) || !strings.Contains(fault, "left out") {
					t.Errorf("%s, fault %q, want %q", line(s), fault, part)
				}
			case len(s.Targets) != 1 || show(s.Targets[0]) != want || len(s.Faults) > 0:
				t.Errorf("%v %v, want %s", s.Targets, s.Faults, want)
			}
		})
	}
}

// TestNoDowngrade: where the configuration demands TLS, an instance can choose how and not whether.
func TestNoDowngrade(t *testing.T) {
	o := options()
	o.Defaults.TLS = backend.TLSOptions{Mode: backend.TLSByCommand, ServerName: "pop.example.com"}
	for meta, want := range map[string]string{
		"":                            "stls",
		"tls=implicit":                "implicit",
		"tls=none":                    "demands stls",
		"server_name=pop.example.com": "stls",
		"server_name=evil.example":    "that one counts",
	} {
		s := newBook(o).services1(at("g", "192.0.2.1", meta))
		if len(s.Targets) == 1 && s.Targets[0].TLS.Mode().String() == want {
			continue
		}
		if len(s.Targets) > 0 || !strings.Contains(s.Faults["g"], want) {
			t.Errorf("%s: %s %v, want %s", meta, line(s), s.Faults, want)
		}
	}
}

// TestFaultStays: a backend whose meta can't be read any more stays as it was; the others go on.
func TestFaultStays(t *testing.T) {
	b := newBook(options())
	wantLine(t, b.services1(at("a", "192.0.2.1"), at("b", "192.0.2.2")), "a@192.0.2.1:1110 b@192.0.2.2:1110")
	s := b.services1(at("a", "192.0.2.9", "weight=none"), at("b", "192.0.2.3"))
	wantLine(t, s, "a@192.0.2.1:1110 b@192.0.2.3:1110")
	if !strings.Contains(s.Faults["a"], "stays as it was") {
		t.Errorf("faults %v", s.Faults)
	}
	s = b.services1(at("a", "192.0.2.9", "weight=2"), at("b", "192.0.2.3"))
	wantLine(t, s, "a@192.0.2.9:1110 b@192.0.2.3:1110")
	if len(s.Faults) > 0 || s.Targets[0].Weight != 2 {
		t.Errorf("%v, faults %v", s.Targets[0], s.Faults)
	}
}

// TestHearsay: what checks say removes nobody, and one good address is enough.
func TestHearsay(t *testing.T) {
	check := func(id, status, notes string) *api.HealthCheck {
		return &api.HealthCheck{CheckID: id, Name: "the " + id, Status: status, Notes: notes, Output: "changes each time"}
	}
	critical := check("port", api.HealthCritical, "")
	b := newBook(options())
	s := b.services1(
		checked(at("a", "192.0.2.1"), check("port", api.HealthPassing, "")),
		checked(at("b", "192.0.2.2"), check("port", api.HealthWarning, "")),
		checked(at("c", "192.0.2.3"), check("serfHealth", api.HealthPassing, ""), critical),
		checked(at("d", "192.0.2.4"), critical, check(api.NodeMaint, api.HealthCritical, "re-IPL\x1b")),
		checked(at("e", "192.0.2.5"), check(api.ServiceMaintPrefix+"e", api.HealthCritical, "disk")),
		checked(at("f1", "192.0.2.6", "guest=f"), critical), checked(at("f2", "192.0.2.7", "guest=f")),
		checked(at("g1", "192.0.2.8", "guest=g"), critical), checked(at("g2", "192.0.2.9", "guest=g"), critical),
	)
	want := map[string]string{
		"c": "check the port is critical", "d": "maintenance: re-IPL?", "e": "maintenance: disk", "g": "check the port is critical",
	}
	if !maps.Equal(s.Bad, want) || len(s.Targets) != 7 {
		t.Errorf("%s\n%v", line(s), s.Bad)
	}
	wantLine(t, b.services1(checked(at("a", "192.0.2.1"), critical)), "a@192.0.2.1:1110! b@192.0.2.2:1110~ c@192.0.2.3:1110~ "+
		"d@192.0.2.4:1110~ e@192.0.2.5:1110~ f@192.0.2.6:1110,192.0.2.7:1110~ g@192.0.2.8:1110,192.0.2.9:1110~")
}

// TestTakenNames: nobody gets what another one is called or found by.
func TestTakenNames(t *testing.T) {
	o := options()
	o.Reserved = []backend.Target{{Name: "Static-1", Aliases: []string{"old-1"}, Addresses: []string{"s1.example.com:110", "192.0.2.99:110"}}}
	s := newBook(o).services1(
		at("static-1", "192.0.2.1"), at("x", "192.0.2.2", "guest=OLD-1"), at("s1.example.com", "192.0.2.3"),
		at("a", "192.0.2.4", "aliases=b,own-a,shared,static-1,c.example.com"), at("b", "192.0.2.5", "aliases=shared,own-b"), at("c", "c.example.com"),
	)
	wantLine(t, s, "a@192.0.2.4:1110 b@192.0.2.5:1110 c@c.example.com:1110")
	if a, b := s.Targets[0].Aliases, s.Targets[1].Aliases; !slices.Equal(a, []string{"own-a"}) || !slices.Equal(b, []string{"own-b"}) {
		t.Errorf("aliases %q %q", a, b)
	}
	if names := slices.Sorted(maps.Keys(s.Faults)); !slices.Equal(names, []string{"a", "b", "old-1", "s1.example.com", "static-1"}) {
		t.Errorf("faults of %q", names)
	}
}

// TestTLSStays: while a backend is the same, so is its TLS, whose sessions the next connections resume.
func TestTLSStays(t *testing.T) {
	b := newBook(options())
	one := b.services1(at("a", "192.0.2.1", "tls=stls"))
	two := b.services1(at("a", "192.0.2.1", "tls=stls"), at("b", "192.0.2.2", "tls=stls"))
	if one.Targets[0].TLS == nil || one.Targets[0].TLS != two.Targets[0].TLS || two.Targets[0].TLS == two.Targets[1].TLS {
		t.Error("TLS was made anew, or shared by two")
	}
	if three := b.services1(at("a", "192.0.2.9", "tls=stls"), at("b", "192.0.2.2", "tls=stls")); three.Targets[0].TLS == one.Targets[0].TLS {
		t.Error("TLS is of the address before")
	}
	if now := b.state(); !now.same(b.state()) || now.same(two) {
		t.Error("a state is not the same as itself, or the same as one with another address")
	}
}
