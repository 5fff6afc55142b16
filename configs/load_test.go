package configs

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

const (
	aListener = "listeners: [{address: 127.0.0.1:0}]\n"
	aSource   = "directory: {sources: [{type: file, path: m}]}\n"
	minimal   = aListener + aSource
)

// inFolder writes files into a folder of the test's own and works there.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func loadText(t *testing.T, text string) (*Config, error) {
	t.Helper()
	inFolder(t, map[string]string{"postern.yaml": text})
	return Load("postern.yaml")
}

func mustLoad(t *testing.T, text string) *Config {
	t.Helper()
	c, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadMinimalKeepsDefaults(t *testing.T) {
	got := mustLoad(t, minimal)
	want := Default()
	if !reflect.DeepEqual(got.Auth, want.Auth) || !reflect.DeepEqual(got.Timeouts, want.Timeouts) ||
		!reflect.DeepEqual(got.Limits, want.Limits) || !reflect.DeepEqual(got.Backends, want.Backends) ||
		!reflect.DeepEqual(got.Log, want.Log) || !reflect.DeepEqual(got.TLS, want.TLS) || !reflect.DeepEqual(got.Admin, want.Admin) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestDefaults spells the contract's numbers out once more, so that nobody changes
// one by accident.
func TestDefaults(t *testing.T) {
	c := Default()
	want := Config{
		TLS:  TLS{MinVersion: "1.2"},
		Auth: Auth{Plaintext: "loopback", Mechanisms: []Mechanism{"PLAIN", "LOGIN"}, FailureDelay: 3 * time.Second, MaxFailures: 3},
		Timeouts: Timeouts{Login: 2 * time.Minute, Handshake: 10 * time.Second, Backend: 10 * time.Second, BackendLogin: 30 * time.Second,
			Idle: 15 * time.Minute, Linger: 30 * time.Second, Drain: 5 * time.Minute, Keepalive: time.Minute},
		Limits:    Limits{Sessions: 10000, LoginMemory: 64 << 20, SessionsPerAddress: 200, SessionsPerMailbox: 20},
		Directory: Directory{State: "/var/lib/postern/directory", Unknown: "reject", ShrinkGuard: ShrinkGuard{Ratio: 0.5, Rows: 20}, OnMove: "end"},
		Backends: Backends{
			Defaults:     BackendSettings{Login: "mailbox", TLS: "none", ProxyProtocol: "none", MaxLogins: 20, Weight: 1, Ports: Ports{143, 25, 24}},
			Health:       Health{Interval: time.Minute, DownInterval: 2 * time.Second, Timeout: 5 * time.Second, Fall: 3, Rise: 1},
			QueueTimeout: 10 * time.Second, ReplaceStale: OffOrDuration(time.Minute),
		},
		Admin: Admin{Socket: "/run/postern/admin.sock"},
		Log:   Log{Level: "info", Format: "text", UnknownUsers: "hash", Client: "full"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestLoadListener(t *testing.T) {
	c := mustLoad(t, aSource+`listeners:
  - address: "[::]:110"
    name: pop
    freebind: True
    allow: [10.1.2.3/8, "::ffff:192.0.2.0/120"]
    deny: [192.0.2.7, "2001:db8::7"]
    default_domain: example.org
  - address: :1110
`)
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, p := range list {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	want := []Listener{
		{Address: "[::]:110", Name: "pop", Freebind: true, ClientAuth: "offer", Allow: prefixes("10.0.0.0/8", "192.0.2.0/24"),
			Deny: prefixes("192.0.2.7/32", "2001:db8::7/128"), DefaultDomain: "example.org"},
		{Address: ":1110", Name: ":1110", ClientAuth: "offer", Allow: prefixes("0.0.0.0/0", "::/0")},
	}
	if !reflect.DeepEqual(c.Listeners, want) {
		t.Errorf("got  %+v\nwant %+v", c.Listeners, want)
	}
}

func TestLoadBackends(t *testing.T) {
	// static stands before defaults: the order in the file does not matter.
	c := mustLoad(t, minimal+`backends:
  static:
    - {name: a, address: 192.0.2.1}
    - {name: b, address: "2001:db8::1", login: typed, capabilities: []}
    - name: c
      address: ["[2001:DB8::2]", "[2001:db8::3]:1110", POP.Example.com:0110]
      login: null
  defaults: {login: local, capabilities: [TOP]}
  refusals: [{match: "busy", code: SYS/TEMP}]
`)
	local := Default().Backends.Defaults
	local.Login, local.Capabilities = LoginLocal, []Capability{CapabilityTop}
	typed := Default().Backends.Defaults
	typed.Login = LoginTyped
	want := []Backend{
		{Name: "a", Address: []BackendAddress{"192.0.2.1:110"}, BackendSettings: local},
		{Name: "b", Address: []BackendAddress{"[2001:db8::1]:110"}, BackendSettings: typed},
		{Name: "c", Address: []BackendAddress{"[2001:db8::2]:110", "[2001:db8::3]:1110", "pop.example.com:110"}, BackendSettings: local},
	}
	if !reflect.DeepEqual(c.Backends.Static, want) {
		t.Errorf("got  %+v\nwant %+v", c.Backends.Static, want)
	}
	if got := c.Backends.Refusals; len(got) != 1 || got[0] != (Refusal{"busy", CodeSysTemp}) {
		t.Errorf("refusals: %+v", got)
	}
}

func TestLoadTakes(t *testing.T) {
	for name, text := range map[string]string{
		"null keeps the default":      minimal + "auth:\nlimits: ~\ntimeouts: {idle: null}\nlog: {level: }\n",
		"one document, marked":        "---\n" + minimal + "...\n",
		"a byte order mark":           "\ufeff" + minimal,
		"CRLF":                        "listeners:\r\n  - address: 127.0.0.1:0\r\n" + "directory:\r\n  sources:\r\n    - type: file\r\n      path: m\r\n",
		"quoted numbers":              minimal + `limits: {sessions: "7"}`,
		"zero where it has a use":     minimal + "timeouts: {drain: 0s, drain_delay: 0}\nlimits: {sessions_per_address: 0}\n",
		"an idle time below RFC 1939": minimal + "timeouts: {idle: 100ms}\n",
		"two listeners on port 0":     aSource + "listeners: [{address: 127.0.0.1:0, name: a}, {address: 127.0.0.1:0, name: b}]\n",
		"an alias like its own name":  minimal + "backends: {static: [{name: a, address: h, aliases: [A]}]}\n",
		"a name like its own address": minimal + "backends: {static: [{name: h:110, address: h}]}\n",
		"zero for no limit":           minimal + "limits: {sessions_per_mailbox: 0, connections_per_minute: 0, login_interval: 0s, per_network: []}\n",
		"a network within another":    minimal + "limits: {per_network: [{networks: [10.0.0.0/8], sessions: 1}, {networks: [10.0.0.0/16], sessions: 2}]}\n",
		"no mechanism":                minimal + "auth: {mechanisms: []}\n",
		"a handshake above the login": minimal + "timeouts: {login: 2s}\n",
		"an empty domain":             aListener + "directory: {default_domain: '', sources: [{type: file, path: m}]}\n",
		"two guests on one host":      minimal + "backends: {static: [{name: a, address: h:1}, {name: b, address: h:2}]}\n",
		"a block text":                minimal + "backends: {static: [{name: a, address: h}]}\nlog:\n  level: >-\n    debug\n",
	} {
		t.Run(name, func(t *testing.T) { mustLoad(t, text) })
	}
}

func TestPathsStartFromTheFilesFolder(t *testing.T) {
	inFolder(t, map[string]string{"etc/postern.yaml": aListener +
		"directory: {sources: [{type: file, path: maps/a}, {type: file, path: /b}]}\n"})
	c, err := Load("etc/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Directory.Sources; got[0].Path != "etc/maps/a" || got[1].Path != "/b" {
		t.Errorf("got %+v", got)
	}
}

func TestPosition(t *testing.T) {
	c := mustLoad(t, "# a comment\n"+aListener+"directory:\n  sources:\n    - type: file\n      path: m\nadmin: {socket: null, probes: ''}\n")
	for _, test := range []struct {
		path         string
		line, column int
		exact        bool
	}{
		{"directory.sources[0].path", 6, 13, true},
		{"directory.sources[0]", 5, 7, true},
		{"directory.sources[0].shrink", 5, 7, false},
		{"listeners[0].name", 2, 13, false},
		{"log.level", 2, 1, false},
		{"admin.socket", 7, 9, false}, // the key stands there, its value is the default
		{"admin.probes", 7, 31, true},
		{"admin.address", 7, 8, false},
	} {
		at, exact := c.Position(test.path)
		want := Fault{File: "postern.yaml", Line: test.line, Column: test.column}
		if at != want || exact != test.exact {
			t.Errorf("%s: got %v %v, want %v %v", test.path, at, exact, want, test.exact)
		}
	}
}

// TestSectionsCompare: a reload must not take a moved line for a change.
func TestSectionsCompare(t *testing.T) {
	a := mustLoad(t, minimal+"limits: {exempt: []}\n")
	b := mustLoad(t, "# moved\n\n"+minimal)
	if !reflect.DeepEqual(a.Listeners, b.Listeners) || !reflect.DeepEqual(a.Limits, b.Limits) ||
		!reflect.DeepEqual(a.Directory, b.Directory) || !reflect.DeepEqual(a.Backends, b.Backends) {
		t.Errorf("equal sections differ: %+v %+v", a, b)
	}
}

func TestLoadUnreadable(t *testing.T) {
	inFolder(t, map[string]string{"big.yaml": string(make([]byte, maxConfig+1))})
	for name, want := range map[string]string{
		"absent.yaml": "absent.yaml:1:1: this file can't be read: no such file or directory",
		".":           ".:1:1: this file can't be read: is a directory",
		"big.yaml":    "big.yaml:1:1: this file can't be read: want at most 4194304 octets, with all included files",
	} {
		_, err := Load(name)
		if _, ok := errors.AsType[Faults](err); !ok || err.Error() != want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
