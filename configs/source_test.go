package configs

import (
	"testing"
	"time"
)

// sources writes a directory of these sources, whose first stands in line 3.
func sources(lines string) string { return aListener + "directory:\n  sources:\n" + lines }

// policy writes a directory of one source, with more keys from line 5 on.
func policy(lines string) string { return sources("    - {type: file, path: m}\n") + lines }

func TestFaultsOfSources(t *testing.T) {
	runFaults(t, []faultCase{
		{"unknown type", sources("    - {type: consule, prefix: x}\n"),
			[]string{`4:14: type: "consule": want file, consul, sql, ldap or auth_http; did you mean consul?`}},
		{"another type's key", sources("    - {type: consul, prefix: x, path: y}\n"),
			[]string{`4:39: key path is not one of type consul (allowed: type, name, address, prefix, token, namespace, partition, datacenter, tls)`}},
		{"what consul needs", sources("    - {type: consul}\n"),
			[]string{`4:7: prefix is missing: want a text of 1 to 4096 octets without control characters`}},
		{"what sql needs", sources("    - {type: sql, driver: oracle}\n"), []string{
			`4:7: dsn is missing: want a secret that is not empty`,
			`4:7: query is missing: want a text of 1 to 4096 octets without control characters`,
			`4:27: driver: "oracle": want postgres or mysql`,
		}},
		{"what ldap needs", sources("    - {type: ldap, urls: []}\n"), []string{
			`4:7: backend is missing: want a text of 1 to 4096 octets without control characters`,
			`4:7: filter is missing: want one such as (mail={address}), unless mode is follow`,
			`4:26: urls is missing or empty: want at least one entry`,
		}},
		{"ldap without password", sources("    - {type: ldap, urls: ldap://h, filter: '(mail={address})', backend: b, bind_dn: cn=x}\n"),
			[]string{`4:85: bind_dn: want bind_password too: an empty one is no authentication (RFC 4513, section 5.1.2)`}},
		{"certificate without key", sources("    - {type: consul, prefix: x, tls: {cert: a.pem}}\n"),
			[]string{`4:38: tls: want cert and key together`}},
		{"a judge before others", sources("    - {type: auth_http, urls: http://h/auth}\n    - {type: file, path: m}\n"),
			[]string{`4:14: type: auth_http judges the password too: want it last, so that the others are asked first`}},
		{"two names", sources("    - {type: file, path: a, name: x}\n    - {type: file, path: b, name: x}\n"),
			[]string{`5:35: name: "x" is taken already, in postern.yaml:4: want one that nothing else has`}},
		{"a judge as shadow", policy("  shadow: [{type: auth_http, urls: http://h/auth}]\n"),
			[]string{`5:19: type: auth_http counts every question as a login: it can't be a shadow`}},
	})
}

func TestFaultsOfPolicies(t *testing.T) {
	runFaults(t, []faultCase{
		{"unknown", policy("  unknown: maybe\n"), []string{`5:12: unknown: "maybe": want reject, hash or backend:NAME`}},
		{"unknown without a name", policy("  unknown: 'backend:'\n"), []string{`5:12: unknown: "backend:": want reject, hash or backend:NAME`}},
		{"unknown backend", policy("  unknown: backend:nobody\n"),
			[]string{`5:12: unknown: "backend:nobody": want the name of a backend in backends.static`}},
		{"on_move", policy("  on_move: wait\n"), []string{`5:12: on_move: "wait": want end or keep`}},
		{"two doors", policy("  socketmap: [{socket: s, address: h:1}]\n"), []string{`5:15: socketmap: want either socket or address in each entry`}},
		{"transport", policy("  socketmap: [{socket: s, transport: 'smtp:{nobody}'}]\n"),
			[]string{`5:38: transport: "smtp:{nobody}": want only these filled in: {host}, {port}, {smtp}, {lmtp}, {imap}, {backend}`}},
	})
}

func TestSources(t *testing.T) {
	c := mustLoad(t, policy(`  unknown: backend:OLD
  shadow: [{type: sql, driver: mysql, dsn: x, query: "SELECT 1", ttl: 5s}]
  on_move: keep
backends: {static: [{name: old, address: h}]}
`))
	shadow := c.Directory.Shadow[0]
	if shadow.TTL != 5*time.Second || shadow.NegativeTTL != 10*time.Second || shadow.Stale != 24*time.Hour || shadow.Cache != 100000 {
		t.Errorf("shadow: %+v", shadow)
	}
	if c.Directory.Unknown.Backend() != "OLD" || c.Directory.OnMove != OnMoveKeep {
		t.Errorf("%+v", c.Directory)
	}
	if Unknown(UnknownHash).Backend() != "" {
		t.Error("hash names a backend")
	}
}
