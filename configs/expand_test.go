package configs

import (
	"strings"
	"testing"
	"time"
)

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "one", "B_2": "two", "_": "three", "EMPTY": "", "NEST": "${A}", "LONG": strings.Repeat("x", maxExpanded)}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	const form = "want ${NAME} with letters, digits and _ in NAME; a literal ${ is written $${"
	for _, test := range []struct{ text, want, err string }{
		{"", "", ""},
		{"plain", "plain", ""},
		{"${A}", "one", ""},
		{"x${A}y${B_2}${_}z", "xoneytwothreez", ""},
		{"${EMPTY}", "", ""},
		{"${NEST}", "${A}", ""},
		{"$${A}", "${A}", ""},
		{"$$${A}", "$${A}", ""},
		{"$${${A}}", "${one}", ""},
		{"$A $ $$ }{ 5$", "$A $ $$ }{ 5$", ""},
		{"${A", "", form},
		{"${", "", form},
		{"${}", "", form},
		{"${1A}", "", form},
		{"${A B}", "", form},
		{"${A:-x}", "", form},
		{"${${A}}", "", form},
		{"${é}", "", form},
		{"${" + strings.Repeat("A", 300) + "}", "", form},
		{"${A}${NONE}", "", "the environment variable NONE is not set"},
		{"${a}", "", "the environment variable a is not set"},
		{"${LONG}${A}", "", "want at most 65536 octets once the environment variables are in"},
	} {
		got, err := expand(test.text, lookup)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%q: got %q, %v", test.text, got, err)
		}
	}
}

func TestExpandedValuesHaveEveryType(t *testing.T) {
	for name, value := range map[string]string{"T_HOST": "192.0.2.9", "T_NUM": "7", "T_UNIT": "s", "T_BOOL": "true", "T_WORD": "js", "T_NET": "10.0.0.0/8", "T_RATIO": "0.25"} {
		t.Setenv(name, value)
	}
	c := mustLoad(t, `listeners: [{address: "${T_HOST}:110", freebind: "${T_BOOL}", allow: ["${T_NET}"]}]
directory: {sources: [{type: file, path: "${T_WORD}/m"}], shrink_guard: {ratio: "${T_RATIO}"}}
timeouts:
  idle: 1${T_NUM}${T_UNIT}
limits:
  sessions: ${T_NUM}
log: {format: "${T_WORD}on"}
backends: {refusals: [{match: "a$|$${b|${T_WORD}", code: AUTH}]}
`)
	l := c.Listeners[0]
	if l.Address != "192.0.2.9:110" || l.Name != "192.0.2.9:110" || !l.Freebind || l.Allow[0].String() != "10.0.0.0/8" ||
		c.Timeouts.Idle != 17*time.Second || c.Limits.Sessions != 7 || c.Directory.ShrinkGuard.Ratio != 0.25 ||
		c.Log.Format != FormatJSON || c.Directory.Sources[0].Path != "js/m" || c.Backends.Refusals[0].Match != "a$|${b|js" {
		t.Errorf("got %+v", c)
	}
}

// TestExpandedValuesAreNoYAML: what a variable holds can't add keys, entries or
// nulls.
func TestExpandedValuesAreNoYAML(t *testing.T) {
	t.Setenv("T_LINES", "info\nlimits: {sessions: 1}")
	t.Setenv("T_LIST", "[10.0.0.0/8, 192.0.2.0/24]")
	t.Setenv("T_NULL", "null")
	runFaults(t, []faultCase{
		{"lines", minimal + "log: {level: \"${T_LINES}\"}\n", []string{`3:14: level: "${T_LINES}": want debug`}},
		{"list", minimal + "limits: {exempt: \"${T_LIST}\"}\n", []string{`3:18: exempt: a single value: want a list`}},
		{"null", minimal + "log: {level: \"${T_NULL}\"}\n", []string{`3:14: level: "${T_NULL}": want debug`}},
		{"a key", minimal + "\"${T_NULL}\": 1\n", []string{`3:1: unknown key "${T_NULL}" at the top`}},
	})
}

// TestExpandedValuesStayOutOfFaults: each kind of fault, with a canary from the
// environment.
func TestExpandedValuesStayOutOfFaults(t *testing.T) {
	const canary = "Canary-9h3"
	t.Setenv("T_CANARY", canary)
	t.Setenv("T_CANARY_TEXT", canary+" (")
	t.Setenv("T_CANARY_PORT", canary+":110")
	_, err := loadText(t, `listeners:
  - {address: "${T_CANARY_PORT}", name: "${T_CANARY}"}
  - {address: "${T_CANARY_PORT}", name: "${T_CANARY_TEXT}", allow: ["${T_CANARY}"]}
auth: {plaintext: "${T_CANARY}", failure_delay: "${T_CANARY}", max_failures: "${T_CANARY}"}
directory:
  default_domain: "${T_CANARY_TEXT}"
  sources: [{type: "${T_CANARY}", path: "${T_CANARY}"}]
  shrink_guard: {ratio: "${T_CANARY}"}
backends:
  include: ["[${T_CANARY}"]
  static:
    - {name: "${T_CANARY}", address: "${T_CANARY}"}
    - {name: "${T_CANARY}", address: "${T_CANARY_PORT}", aliases: ["${T_CANARY_PORT}", "${T_CANARY_TEXT}"]}
  refusals: [{match: "${T_CANARY_TEXT}", code: "${T_CANARY}"}]
`)
	faults, ok := err.(Faults)
	if !ok || len(faults) != 16 {
		t.Fatalf("want 16 faults, got %d:\n%v", len(faults), err)
	}
	if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(canary)) {
		t.Errorf("a value from the environment is shown:\n%v", err)
	}
}
