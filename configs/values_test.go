package configs

import (
	"strconv"
	"strings"
	"testing"
)

// value makes a case of one key: its value stands in line 4 behind the key.
func value(section, key, text, want string) faultCase {
	column := len(key) + 5
	return faultCase{
		name: section + "." + key + " " + text,
		text: minimal + section + ":\n  " + key + ": " + text + "\n",
		want: []string{strings.Replace(want, "@", "4:"+strconv.Itoa(column), 1)},
	}
}

func TestFaultsOfValues(t *testing.T) {
	const duration = "want a duration such as 90s, 15m or 1h30m"
	runFaults(t, []faultCase{
		value("auth", "plaintext", "sometimes", `@: plaintext: "sometimes": want never, loopback or always`),
		value("auth", "plaintext", "Always", `@: plaintext: "Always": want never, loopback or always; did you mean always?`),
		value("auth", "plaintext", "true", `@: plaintext: "true": want never, `),
		value("auth", "failure_delay", "0s", `@: failure_delay: "0s": want more than 0s`),
		value("auth", "failure_delay", "-3s", `@: failure_delay: "-3s": want more than 0s`),
		value("auth", "max_failures", "0", `@: max_failures: "0": want at least 1`),
		value("auth", "max_failures", "1.5", `@: max_failures: "1.5": want a whole number`),
		value("auth", "mechanisms", "PLAIN", `@: mechanisms: a single value: want a list`),
		value("auth", "mechanisms", "[SCRAM-SHA-256]", `4:16: mechanisms: "SCRAM-SHA-256": want PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER`),
		value("auth", "mechanisms", "[XOAUTH]", `4:16: mechanisms: "XOAUTH": want PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER; did you mean XOAUTH2?`),
		value("auth", "mechanisms", "[LOGIN, plain]", `4:23: mechanisms: "plain": want PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER; did you mean PLAIN?`),
		value("auth", "mechanisms", "[PLAIN, LOGIN, PLAIN]", `4:30: mechanisms: "PLAIN" stands here twice, first in postern.yaml:4: want it once`),
		value("timeouts", "handshake", "0s", `@: handshake: "0s": want more than 0s`),
		value("timeouts", "handshake", "10", `@: handshake: "10": `+duration),
		value("timeouts", "login", "90", `@: login: "90": `+duration),
		value("timeouts", "login", "0s", `@: login: "0s": want more than 0s`),
		value("timeouts", "backend", "ten", `@: backend: "ten": `+duration),
		value("timeouts", "backend_login", `""`, `@: backend_login: "": `+duration),
		value("timeouts", "idle", "0", `@: idle: "0": want more than 0s`),
		value("timeouts", "linger", "-1ns", `@: linger: "-1ns": want more than 0s`),
		value("timeouts", "drain_delay", "-1s", `@: drain_delay: "-1s": want at least 0s`),
		value("timeouts", "drain", "-5m", `@: drain: "-5m": want at least 0s`),
		value("timeouts", "keepalive", "1d", `@: keepalive: "1d": `+duration),
		value("timeouts", "keepalive", "9999999h", `@: keepalive: "9999999h": `+duration),
		value("limits", "sessions", "many", `@: sessions: "many": want a whole number`),
		value("limits", "sessions", "-1", `@: sessions: "-1": want at least 1`),
		value("limits", "sessions", "0x10", `@: sessions: "0x10": want a whole number`),
		value("limits", "sessions", "99999999999999999999", `@: sessions: "99999999999999999999": want a whole number`),
		value("limits", "sessions_per_address", "-1", `@: sessions_per_address: "-1": want at least 0`),
		value("limits", "login_memory", "1023KiB", `@: login_memory: "1023KiB": want at least 1MiB`),
		value("limits", "login_memory", "0", `@: login_memory: "0": want at least 1MiB`),
		value("limits", "login_memory", "64MB", `@: login_memory: "64MB": want a size such as`),
		value("limits", "sessions_per_mailbox", "-1", `@: sessions_per_mailbox: "-1": want at least 0`),
		value("limits", "sessions_per_mailbox", "none", `@: sessions_per_mailbox: "none": want a whole number`),
		value("limits", "connections_per_minute", "-1", `@: connections_per_minute: "-1": want at least 0`),
		value("limits", "connections_per_minute", "1/s", `@: connections_per_minute: "1/s": want a whole number`),
		value("limits", "login_interval", "-1s", `@: login_interval: "-1s": want at least 0s`),
		value("limits", "login_interval", "60", `@: login_interval: "60": `+duration),
		value("directory_", "x", "1", `3:1: unknown key "directory_" at the top; did you mean directory?`),
		value("log", "level", "trace", `@: level: "trace": want debug, info, warn or error`),
		value("log", "level", "warning", `@: level: "warning": want debug, info, warn or error`),
		value("log", "format", "jsn", `@: format: "jsn": want text or json; did you mean json?`),
		value("log", "unknown_users", "plaintext", `@: unknown_users: "plaintext": want hash, omit or plain`),
		value("log", "client", "none", `@: client: "none": want full or prefix`),
		value("log", "client", `"two\nlines"`, `@: client: "two\nlines": want full or prefix`),
		value("log", "client", strings.Repeat("x", 200), `@: client: "`+strings.Repeat("x", 80)+`...": want full`),
		value("backends", "include", "''", `@: include: "": want a pattern of file names`),
		value("backends", "include", "'[a'", `@: include: "[a": want a pattern of file names`),
		value("backends", "defaults", "{login: user}", `4:21: login: "user": want mailbox, local or typed`),
		value("backends", "defaults", "{name: x}", `4:14: unknown key "name" in defaults (allowed: login, tls, ca, server_name, insecure_skip_verify, pins, proxy_protocol, xclient, source_address, max_sessions, max_logins, probe_user, probe_password, capabilities, weight, ports)`),
		value("backends", "defaults", "{capabilities: [TOP, STLS]}", `4:34: capabilities: "STLS": want USER, TOP, UIDL, PIPELINING or RESP-CODES`),
		value("backends", "defaults", "{capabilities: TOP}", `4:28: capabilities: a single value: want a list`),
		value("backends", "static", "[{name: a, address: h, capabilities: [uidl]}]", `4:49: capabilities: "uidl": want USER, TOP, UIDL, PIPELINING or RESP-CODES; did you mean UIDL?`),
		value("backends", "refusals", "[{match: '(', code: AUTH}]", `4:22: match: "(": want a regular expression of`),
		value("backends", "refusals", "[{match: '', code: AUTH}]", `4:22: match: "": want a regular expression; an empty one`),
		value("backends", "refusals", "[{match: x, code: '[IN-USE]'}]", `4:31: code: "[IN-USE]": want IN-USE, LOGIN-DELAY, SYS/TEMP, SYS/PERM or AUTH; did you mean IN-USE?`),
	})
}

