package mapfile

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"postern/directory"
)

// entries reads text, with example.com as default domain.
func entries(t *testing.T, text string) (map[string]directory.Value, error) {
	t.Helper()
	table, err := Read(strings.NewReader(text), Options{File: "m.map", DefaultDomain: "example.com"})
	if err != nil {
		return nil, err
	}
	return maps.Collect(table.All()), nil
}

func TestLines(t *testing.T) {
	const moving, suspended = directory.Moving, directory.Suspended
	long := "alice@example.com guest-01" + strings.Repeat(" ", maxLine-26)
	for text, want := range map[string]map[string]directory.Value{
		"":                     {},
		"\n\n  \n\t\n":         {},
		"# alice guest-01":     {},
		"  # alice guest-01":   {},
		"#":                    {},
		"\xef\xbb\xbf":         {},
		"alice guest-01":       {"alice@example.com": {Backend: "guest-01"}},
		"alice guest-01\n":     {"alice@example.com": {Backend: "guest-01"}},
		"alice guest-01\r\n":   {"alice@example.com": {Backend: "guest-01"}},
		" \talice\t guest-01 ": {"alice@example.com": {Backend: "guest-01"}},
		long:                   {"alice@example.com": {Backend: "guest-01"}},
		long[:maxLine] + "\r\nb@b.example g": {
			"alice@example.com": {Backend: "guest-01"}, "b@b.example": {Backend: "g"}},
		"\xef\xbb\xbfalice guest-01\r\nBob guest-02\r\n": {
			"alice@example.com": {Backend: "guest-01"}, "bob@example.com": {Backend: "guest-02"}},
		"a@b.example guest-01 login=bob":                {"a@b.example": {Backend: "guest-01", Login: "bob"}},
		"a@b.example guest-01 login=a=b":                {"a@b.example": {Backend: "guest-01", Login: "a=b"}},
		"a@b.example guest-01 state=moving login=a":     {"a@b.example": {Backend: "guest-01", Login: "a", State: moving}},
		"a@b.example guest-01 login=a state=suspended":  {"a@b.example": {Backend: "guest-01", Login: "a", State: suspended}},
		"a@b.example guest-01 state=active":             {"a@b.example": {Backend: "guest-01"}},
		"@Example.ORG guest-03 login={local}@{address}": {"@example.org": {Backend: "guest-03", Login: "{local}@{address}"}},
		"@example.org guest-03 # the rest":              {"@example.org": {Backend: "guest-03"}},
		"@example.org guest-03\t#login=x":               {"@example.org": {Backend: "guest-03"}},
		"a#b guest#1 login=x#y":                         {"a#b@example.com": {Backend: "guest#1", Login: "x#y"}},
		"%23a g":                                        {"#a@example.com": {Backend: "g"}},
		"bob%20smith g login=b%20s%25":                  {"bob smith@example.com": {Backend: "g", Login: "b s%"}},
		"a%25b.example g":                               {"a@b.example": {Backend: "g"}},
		"a%40b.example g%3d":                            {"a@b.example": {Backend: "g="}},
		"b%c3%bccher g":                                 {"bücher@example.com": {Backend: "g"}},
		"BÜCHER 2001:db8::1":                            {"bücher@example.com": {Backend: "2001:db8::1"}},
		"a:b g":                                         {"a:b@example.com": {Backend: "g"}},
		"a%3A g":                                        {"a:@example.com": {Backend: "g"}},
		"a@b.example x@guest":                           {"a@b.example": {Backend: "x@guest"}}, // no popmap line
		// Perdition's
		"alice: guest-01":                        {"alice@example.com": {Backend: "guest-01"}},
		"alice:\tguest-01:110 # old":             {"alice@example.com": {Backend: "guest-01:110"}},
		"alice: alice2@guest-01:110":             {"alice@example.com": {Backend: "guest-01:110", Login: "alice2"}},
		"alice: alice2@[2001:db8::1]:110":        {"alice@example.com": {Backend: "[2001:db8::1]:110", Login: "alice2"}},
		"alice: [2001:db8::1]":                   {"alice@example.com": {Backend: "[2001:db8::1]"}},
		"alice: a@b.example@guest-01":            {"alice@example.com": {Backend: "guest-01", Login: "a@b.example"}},
		"alice@b.example: guest-01 state=moving": {"alice@b.example": {Backend: "guest-01", State: moving}},
		"alice: guest-01 login=x":                {"alice@example.com": {Backend: "guest-01", Login: "x"}},
		"horms:foo.bar:110":                      {"horms@example.com": {Backend: "foo.bar:110"}},
		"jain:jane@foo.bar # short":              {"jain@example.com": {Backend: "foo.bar", Login: "jane"}},
		"@example.org: guest-01":                 {"@example.org": {Backend: "guest-01"}},
	} {
		got, err := entries(t, text)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%.60q: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

func TestFaultyLines(t *testing.T) {
	for text, want := range map[string]string{
		"alice":                           "1:6: no backend",
		"alice # guest-01":                "1:6: no backend",
		"alice@example.com":               "1:18: no backend",
		"alice:":                          "1:6: no backend",
		"alice:x@":                        "1:9: no backend",
		"alice: x@":                       "1:10: no backend",
		": guest-01":                      "1:1: no address",
		":guest-01":                       "1:1: no address",
		"alice: @guest-01":                "1:8: an empty login",
		"alice: x@g login=y":              "1:18: a second login",
		"alice g login=x login=x":         "1:23: a second login",
		"alice g state=moving state=m":    "1:28: a second state",
		"alice g state=active state=x":    "1:28: a second state",
		"alice g login":                   "1:15: an empty login",
		"alice g login=":                  "1:15: an empty login",
		"alice g state=":                  "1:15: state \"\": want active, suspended or moving",
		"alice g state=Moving":            "1:15: state \"Moving\": want",
		"alice g Login=x":                 "1:9: \"Login=x\" is no attribute: want login=NAME or state=",
		"alice g x":                       "1:9: \"x\" is no attribute",
		"alice g =x":                      "1:9: \"=x\" is no attribute",
		"alice g login=x password=canary": "1:17: \"password=canary\" is no attribute",
		"alice g login={user}":            "1:15: login \"{user}\": only {local} and {address}",
		"alice g login={local":            "1:15: login",
		"alice g login=" + strings.Repeat("x", 249): "1:15: login is longer than 248 octets",
		"alice%0D%0ADELE g":                         "1:6: %0D is a control octet",
		"alice g%0a":                                "1:8: %0a is a control octet",
		"alice g login=x%0d%0aPASS":                 "1:16: %0d is a control octet",
		"alice g login=%00":                         "1:15: %00 is a control octet",
		"alice g login=%7F":                         "1:15: %7F is a control octet",
		"alice g login=%09":                         "1:15: %09 is a control octet",
		"alice g state=%0a":                         "1:15: %0a is a control octet",
		"alice g login=%":                           "1:15: % without two hexadecimal digits",
		"alice g login=%2":                          "1:15: % without two hexadecimal digits",
		"alice g login=%2g":                         "1:15: % without two hexadecimal digits",
		"alice%example.com g":                       "1:6: % without two hexadecimal digits",
		"a\x00lice g":                               "1:2: control octet 0x00",
		"a\x0blice g":                               "1:2: control octet 0x0b",
		"alice g\rbob g":                            "1:8: control octet 0x0d",
		"alice g\r\r\n":                             "1:8: control octet 0x0d",
		"alice g # \x1b[2J":                         "1:11: control octet 0x1b",
		"\xff\xfea\x00l\x00":                        "1:4: control octet 0x00", // UTF-16
		"a\xff g":                                   "1:1: address \"a\\xff\": the name is not UTF-8",
		" @ g":                                      "1:2: address \"@\": nothing behind the @",
		"%20 g":                                     "1:1: address \" \": white space",
		"a%20@b g":                                  "1:1: address \"a @b\": white space",
		"@b%20c g":                                  "1:1: address \"@b c\": the domain",
		"a@ g":                                      "1:1: address \"a@\": nothing behind the @",
		strings.Repeat("a", 255) + " g":             "1:1: address \"aaa",
		strings.Repeat("a", maxLine) + " g":         "1:1: the line is longer than 4096 octets",
		"\n# x\n\n  alice\tg\tx=y":                  "4:11: \"x=y\" is no attribute",
		"\xef\xbb\xbf\r\nalice\r\n":                 "2:6: no backend",
		"alice g\n# x\nALICE h":                     "3:1: alice@example.com has an entry already, in line 1",
		"x\nalice g\nalice: h\nalice:i":             "1:2: no backend behind the address\nm.map:3:1: alice@example.com has an entry already, in line 2\nm.map:4:1: alice@example.com has an entry already, in line 2",
		"@example.org g\n@EXAMPLE.org. h":           "2:1: @example.org has an entry already, in line 1",
		"x\n" + strings.Repeat("y", 1<<20) + "\nalice g\nz q=": "2:1: the line is longer",
	} {
		got, err := entries(t, text)
		if err == nil {
			t.Errorf("%.60q is taken: %v", text, got)
			continue
		}
		if !strings.Contains("\n"+err.Error(), "\nm.map:"+want) {
			t.Errorf("%.60q: %v, want m.map:%s", text, err, want)
		}
	}
}

// FuzzLine: what is read can be written, and is read as the same again.
func FuzzLine(f *testing.F) {
	for _, text := range []string{
		"alice@example.com guest-01", "bob g login=a%20b state=moving", "alice: alice2@[2001:db8::1]:110", "a:b", "#", "%23 g",
		"a%3A g", "@example.org g login={local}", "a@b c#d login=x=y", "b\xc3\xbc g", "a g%23 state=active", "a g login=%FF", "a%25%25 g",
	} {
		f.Add(text, "example.com")
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, text, domain string) {
		if domain != "" {
			var err error
			if domain, err = directory.Domain(domain); err != nil {
				t.Skip()
			}
		}
		o := Options{File: "m.map", DefaultDomain: domain}
		table, err := Read(strings.NewReader(text), o)
		if err != nil {
			if table != nil {
				t.Errorf("%q: a table in spite of %v", text, err)
			}
			return
		}
		var written bytes.Buffer
		for address, v := range table.All() {
			if strings.ContainsAny(address+v.Backend+v.Login, "\r\n\x00") {
				t.Errorf("%q: control octets in %q, %+v", text, address, v)
			}
			written.Write(append(Append(nil, address, v), '\n'))
		}
		again, err := Read(bytes.NewReader(written.Bytes()), o)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, written.Bytes(), err)
		}
		if before, after := maps.Collect(table.All()), maps.Collect(again.All()); !maps.Equal(before, after) {
			t.Errorf("%q: %v became %v by %q", text, before, after, written.Bytes())
		}
	})
}
