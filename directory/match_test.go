package directory

import (
	"net/netip"
	"strings"
	"testing"

	"postern/backend"
)

func prefixes(texts ...string) (networks []netip.Prefix) {
	for _, text := range texts {
		networks = append(networks, netip.MustParsePrefix(text))
	}
	return networks
}

func TestBackendValues(t *testing.T) {
	d := serve(t, "", nil, []string{})
	targets := []backend.Target{
		{Name: "guest-01", Addresses: []string{"127.0.0.11:110"}, Aliases: []string{"Old-Guest", "mail1.example.com"}},
		{Name: "Guest-02", Addresses: []string{"127.0.0.12:1110", "[2001:db8::2]:1110"}},
		{Name: "guest-03", Addresses: []string{"pop3.example.com:110"}},
		{Name: "guest-04", Addresses: []string{"127.0.0.14:2001"}}, // three on one host
		{Name: "guest-05", Addresses: []string{"127.0.0.14:2002"}},
		{Name: "guest-06", Addresses: []string{"127.0.0.15:2001"}}, // two on one, one of them at the usual port
		{Name: "guest-07", Addresses: []string{"127.0.0.15:110"}},
		{Name: "guest-08", Addresses: []string{"127.0.0.16:110"}}, // two at one address
		{Name: "guest-09", Addresses: []string{"127.0.0.16:110"}},
		{Name: "127.0.0.17", Addresses: []string{"127.0.0.18:110"}}, // a name that looks like another's address
		{Name: "guest-11", Addresses: []string{"127.0.0.17:110"}},
	}
	if err := d.SetBackends(targets, Fallback{Networks: prefixes("198.51.100.0/24", "2001:db8:1::/48", "203.0.113.7/32")}); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"guest-01": "guest-01", "GUEST-01": "guest-01", "old-guest": "guest-01", "OLD-GUEST": "guest-01",
		"Mail1.Example.Com": "guest-01", "127.0.0.11": "guest-01", "127.0.0.11:110": "guest-01", "127.0.0.11:pop3": "guest-01",
		"guest-01:110": "guest-01", "Old-Guest:110": "guest-01", "[127.0.0.11]": "guest-01", "::ffff:127.0.0.11": "guest-01",
		"guest-02": "Guest-02", "127.0.0.12": "Guest-02", "127.0.0.12:1110": "Guest-02", "2001:db8::2": "Guest-02",
		"[2001:db8::2]": "Guest-02", "[2001:db8::2]:1110": "Guest-02", "[2001:DB8:0:0::2]:1110": "Guest-02",
		"2001:DB8:0::0:2": "Guest-02", "guest-02:1110": "Guest-02", "guest-02:110": "Guest-02",
		"pop3.example.com": "guest-03", "POP3.example.com:110": "guest-03",
		"127.0.0.14:2001": "guest-04", "127.0.0.14:2002": "guest-05",
		"127.0.0.15": "guest-07", "127.0.0.15:2001": "guest-06",
		"127.0.0.17": "127.0.0.17", "127.0.0.18": "127.0.0.17", "127.0.0.17:110": "guest-11",
		"198.51.100.9": "198.51.100.9:110", "198.51.100.9:111": "198.51.100.9:111", "198.51.100.9:pop3": "198.51.100.9:110",
		"::ffff:198.51.100.9": "198.51.100.9:110", "203.0.113.7": "203.0.113.7:110",
		"2001:db8:1::1": "[2001:db8:1::1]:110", "[2001:DB8:1::1]": "[2001:db8:1::1]:110", "[2001:db8:1::1]:995": "[2001:db8:1::1]:995",
		// nobody's
		"": "", " guest-01": "", "guest-01 ": "", "guest": "", "guest-011": "", "guest-01:": "", "guest-01:111": "",
		"guest-02:1111": "", "127.0.0.11:1110": "", "127.0.0.12:110": "", "127.0.0.11:": "", "127.0.0.1": "",
		"127.0.0.14": "", "127.0.0.16": "", "127.0.0.16:110": "", "2001:db8::2:1110": "", "pop3.example.com:1110": "",
		"198.51.101.1": "", "198.51.100.9:0": "", "198.51.100.9:65536": "", "198.51.100.9:": "", "198.51.100.9:x": "",
		"198.51.100.9.example.com": "", "0xc6336409": "", "3325256713": "", "198.51.100.009": "", "198.51.100": "",
		"[198.51.100.9": "", "198.51.100.9]": "", "[[2001:db8:1::1]]": "", "2001:db8:1::1%eth0": "", "localhost": "",
		"198.51.100.9@203.0.113.7": "", "203.0.113.8": "", "alice@guest-01": "", "guest-01\x00": "",
	} {
		if got := located(t, d, value); got != want {
			t.Errorf("backend value %q is %q, want %q", value, got, want)
		}
		if known := d.Knows(value); known != (want != "") {
			t.Errorf("Knows(%q) = %v", value, known)
		}
	}
}

