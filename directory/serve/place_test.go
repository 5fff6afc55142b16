package serve

import (
	"testing"

	"postern/backend"
)

func TestTransport(t *testing.T) {
	for name, c := range map[string]struct {
		template string
		target   *backend.Target
		want     string // empty: an error
	}{
		"default":                 {"", guest1, "smtp:[192.0.2.1]:25"},
		"default, IPv6":           {"", guest2, "smtp:[2001:db8::2]:25"},
		"lmtp":                    {"lmtp:inet:{host}:{lmtp}", guest1, "lmtp:inet:192.0.2.1:24"},
		"lmtp, IPv6":              {"lmtp:inet:{host}:{lmtp}", guest2, "lmtp:inet:[2001:db8::2]:24"},
		"name":                    {"relay:[{backend}.example.net]", guest3, "relay:[guest-03.example.net]"},
		"pop3 and imap":           {"{host}/{port}/{imap}", guest1, "192.0.2.1/1110/143"},
		"nothing to fill in":      {"retry:", guest1, "retry:"},
		"no smtp there":           {"", &backend.Target{Name: "deaf", Addresses: guest1.Addresses}, ""},
		"not needed there":        {"smtp:[{host}]", &backend.Target{Name: "deaf", Addresses: guest1.Addresses}, "smtp:[192.0.2.1]"},
		"no address":              {"", &backend.Target{Name: "guest-04"}, ""},
		"an address of its own":   {"", &backend.Target{Name: "{host}", Addresses: []string{"{port}:110"}}, "smtp:[{port}]:25"},
		"an address without port": {"", &backend.Target{Name: "guest-05", Addresses: []string{"192.0.2.5"}}, ""},
	} {
		got, err := transportOf(t, c.template).Of(c.target)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
	for _, template := range []string{"smtp:{hosts}", "smtp:{}", "smtp:{host", "host}", "a\r\nb", "a\nb", "{pop3}"} {
		if _, err := NewTransport(template, ports); err == nil {
			t.Errorf("%q is taken", template)
		}
	}
	if _, err := NewTransport("", nil); err == nil {
		t.Error("no ports are taken")
	}
}