func TestFaultsOfPerNetwork(t *testing.T) {
	limits := func(entries string) string { return minimal + "limits:\n  per_network:\n" + entries }
	runFaults(t, []faultCase{
		{"no networks", limits("    - sessions: 5\n"), []string{"5:7: networks is missing or empty: want at least one entry"}},
		{"empty networks", limits("    - {networks: [], sessions: 5}\n"), []string{"5:18: networks is missing or empty"}},
		{"no sessions", limits("    - networks: [10.0.0.0/8]\n"), []string{"5:7: sessions is missing: want a whole number"}},
		{"no session at all", limits("    - {networks: [10.0.0.0/8], sessions: 0}\n"), []string{`5:42: sessions: "0": want at least 1`}},
		{"no network", limits("    - {networks: [webmail], sessions: 5}\n"), []string{`5:19: networks: "webmail": want a network`}},
		{"one value", limits("    - {networks: 10.0.0.0/8, sessions: 5}\n"), []string{"5:18: networks: a single value: want a list"}},
		{"another key", limits("    - {networks: [10.0.0.0/8], session: 5}\n"), []string{"5:7: sessions is missing", `5:32: unknown key "session" in per_network; did you mean sessions?`}},
		{"twice in one", limits("    - {networks: [10.0.0.1, 10.0.0.1/32], sessions: 5}\n"), []string{`5:29: networks: "10.0.0.1/32" stands here twice, first in postern.yaml:5: want it once`}},
		{"twice in two", limits("    - {networks: [10.0.0.0/8], sessions: 5}\n    - {networks: [\"::ffff:10.1.0.0/104\"], sessions: 6}\n"), []string{`6:19: networks: "::ffff:10.1.0.0/104" stands here twice, first in postern.yaml:5`}},
	})
}

