package serve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"postern/backend"
	"postern/directory"
)

// site is a small directory, with what it was asked.
type site struct {
	mu     sync.Mutex
	asked  []directory.Query
	routes map[string]directory.Route
	errs   map[string]error
}

var (
	guest1 = &backend.Target{Name: "guest-01", Addresses: []string{"192.0.2.1:1110", "192.0.2.101:110"}}
	guest2 = &backend.Target{Name: "guest-02", Addresses: []string{"[2001:db8::2]:110"}}
	guest3 = &backend.Target{Name: "guest-03", Addresses: []string{"guest-03.example.com:110"}}
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func newSite() *site {
	route := func(address, login string, t *backend.Target, s directory.State) directory.Route {
		return directory.Route{Mailbox: address, Login: login, Backend: t, State: s, Source: "map"}
	}
	return &site{
		routes: map[string]directory.Route{
			"alice@example.com": route("alice@example.com", "alice", guest1, directory.Active),
			"ALICE@example.com": route("alice@example.com", "alice", guest1, directory.Active),
			"bob@example.com":   route("bob@example.com", "bob@example.com", guest2, directory.Active),
			"carol@example.com": route("carol@example.com", "c%r l", guest3, directory.Active),
			"dave@example.com":  route("dave@example.com", "dave", guest1, directory.Suspended),
			"erin@example.com":  route("erin@example.com", "erin", guest1, directory.Moving),
			"a b%c@example.com": route("a b%c@example.com", "ab", guest1, directory.Active),
			"space@example.com": route("space@example.com", " s ", guest1, directory.Active),
			"frank@example.com": route("frank@example.com", "frank", &backend.Target{Name: "deaf", Addresses: guest1.Addresses}, directory.Active),
			"bare":              route("bare", "bare", guest1, directory.Active),
		},
		errs: map[string]error{
			"down@example.com":     fmt.Errorf("source sql: %w", errors.New("no connection")),
			"judged@example.com":   fmt.Errorf("source auth_http: %w", directory.ErrNeedsPassword),
			"homeless@example.com": &directory.NoBackendError{Mailbox: "homeless@example.com", Backend: "none"},
		},
	}
}

func (s *site) locate(_ context.Context, q directory.Query) (directory.Route, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	if err := s.errs[q.User]; err != nil {
		return directory.Route{}, err
	}
	if r, known := s.routes[q.User]; known {
		return r, nil
	}
	return directory.Route{}, directory.ErrUnknown
}

// ports are those of every backend but one.
func ports(t *backend.Target, protocol string) (uint16, bool) {
	port := map[string]uint16{"smtp": 25, "lmtp": 24, "imap": 143}[protocol]
	return port, port != 0 && t.Name != "deaf"
}

func transportOf(t *testing.T, template string) *Transport {
	t.Helper()
	transport, err := NewTransport(template, ports)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}
