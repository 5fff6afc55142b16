package configs

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// faultCase is a file and its faults: each a LINE:COLUMN and how its message
// begins. All faults must be named, in their order.
type faultCase struct {
	name, text string
	want       []string
}

func runFaults(t *testing.T, cases []faultCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadText(t, c.text)
			expectFaults(t, err, "postern.yaml:", c.want)
		})
	}
}

func expectFaults(t *testing.T, err error, prefix string, want []string) {
	t.Helper()
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("want Faults, got %v", err)
	}
	same := slices.EqualFunc(strings.Split(faults.Error(), "\n"), want, func(got, want string) bool {
		return strings.HasPrefix(got, prefix+want)
	})
	if !same {
		t.Errorf("got\n%v\nwant\n%s%s", err, prefix, strings.Join(want, "\n"+prefix))
	}
}

func TestFaultsOfSyntax(t *testing.T) {
	runFaults(t, []faultCase{
		{"two values", "listeners: 1\nauth: b: c\n", []string{"2:7: not YAML: "}},
		{"open quote", "log: {}\nauth: \"never\n", []string{"2:7: not YAML: "}},
		{"open list", "limits:\n  exempt: [a\nlog: {}\n", []string{"3:1: not YAML: "}},
		{"tab indents", "limits:\n\tsessions: 1\n", []string{"2:1: not YAML: "}},
		{"bare brackets", "x: 1\naddress: [::1]:110\n", []string{"2:15: not YAML: value is not allowed in this context; a value with brackets or braces in it wants quotes"}},
		{"bare variable in a flow", "limits: {sessions: ${N}}\n", []string{"1:21: not YAML: ',' or '}' must be specified; a value with"}},
		{"not UTF-8", "log: {}\n# \xe9\xff\n", []string{"2:3: want UTF-8 text"}},
		{"deep flow", "limits: " + strings.Repeat("[", 5000), []string{"1:109: not YAML: want at most 100 levels"}},
		{"deep block", strings.Repeat("- ", 5000) + "x", []string{"1:1001: not YAML: want at most 100 levels"}},
		{"endless keys", strings.Repeat("a:\n", maxTokens), []string{"100001:1: not YAML: want at most 200000 words"}},
		{"second document", minimal + "---\nlog: {}\n", []string{"3:1: want one document"}},
		{"second document without a mark", minimal + "...\nlog: {}\n", []string{"4:1: want one document"}},
	})
}

func TestFaultsOfForm(t *testing.T) {
	runFaults(t, []faultCase{
		{"a list", "- a\n", []string{"1:1: a list: want a mapping with the keys listeners, "}},
		{"a word", "  hello\n", []string{"1:3: a single value: want a mapping"}},
		{"unknown key at the top", minimal + "gateway: {}\n", []string{`3:1: unknown key "gateway" at the top (allowed: listeners, tls, auth, `}},
		{"later key upgrade", minimal + "timeouts: {upgrade: 1h}\n", []string{`3:12: unknown key "upgrade" in timeouts`}},
		{"slip", minimal + "limits:\n  sesions: 3\n", []string{`4:3: unknown key "sesions" in limits; did you mean sessions? (allowed: sessions, login_memory, sessions_per_address, `}},
		{"wrong case", minimal + "Log: {}\n", []string{`3:1: unknown key "Log" at the top; did you mean log?`}},
		{"unknown key in an element", aSource + "listeners:\n  - address: h:1\n    adress: h:2\n", []string{`4:5: unknown key "adress" in listeners; did you mean address?`}},
		{"unknown key holding a tree", minimal + "x: {y: {z: [1, 2]}}\n", []string{`3:1: unknown key "x" at the top (`}},
		{"double key", minimal + "log:\n  level: info\n  level: warn\n", []string{"5:3: key level stands here twice, first in line 4: want it once"}},
		{"double section", minimal + aListener, []string{"3:1: key listeners stands here twice, first in line 1"}},
		{"double key in a flow", minimal + "log: {level: info, level: warn}\n", []string{"3:20: key level stands here twice"}},
		{"list for a section", minimal + "auth:\n  - 1\n", []string{"4:3: auth: a list: want a mapping with the keys plaintext, "}},
		{"value for a section", minimal + "auth: never\n", []string{"3:7: auth: a single value: want a mapping"}},
		{"value for a list", aSource + "listeners: 127.0.0.1:110\n", []string{"2:12: listeners: a single value: want a list"}},
		{"value for a list of values", minimal + "limits: {exempt: 10.0.0.0/8}\n", []string{"3:18: exempt: a single value: want a list"}},
		{"mapping for a list", aListener + "directory:\n  sources:\n    type: file\n", []string{"4:5: sources: a mapping: want a list"}},
		{"mapping for a value or a list", minimal + "backends: {include: {a: b}}\n", []string{"3:21: include: a mapping: want a value or a list of values"}},
		{"list for a value", minimal + "log: {level: [info]}\n", []string{"3:14: level: a list: want a single value"}},
		{"mapping for a value", minimal + "log:\n  level:\n    a: b\n", []string{"5:5: level: a mapping: want a single value"}},
		{"value in a list of sections", aSource + "listeners: [h:1]\n", []string{"2:13: listeners: a single value: want a mapping with"}},
		{"list in a list", minimal + "limits:\n  exempt:\n    - - h\n", []string{"5:7: exempt: a list: want a single value"}},
		{"empty element", minimal + "limits:\n  exempt:\n    - 10.0.0.1\n    -\n", []string{"6:5: exempt: want no empty entry"}},
		{"empty section element", aSource + "listeners:\n  - ~\n", []string{"3:5: listeners: want no empty entry"}},
		{"anchor", minimal + "log: &l {level: info}\n", []string{"3:6: log: an anchor (&): want the value written out"}},
		{"alias", minimal + "log: {level: *x}\n", []string{"3:14: level: an alias (*): want the value written out"}},
		{"tag", minimal + "log: {level: !!str info}\n", []string{"3:14: level: a tag (!): want the value written out"}},
		{"merge key", minimal + "log:\n  <<: {level: info}\n", []string{"4:3: a merge key (<<) can't be a key here"}},
		{"complex key", minimal + "log:\n  ? level\n  : info\n", []string{"4:3: a complex key (?) can't be a key here"}},
		{"directive", "%YAML 1.2\n---\n" + minimal, []string{"1:1: a directive (%): want the value written out", "2:1: want one document"}},
		{"characters, not octets", minimal + "log: {'é': \"éé\", x: 1}\n", []string{`3:7: unknown key "é"`, `3:18: unknown key "x"`}},
		{"behind a block text", minimal + "log:\n  level: |-\n    info\n  x: 1\n", []string{`6:3: unknown key "x"`}},
		{"CRLF", strings.ReplaceAll("# a comment\n"+minimal+"log:\n  level: info\n  x: 1\n", "\n", "\r\n"), []string{`6:3: unknown key "x"`}},
	})
}