func TestFaultsOfNetworks(t *testing.T) {
	for _, network := range []string{"x", "10.0.0.0/33", "10.0.0/8", "10.0.0.1-10.0.0.9", "'::1/129'", "'::ffff:10.0.0.0/8'", "'fe80::1%eth0'", "example.com", "''", "'*'"} {
		runFaults(t, []faultCase{
			{"exempt " + network, minimal + "limits:\n  exempt: [" + network + "]\n", []string{`4:12: exempt: "`}},
			{"proxy_protocol " + network, aSource + "listeners:\n  - {address: h:1, proxy_protocol: [" + network + "]}\n", []string{`3:37: proxy_protocol: "`}},
			{"xclient " + network, aSource + "listeners:\n  - {address: h:1, xclient: [10.0.0.1, " + network + "]}\n", []string{`3:40: xclient: "`}},
			{"allow " + network, aSource + "listeners:\n  - address: h:1\n    allow:\n      - " + network + "\n", []string{`5:9: allow: "`}},
		})
	}
}

func TestFaultsOfAddresses(t *testing.T) {
	for _, address := range []string{"110", "127.0.0.1", "'127.0.0.1:'", "127.0.0.1:pop3", "h:65536", "h:-1", "'::1'", "'[::1]'", "'::1:110'", "'a b:1'", "'user@h:1'", "1.2.3:110", "'http://h:1'", "''"} {
		runFaults(t, []faultCase{
			{"listener " + address, aSource + "listeners:\n  - address: " + address + "\n", []string{"3:14: address: \""}},
		})
	}
	for _, address := range []string{":110", "'h:'", "h:0", "h:00", "h:65536", "h:pop3", "h:1:2", "'[::1'", "'[::1]:'", "'[::1]x'", "'[]'", "'a b'", "10.0.0.256", "1.2.3", "10.0.0.1/32", "a..b", "'h\t'", "''", "é.example"} {
		runFaults(t, []faultCase{
			{"backend " + address, minimal + "backends:\n  static:\n    - name: a\n      address: " + address + "\n", []string{"6:16: address: \""}},
		})
	}
}

func TestFaultsOfNames(t *testing.T) {
	for _, name := range []string{"a b", "'a\tb'", `"a\nb"`, `"a\0b"`, "''", "' '", "\"a\u00a0b\"", strings.Repeat("x", 256)} {
		runFaults(t, []faultCase{
			{"backend " + name, minimal + "backends: {static: [{address: h, name: " + name + "}]}\n", []string{"3:40: name: \""}},
			{"alias " + name, minimal + "backends: {static: [{address: h, name: x, aliases: [" + name + "]}]}\n", []string{"3:53: aliases: \""}},
			{"listener " + name, aSource + "listeners: [{address: h:1, name: " + name + "}]\n", []string{"2:34: name: \""}},
		})
	}
	for _, domain := range []string{"'@example.com'", "a@b", "'a b'", ".example.com", "example.com.", "a..b", "'a%b'", "'[1.2.3.4]'", strings.Repeat("a.", 127) + "a"} {
		runFaults(t, []faultCase{
			{"domain " + domain, aListener + "directory: {sources: [{type: file, path: m}], default_domain: " + domain + "}\n", []string{"2:63: default_domain: \""}},
		})
	}
}