// located returns the name of the backend by which a mailbox with that value is served.
func located(t *testing.T, d *Directory, value string) string {
	t.Helper()
	if value == "" {
		return ""
	}
	b := NewBuilder("")
	if err := b.Add([]byte("x"), Value{Backend: value}); err != nil {
		t.Fatal(err)
	}
	if err := d.replace(0, map[string]*Table{"g": b.Build()}); err != nil {
		t.Fatal(err)
	}
	r, err := d.Locate(t.Context(), Query{User: "x"})
	if err != nil {
		return ""
	}
	return r.Backend.Name
}

func TestOneAddressIsOneBackend(t *testing.T) {
	d := serve(t, "", nil, []string{"a 198.51.100.9", "b 198.51.100.9:110", "c ::ffff:198.51.100.9"})
	if err := d.SetBackends(nil, Fallback{Networks: prefixes("0.0.0.0/0"), Login: backend.LoginLocal}); err != nil {
		t.Fatal(err)
	}
	first, err := d.Locate(t.Context(), Query{User: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if got := first.Backend; got.Name != "198.51.100.9:110" || strings.Join(got.Addresses, " ") != "198.51.100.9:110" || got.Login != backend.LoginLocal {
		t.Errorf("a backend of its own: %+v", got)
	}
	for _, typed := range []string{"b", "c"} {
		if r, err := d.Locate(t.Context(), Query{User: typed}); err != nil || r.Backend != first.Backend {
			t.Errorf("%s: %v, %v, want the same backend", typed, r, err)
		}
	}
}

func TestSetBackendsRefuses(t *testing.T) {
	d := serve(t, "", guests, []string{"alice guest-01"})
	for name, targets := range map[string][]backend.Target{
		"two of one name":        {{Name: "g"}, {Name: "g"}},
		"names in two cases":     {{Name: "g"}, {Name: "G"}},
		"an alias that is taken": {{Name: "g", Aliases: []string{"h"}}, {Name: "h"}},
		"two of one alias":       {{Name: "g", Aliases: []string{"x"}}, {Name: "h", Aliases: []string{"X"}}},
		"no name":                {{Addresses: []string{"192.0.2.1:110"}}},
	} {
		if err := d.SetBackends(targets, Fallback{}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if r, err := d.Locate(t.Context(), Query{User: "alice"}); err != nil || r.Backend.Name != "guest-01" {
			t.Errorf("%s: changed what serves: %v, %v", name, r, err)
		}
	}
	same := []backend.Target{{Name: "g", Aliases: []string{"G", "g"}, Addresses: []string{"g:110", "g:110"}}}
	if err := d.SetBackends(same, Fallback{}); err != nil {
		t.Errorf("a backend that repeats its own name: %v", err)
	}
}

func TestSetBackendsKeepsCopies(t *testing.T) {
	targets := []backend.Target{{Name: "guest-01", Addresses: []string{"192.0.2.1:110"}}}
	d := serve(t, "", targets, []string{"alice guest-01"})
	targets[0].Name = "changed"
	if r, err := d.Locate(t.Context(), Query{User: "alice"}); err != nil || r.Backend.Name != "guest-01" {
		t.Errorf("%v, %v, want what was set", r.Backend, err)
	}
}