func TestFaultsOfMissing(t *testing.T) {
	runFaults(t, []faultCase{
		{"no listener", aSource, []string{"1:1: listeners is missing or empty: want at least one entry"}},
		{"empty listeners", "listeners: []\n" + aSource, []string{"1:12: listeners is missing or empty"}},
		{"null listeners", "listeners:\n" + aSource, []string{"1:1: listeners is missing or empty"}},
		{"no directory", aListener, []string{"1:1: sources is missing or empty"}},
		{"no source", aListener + "directory:\n  default_domain: example.com\n", []string{"3:3: sources is missing or empty"}},
		{"empty sources", aListener + "directory:\n  sources: []\n", []string{"3:12: sources is missing or empty"}},
		{"listener without address", aSource + "listeners:\n  - name: pop\n", []string{"3:5: address is missing: want HOST:PORT"}},
		{"empty listener", aSource + "listeners: [{}]\n", []string{"2:13: address is missing"}},
		{"nobody allowed", aSource + "listeners: [{address: h:1, allow: []}]\n", []string{"2:35: allow is missing or empty"}},
		{"source without type", aListener + "directory: {sources: [{path: m}]}\n", []string{"2:23: type is missing: want file"}},
		{"source without path", aListener + "directory:\n  sources:\n    - type: file\n", []string{"4:7: path is missing: want the path of a file"}},
		{"backend without all", minimal + "backends:\n  static:\n    - login: local\n", []string{"5:7: address is missing or empty", "5:7: name is missing: want a name"}},
		{"backend with no address", minimal + "backends: {static: [{name: a, address: []}]}\n", []string{"3:40: address is missing or empty"}},
		{"refusal without code", minimal + "backends: {refusals: [{match: x}]}\n", []string{"3:23: code is missing: want IN-USE, LOGIN-DELAY, "}},
		{"refusal without match", minimal + "backends: {refusals: [{code: AUTH}]}\n", []string{"3:23: match is missing: want a regular expression"}},
	})
}

func TestFaultsOfAnEmptyFile(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "~\n"} {
		_, err := loadText(t, text)
		expectFaults(t, err, "postern.yaml:1:1: ", []string{
			"listeners is missing or empty: want at least one entry",
			"sources is missing or empty: want at least one entry",
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	runFaults(t, []faultCase{{"many", `# every kind at once
listeners:
  - address: 127.0.0.1:1110
    nmae: x
  - {address: 127.0.0.1:1110, deny: [nobody]}
auth: {plaintext: loopbak, failure_delay: 0s}
timeouts:
  idle: 15
  linger: &l 3s
limits:
  sessions: 0
backends:
  static:
    - name: a
      name: b
    - aliases: [A]
      address: [h, 1.2.3, "${POSTERN_UNSET}"]
tsl: {}
`, []string{
		"2:1: sources is missing or empty",
		`4:5: unknown key "nmae" in listeners; did you mean name?`,
		`5:15: address: "127.0.0.1:1110" is taken already, in postern.yaml:3: want`,
		`5:38: deny: "nobody": want a network such as`,
		`6:19: plaintext: "loopbak": want never, loopback or always; did you mean loopback?`,
		`6:43: failure_delay: "0s": want more than 0s`,
		`8:9: idle: "15": want a duration`,
		"9:11: linger: an anchor (&): want the value written out",
		`11:13: sessions: "0": want at least 1`,
		"14:7: address is missing or empty",
		"15:7: key name stands here twice, first in line 14",
		"16:7: name is missing",
		`16:17: aliases: "A" is taken already, in postern.yaml:14: want`,
		`17:20: address: "1.2.3": want HOST:PORT`,
		`17:27: address: "${POSTERN_UNSET}": the environment variable POSTERN_UNSET is not set`,
		`18:1: unknown key "tsl" at the top (allowed: `,
	}}})
}
