package directory

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"postern/backend"
)

// serve returns a directory with sources of the given lines: nil is a source that was
// never loaded.
func serve(t testing.TB, defaultDomain string, targets []backend.Target, sources ...[]string) *Directory {
	t.Helper()
	o := Options{DefaultDomain: defaultDomain}
	for i := range sources {
		o.Sources = append(o.Sources, NamedSource{Name: string(rune('a' + i)), Source: newTold()})
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetBackends(targets, Fallback{}); err != nil {
		t.Fatal(err)
	}
	for i, lines := range sources {
		if lines == nil {
			continue
		}
		if err := d.replace(uint32(i), map[string]*Table{"group": build(t, lines...)}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

var guests = []backend.Target{
	{Name: "guest-01", Addresses: []string{"192.0.2.1:110"}},
	{Name: "guest-02", Addresses: []string{"192.0.2.2:110"}, Login: backend.LoginLocal},
	{Name: "guest-03", Addresses: []string{"192.0.2.3:110"}, Login: backend.LoginTyped},
}

func TestLocate(t *testing.T) {
	d := serve(t, "example.com", guests,
		[]string{
			"alice@example.com guest-01", "bob@example.com guest-02", "Carol@Example.com guest-03",
			"dave@example.com guest-01 d4ve", "@example.org guest-02", "eve@example.org guest-01",
			"@templates.example guest-01 {local}+{address}", "@local.example guest-01 u-{local}",
		},
		[]string{
			"alice@example.com guest-02", "frank@example.org guest-03", "grace@example.net guest-01",
			"@example.net guest-02", "@example.com guest-03",
		})
	for _, test := range []struct{ typed, mailbox, login, backend, source, entry string }{
		{"alice@example.com", "alice@example.com", "alice@example.com", "guest-01", "a", "alice@example.com"},
		{"ALICE", "alice@example.com", "alice@example.com", "guest-01", "a", "alice@example.com"},
		{"alice%example.com", "alice@example.com", "alice@example.com", "guest-01", "a", "alice@example.com"},
		{"Bob@example.com", "bob@example.com", "bob", "guest-02", "a", "bob@example.com"},
		{"CAROL%example.com", "carol@example.com", "CAROL%example.com", "guest-03", "a", "carol@example.com"},
		{"dave", "dave@example.com", "d4ve", "guest-01", "a", "dave@example.com"},
		{"eve@example.org", "eve@example.org", "eve@example.org", "guest-01", "a", "eve@example.org"},
		{"any@example.org", "any@example.org", "any", "guest-02", "a", "@example.org"},
		{"frank@example.org", "frank@example.org", "frank", "guest-02", "a", "@example.org"}, // earlier @domain, later exact
		{"grace@example.net", "grace@example.net", "grace@example.net", "guest-01", "b", "grace@example.net"},
		{"heidi@example.net", "heidi@example.net", "heidi", "guest-02", "b", "@example.net"},
		{"Heidi", "heidi@example.com", "Heidi", "guest-03", "b", "@example.com"},
		{"x@templates.example", "x@templates.example", "x+x@templates.example", "guest-01", "a", "@templates.example"},
		{"Y%Local.example", "y@local.example", "u-y", "guest-01", "a", "@local.example"},
	} {
		r, err := d.Locate(t.Context(), Query{User: test.typed})
		if err != nil {
			t.Errorf("%s: %v", test.typed, err)
			continue
		}
		if r.Mailbox != test.mailbox || r.Login != test.login || r.Backend.Name != test.backend || r.Source != test.source || r.Entry != test.entry {
			t.Errorf("%s: %s logs in as %s at %s by %s of %s, want %+v", test.typed, r.Mailbox, r.Login, r.Backend.Name, r.Entry, r.Source, test)
		}
	}
}

func TestLocateKnowsNobodyElse(t *testing.T) {
	d := serve(t, "example.com", guests, []string{"alice@example.com guest-01", "@example.org guest-02", "bare@example.com guest-01"})
	unknown := append(hostile, "bob@example.com", "alice@example.org.example.com", "alice@org", "org", "example.org",
		"alice@example.com@example.net", "x@sub.example.org", "alic", "alicee", "lice@example.com")
	for _, typed := range unknown {
		for _, domain := range []string{"", "example.net"} {
			if r, err := d.Locate(t.Context(), Query{User: typed, DefaultDomain: domain}); !errors.Is(err, ErrUnknown) {
				t.Errorf("%q at %q: %v, %v, want unknown", typed, domain, r, err)
			}
		}
	}
}

func TestLocateTakesTheListenersDomain(t *testing.T) {
	d := serve(t, "example.com", guests, []string{"alice@example.com guest-01", "alice@example.net guest-02"})
	r, err := d.Locate(t.Context(), Query{User: "alice", DefaultDomain: "example.net"})
	if err != nil || r.Backend.Name != "guest-02" {
		t.Errorf("%v, %v, want guest-02", r, err)
	}
}

func TestLocateBareNames(t *testing.T) {
	d := serve(t, "", guests, []string{"alice guest-01", "bob guest-02", "carol guest-01 {local}/{address}"})
	for typed, login := range map[string]string{"Alice": "alice", "bob": "bob", "carol": "carol/carol"} {
		if r, err := d.Locate(t.Context(), Query{User: typed}); err != nil || r.Login != login {
			t.Errorf("%s: %v, %v, want login %s", typed, r, err, login)
		}
	}
}

func TestLocateStates(t *testing.T) {
	b := NewBuilder("")
	for address, state := range map[string]State{"a": Active, "s": Suspended, "m": Moving} {
		if err := b.Add([]byte(address), Value{Backend: "guest-01", State: state}); err != nil {
			t.Fatal(err)
		}
	}
	d := serve(t, "", guests, []string{})
	if err := d.replace(0, map[string]*Table{"group": b.Build()}); err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{"a": "active", "s": "suspended", "m": "moving"} {
		if r, err := d.Locate(t.Context(), Query{User: typed}); err != nil || r.State.String() != want {
			t.Errorf("%s: %v, %v, want %s", typed, r.State, err, want)
		}
	}
	if _, err := ParseState("Active"); err == nil {
		t.Error("a state in another spelling is taken")
	}
}

func TestLocateStopsAtASourceThatWasNeverLoaded(t *testing.T) {
	d := serve(t, "", guests, []string{"alice guest-01"}, nil, []string{"bob guest-02"})
	if r, err := d.Locate(t.Context(), Query{User: "alice"}); err != nil {
		t.Errorf("alice of the source before it: %v, %v", r, err)
	}
	for _, typed := range []string{"bob", "nobody"} {
		if r, err := d.Locate(t.Context(), Query{User: typed}); !errors.Is(err, ErrNotReady) || errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v, %v, want not ready", typed, r, err)
		}
	}
}

func TestLocateLoginsThatCannotBeSent(t *testing.T) {
	long := strings.Repeat("a", 200)
	d := serve(t, "", guests, []string{"@example.com guest-01 {local}{local}", "@example.org guest-01"})
	if r, err := d.Locate(t.Context(), Query{User: long + "@example.com"}); !errors.Is(err, ErrLogin) {
		t.Errorf("a login of 400 octets: %v, %v", r, err)
	}
	fits := strings.Repeat("a", maxLogin-len("@example.org")) + "@example.org"
	if _, err := d.Locate(t.Context(), Query{User: fits}); err != nil {
		t.Errorf("the longest login: %v", err)
	}
	if r, err := d.Locate(t.Context(), Query{User: "a" + fits}); !errors.Is(err, ErrLogin) {
		t.Errorf("a login that is one octet too long: %v, %v", r, err)
	}
}

func TestCheckLogin(t *testing.T) {
	for _, login := range []string{"", "bob", "{local}", "{address}", "a{local}b{address}c{local}", "b}", "Bob@x y", "\xfc", "}{local}"} {
		if err := CheckLogin(login); err != nil {
			t.Errorf("%q: %v", login, err)
		}
	}
	for _, login := range []string{"{", "{}", "{user}", "{Local}", "{local", "{local}{", "{{local}}", "{ local}", "{address}{domain}",
		"a\nb", "a\r\nPASS x", "\x00", "\x7f", "\t", strings.Repeat("l", maxLogin+1)} {
		if err := CheckLogin(login); err == nil {
			t.Errorf("%q is taken", login)
		}
	}
}

func TestLocateUnconfiguredBackends(t *testing.T) {
	d := serve(t, "", guests, []string{"alice nowhere", "bob nowhere", "carol 198.51.100.9", "dave guest-01"})
	_, err := d.Locate(t.Context(), Query{User: "Alice"})
	var missing *NoBackendError
	if !errors.As(err, &missing) || *missing != (NoBackendError{Mailbox: "alice", Entry: "alice", Backend: "nowhere", Source: "a"}) {
		t.Errorf("%v, want the mailbox, the backend and the source", err)
	}
	if few := d.UnknownBackends(1); len(few) != 1 || few[0].Entries != 2 {
		t.Errorf("at most one unknown backend: %+v", few)
	}
	unknown := d.UnknownBackends(10)
	if len(unknown) != 2 || unknown[0].Backend != "nowhere" || unknown[0].Entries != 2 || unknown[0].Mailbox != "alice" ||
		unknown[1].Backend != "198.51.100.9" || unknown[1].Entries != 1 {
		t.Errorf("unknown backends %+v", unknown)
	}
	fallback := Fallback{Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Login: backend.LoginLocal}
	more := append([]backend.Target{{Name: "nowhere", Addresses: []string{"192.0.2.9:110"}}}, guests...)
	if err := d.SetBackends(more, fallback); err != nil {
		t.Fatal(err)
	}
	if unknown := d.UnknownBackends(10); len(unknown) != 0 {
		t.Errorf("after they were configured: unknown backends %+v", unknown)
	}
	for typed, want := range map[string]string{"alice": "nowhere", "carol": "198.51.100.9:110", "dave": "guest-01"} {
		if r, err := d.Locate(t.Context(), Query{User: typed}); err != nil || r.Backend.Name != want {
			t.Errorf("%s: %v, %v, want %s", typed, r, err, want)
		}
	}
}

func TestLocateCosts(t *testing.T) {
	d := serve(t, "example.com", guests, []string{"alice@example.com guest-01", "@example.org guest-02 {local}", "bob@example.com guest-03"})
	for typed, most := range map[string]float64{
		"alice@example.com": 0, "Alice": 1, "bob@example.com": 0, "x@example.org": 1, "X%example.org": 2,
		"nobody@example.com": 0,
	} {
		n := testing.AllocsPerRun(100, func() { _, _ = d.Locate(context.Background(), Query{User: typed}) })
		if n > most {
			t.Errorf("%s: %v allocations, want at most %v", typed, n, most)
		}
	}
}
