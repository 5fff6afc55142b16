package configs

import (
	"reflect"
	"strings"
	"testing"
)

const longToken = "${T_TOKEN}" // 16 octets, by setTokens

func setTokens(t *testing.T) {
	t.Setenv("T_TOKEN", canary+strings.Repeat("x", minToken-len(canary)))
	t.Setenv("T_OTHER", canary+strings.Repeat("y", minToken-len(canary)))
}

func TestLoadAdmin(t *testing.T) {
	setTokens(t)
	inFolder(t, map[string]string{"etc/postern.yaml": minimal + `admin:
  hosts: [Postern.Example.com, 192.0.2.1, "2001:db8::1", localhost]
  socket: admin.sock
  address: 127.0.0.1:9110
  tls: {certificates: [{cert: c.pem, key: k.pem}]}
  tokens:
    - {name: anna, role: operator, token: "` + longToken + `"}
    - {name: ben, role: viewer, token: "${T_OTHER}"}
    - {name: cleo, role: helpdesk, token: A/b+c=._~-0123456789}
  probes: ":9111"
  pprof: true
`})
	c, err := Load("etc/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	token := func(last string) Secret { return NewSecret(canary + strings.Repeat(last, minToken-len(canary))) }
	want := Admin{
		Hosts:   []Host{"postern.example.com", "192.0.2.1", "2001:db8::1", "localhost"},
		Socket:  "etc/admin.sock",
		Address: "127.0.0.1:9110",
		TLS:     AdminTLS{[]Certificate{{Cert: "etc/c.pem", Key: "etc/k.pem"}}},
		Tokens: []Token{
			{"anna", RoleOperator, token("x")},
			{"ben", RoleViewer, token("y")},
			{"cleo", RoleHelpdesk, NewSecret("A/b+c=._~-0123456789")},
		},
		Probes: ":9111",
		PProf:  true,
	}
	if !reflect.DeepEqual(c.Admin, want) {
		t.Errorf("got  %+v\nwant %+v", c.Admin, want)
	}
}

func TestLoadTakesAdmin(t *testing.T) {
	setTokens(t)
	for name, text := range map[string]string{
		"nothing":               minimal + "admin: {}\n",
		"empty for none":        minimal + "admin: {hosts: [], socket: '', address: '', tls: {}, tokens: [], probes: ''}\n",
		"tokens for later":      minimal + "admin: {tokens: [{name: a, role: viewer, token: '" + longToken + "'}]}\n",
		"probes without tokens": minimal + "admin: {probes: 127.0.0.1:9111}\n",
		"ports of the system's": minimal + "admin: {address: h:0, probes: h:0, tokens: [{name: a, role: viewer, token: '" + longToken + "'}]}\n",
	} {
		t.Run(name, func(t *testing.T) { mustLoad(t, text) })
	}
	if c := mustLoad(t, minimal+"admin: {socket: ''}\n"); c.Admin.Socket != "" {
		t.Errorf("a socket that was switched off: %s", c.Admin.Socket)
	}
}

// TestSocketTellsWhetherItWasSet: only who asks for a socket must get it.
func TestSocketTellsWhetherItWasSet(t *testing.T) {
	for text, want := range map[string]bool{
		"":                      false,
		"admin: {}\n":           false,
		"admin: {socket: }\n":   false,
		"admin: {socket: ~}\n":  false,
		"admin: {socket: ''}\n": true,
		"admin: {socket: /run/postern/admin.sock}\n": true,
	} {
		c := mustLoad(t, minimal+text)
		if _, set := c.Position("admin.socket"); set != want {
			t.Errorf("%q: got %v", text, set)
		}
	}
}

func TestFaultsOfAdmin(t *testing.T) {
	setTokens(t)
	runFaults(t, []faultCase{
		value("admin", "address", "127.0.0.1:9110", `@: address: "127.0.0.1:9110": want tokens too, or nobody could use it`),
		value("admin", "address", "127.0.0.1", `@: address: "127.0.0.1": want HOST:PORT`),
		value("admin", "address", "{tokens: []}", `4:12: address: a mapping: want a single value`),
		value("admin", "probes", "9111", `@: probes: "9111": want HOST:PORT`),
		value("admin", "pprof", "1", `@: pprof: "1": want true or false`),
		value("admin", "socket", "[a]", `@: socket: a list: want a single value`),
		value("admin", "socket", `"a\0"`, `@: socket: "a\x00": want the path of a file`),
		value("admin", "hosts", "localhost", `@: hosts: a single value: want a list`),
		value("admin", "hosts", "['[::1]']", `4:11: hosts: "[::1]": want a host's name such as postern.example.com, or an address, without port`),
		value("admin", "hosts", "[a, 'a:80']", `4:14: hosts: "a:80": want a host's name`),
		value("admin", "hosts", "['*']", `4:11: hosts: "*": want a host's name`),
		value("admin", "hosts", "['']", `4:11: hosts: "": want a host's name`),
		value("admin", "tls", "{min_version: '1.3'}", `4:9: unknown key "min_version" in tls (allowed: certificates)`),
		{"no follow-up of refused tokens", minimal + "admin: {address: h:1, tokens: x}\n", []string{"3:31: tokens: a single value: want a list"}},
		{"address and probes", minimal + "admin:\n  probes: h:1\n  address: H:01\n  tokens: [{name: a, role: viewer, token: '" + longToken + "'}]\n",
			[]string{`4:11: probes: "h:1" is taken already, in postern.yaml:5: want one that nothing else has`}},
		{"a listener's address", aSource + "listeners: [{address: h:1}]\nadmin: {probes: h:1}\n", []string{`3:17: probes: "h:1" is taken already, in postern.yaml:2`}},
	})
}

func TestFaultsOfTokens(t *testing.T) {
	setTokens(t)
	t.Setenv("T_SHORT", canary)
	t.Setenv("T_BLANK", canary+" "+canary)
	tokens := func(list string) string { return minimal + "admin:\n  tokens:\n" + list }
	const a = `{name: a, role: viewer, token: '` + longToken + `'}`
	const short, unfit = "token: want at least 16 octets", "token: want printable ASCII without white space, since it travels in a header"
	runFaults(t, []faultCase{
		{"nothing", tokens("    - {}\n"), []string{"5:7: name is missing: want a name", "5:7: role is missing: want viewer, helpdesk or operator", "5:7: token is missing: want a secret that is not empty"}},
		{"role", tokens("    - {name: a, role: admin, token: '" + longToken + "'}\n"), []string{`5:23: role: "admin": want viewer, helpdesk or operator`}},
		{"null", tokens("    - {name: a, role: viewer, token: ~}\n"), []string{"5:31: token is missing: want a secret"}},
		{"empty", tokens("    - {name: a, role: viewer, token: ''}\n"), []string{"5:38: token: want a secret that is not empty"}},
		{"short", tokens("    - {name: a, role: viewer, token: '${T_SHORT}'}\n"), []string{"5:38: " + short}},
		{"short and literal", tokens("    - {name: a, role: viewer, token: 123456789012345}\n"), []string{"5:38: " + short}},
		{"white space", tokens("    - {name: a, role: viewer, token: '${T_BLANK}'}\n"), []string{"5:38: " + unfit}},
		{"a line's end", tokens("    - {name: a, role: viewer, token: \"${T_TOKEN}\\n\"}\n"), []string{"5:38: " + unfit}},
		{"no ASCII", tokens("    - {name: a, role: viewer, token: '${T_TOKEN}é'}\n"), []string{"5:38: " + unfit}},
		{"absent", tokens("    - {name: a, role: viewer, token: file:absent}\n"), []string{"5:38: token: the secret's file can't be read: no such file or directory"}},
		{"names", tokens("    - " + a + "\n    - {name: a, role: viewer, token: '${T_OTHER}'}\n"), []string{`6:14: name: "a" is taken already, in postern.yaml:5: want one that nothing else has`}},
		{"tokens", tokens("    - " + a + "\n    - {name: b, role: operator, token: '${T_TOKEN}'}\n"), []string{"6:40: token: it is the one in postern.yaml:5: want one that nobody else has"}},
		{"a name with a space", tokens("    - {name: a b, role: viewer, token: '" + longToken + "'}\n"), []string{`5:14: name: "a b": want a name`}},
	})
	for _, list := range []string{"${T_SHORT}", "${T_BLANK}", "${T_TOKEN}é"} {
		_, err := loadText(t, tokens("    - "+a+"\n    - {name: b, role: viewer, token: '"+list+"'}\n    - {name: c, role: viewer, token: '"+longToken+"'}\n"))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the fault shows the token, or there is none: %v", list, err)
		}
	}
}
