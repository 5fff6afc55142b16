package configs

import (
	"strings"
	"testing"
	"time"
)

// backends writes a section of backends, whose first key stands in line 4.
func backends(lines string) string { return minimal + "backends:\n" + lines }

func TestFaultsOfBackendSettings(t *testing.T) {
	runFaults(t, []faultCase{
		{"tls mode", backends("  defaults: {tls: starttls}\n"), []string{`4:19: tls: "starttls": want none, stls or implicit`}},
		{"ca without tls", backends("  defaults: {ca: a.pem}\n"), []string{`4:18: ca: it means nothing with tls: none: want stls or implicit`}},
		{"pins without tls", backends("  static: [{name: a, address: h, pins: [" + strings.Repeat("ab", 32) + "]}]\n"),
			[]string{`4:40: pins: it means nothing with tls: none: want stls or implicit`}},
		{"no pin", backends("  defaults: {tls: stls, pins: [abc]}\n"),
			[]string{`4:32: pins: "abc": want the SHA-256 sum of a public key, in hexadecimal or base64`}},
		{"header version", backends("  defaults: {proxy_protocol: v3}\n"), []string{`4:30: proxy_protocol: "v3": want none, v1 or v2`}},
		{"source address", backends("  defaults: {source_address: eth0}\n"),
			[]string{`4:30: source_address: "eth0": want an IP address such as 192.0.2.1 or "2001:db8::1", without port`}},
		{"probe without password", backends("  defaults: {probe_user: p}\n"), []string{`4:26: probe_user: want probe_user and probe_password together`}},
		{"limits", backends("  defaults: {max_logins: -1, max_sessions: x}\n"),
			[]string{`4:26: max_logins: "-1": want at least 0`, `4:44: max_sessions: "x": want a whole number such as 200`}},
		{"health", backends("  health: {interval: 0s, fall: 0}\n"), []string{`4:22: interval: "0s": want at least 1s`, `4:32: fall: "0": want at least 1`}},
		{"replace_stale", backends("  replace_stale: 0s\n"), []string{`4:18: replace_stale: "0s": want a duration such as 60s, or off`}},
		{"consul without a service", backends("  consul: {tag: x}\n"),
			[]string{`4:11: consul: service is missing: want the name of a service in the catalogue`}},
	})
}

func TestBackendSettings(t *testing.T) {
	sum := strings.Repeat("AB:", 31) + "AB"
	c := mustLoad(t, backends(`  replace_stale: off
  queue_timeout: 3s
  consul: {service: pop3, tag: prod}
  defaults: {tls: stls, ca: a.pem, pins: ["`+sum+`", "sha256/q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="]}
  static: [{name: a, address: h, tls: none, max_logins: 0}]
`))
	b := c.Backends
	if b.ReplaceStale != 0 || b.QueueTimeout != 3*time.Second || b.Consul.Service != "pop3" {
		t.Errorf("%+v", b)
	}
	want := Pin(strings.Repeat("ab", 32))
	if len(b.Defaults.Pins) != 2 || b.Defaults.Pins[0] != want || b.Defaults.Pins[1] != want {
		t.Errorf("pins %v", b.Defaults.Pins)
	}
	// What a backend has of the defaults and can't use without TLS is no fault of its own.
	if s := b.Static[0]; s.TLS != TLSNone || s.MaxLogins != 0 || s.CA == "" {
		t.Errorf("%+v", s)
	}
}