func TestFaultsOfTheDirectory(t *testing.T) {
	directory := func(keys string) string {
		return aListener + "directory:\n  sources: [{type: file, path: m}]\n" + keys
	}
	runFaults(t, []faultCase{
		{"ratio above", directory("  shrink_guard: {ratio: 1.01}\n"), []string{`4:25: ratio: "1.01": want at most 1`}},
		{"ratio below", directory("  shrink_guard: {ratio: -0.5}\n"), []string{`4:25: ratio: "-0.5": want at least 0`}},
		{"ratio infinite", directory("  shrink_guard: {ratio: .inf}\n"), []string{`4:25: ratio: ".inf": want a number`}},
		{"ratio Inf", directory("  shrink_guard: {ratio: Inf}\n"), []string{`4:25: ratio: "Inf": want at most 1`}},
		{"ratio no number", directory("  shrink_guard: {ratio: NaN}\n"), []string{`4:25: ratio: "NaN": want a number`}},
		{"ratio percent", directory("  shrink_guard: {ratio: 50%}\n"), []string{`4:25: ratio: "50%": want a number`}},
		{"rows", directory("  shrink_guard: {rows: -1}\n"), []string{`4:24: rows: "-1": want at least 0`}},
		{"empty path", aListener + "directory: {sources: [{type: file, path: ''}]}\n", []string{`2:42: path: "": want the path of a file`}},
		{"freebind", aSource + "listeners: [{address: h:1, freebind: yes}]\n", []string{`2:38: freebind: "yes": want true or false`}},
		{"freebind number", aSource + "listeners: [{address: h:1, freebind: 1}]\n", []string{`2:38: freebind: "1": want true or false`}},
	})
}

func TestFaultsOfClashes(t *testing.T) {
	static := func(list string) string { return minimal + "backends:\n  static:\n" + list }
	runFaults(t, []faultCase{
		{"listeners' addresses", "listeners:\n  - {address: 'h:1', name: a}\n  - {address: H:01, name: b}\n" + aSource,
			[]string{`3:15: address: "H:01" is taken already, in postern.yaml:2: want one that nothing else has`}},
		{"wildcards", "listeners:\n  - address: :110\n  - address: '[::]:110'\n" + aSource, []string{`3:14: address: "[::]:110" is taken already`}},
		{"listeners' names", "listeners:\n  - {address: h:1, name: a}\n  - {address: h:2, name: a}\n" + aSource, []string{`3:26: name: "a" is taken already, in postern.yaml:2`}},
		{"a name like an unnamed listener", "listeners:\n  - {address: h:1}\n  - {address: h:2, name: h:1}\n" + aSource, []string{`3:26: name: "h:1" is taken already`}},
		{"unnamed on port 0", "listeners:\n  - address: h:0\n  - address: h:0\n" + aSource, []string{`3:14: address: "h:0" is taken already`}},
		{"names", static("    - {name: a, address: h}\n    - {name: A, address: i}\n"), []string{`6:14: name: "A" is taken already, in postern.yaml:5`}},
		{"alias like a name", static("    - {name: a, address: h, aliases: [x, B]}\n    - {name: b, address: i}\n"), []string{`5:42: aliases: "B" is taken already, in postern.yaml:6`}},
		{"aliases", static("    - {name: a, address: h, aliases: [x]}\n    - {name: b, address: i, aliases: [X]}\n"), []string{`6:39: aliases: "X" is taken already, in postern.yaml:5`}},
		{"addresses", static("    - {name: a, address: h}\n    - {name: b, address: 'H:110'}\n"), []string{`6:26: address: "H:110" is taken already, in postern.yaml:5`}},
		{"addresses of IPv6", static("    - {name: a, address: '::1'}\n    - {name: b, address: [i, '[0:0::1]:110']}\n"), []string{`6:30: address: "[0:0::1]:110" is taken already`}},
		{"an address twice in one", static("    - {name: a, address: [h, 'h:110']}\n"), []string{`5:30: address: "h:110" is taken already`}},
		{"a name like another's address", static("    - {name: a, address: h}\n    - {name: 'H:110', address: i}\n"), []string{`6:14: name: "H:110" is another backend's address, in postern.yaml:5`}},
		{"an alias like another's address", static("    - {name: a, address: i, aliases: ['h:110']}\n    - {name: b, address: h}\n"), []string{`5:39: aliases: "h:110" is another backend's address`}},
		{"no clash with what is refused", static("    - {name: 'a b', address: h:x}\n    - {name: 'a b', address: h:x}\n"), []string{`5:14: name:`, `5:30: address:`, `6:14: name:`, `6:30: address:`}},
	})
}
