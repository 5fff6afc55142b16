package pop3test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseScript(t *testing.T) {
	steps, err := parse([]byte("# a comment\n\nC: USER alice\r\nS2: +OK ...\nb12<\nC-raw: \"a\\r\\n\" * 3\nwait 3s\nb3-dial 1\nb2>-raw: \"\\x00\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`3 C "USER alice\r\n" 0s 0`,
		`4 C2 "" 0s 0`,
		`5 b12 "\r\n" 0s 0`,
		`6 C "a\r\na\r\na\r\n" 0s 0`,
		`7 C "" 3s 0`,
		`8 b3 "" 0s 1`,
		`9 b2 "\x00" 0s 0`,
	} {
		if i >= len(steps) {
			t.Fatalf("%d steps", len(steps))
		}
		s := steps[i]
		if got := fmt.Sprintf("%d %v %q %v %d", s.line, s.wire, s.octets, s.duration, s.listener); got != want {
			t.Errorf("step %d: got %s, want %s", i, got, want)
		}
	}
	if steps[4].duration != 3*time.Second {
		t.Errorf("wait %v", steps[4].duration)
	}
}

func TestParseScriptFaults(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"USER alice", "nothing a transcript knows"},
		{" C: USER alice", "nothing a transcript knows"},
		{"c: USER alice", "nothing a transcript knows"},
		{"B> USER", "nothing a transcript knows"},
		{"C USER", "nothing a transcript knows"},
		{"C> USER", "nothing a transcript knows"},
		{"C:USER", "nothing a transcript knows"},
		{"b: +OK", "nothing a transcript knows"},
		{"b<-raw: \"x\"", "nothing a transcript knows"},
		{"S-dial", "nothing a transcript knows"},
		{"b>-dial", "nothing a transcript knows"},
		{"C~ x", "nothing a transcript knows"},
		{"boom", "nothing a transcript knows"},
		{"C1: USER", "a number is 2 to 99"},
		{"C0: USER", "a number is 2 to 99"},
		{"C02: USER", "a number is 2 to 99"},
		{"b100> USER", "a number is 2 to 99"},
		{"b99999999999999999999> USER", "a number is 2 to 99"},
		{"C: PASS secret ", "white space at the end"},
		{"C: PASS secret\t", "white space at the end"},
		{"S~ (", "missing closing )"},
		{"S~ a)(b", "unexpected )"},
		{"C-raw: QUIT", "want a Go string"},
		{"C-raw:", "want a Go string"},
		{"C-raw: \"QUIT", "want a Go string"},
		{"C-raw: \"x\"y", "what is behind the string?"},
		{"C-raw: \"x\" * many", "invalid syntax"},
		{"C-raw: \"x\" * 0", "want 1 to"},
		{"C-raw: \"x\" * -1", "want 1 to"},
		{"C-raw: \"\"", "want 1 to"},
		{"C-raw: \"xy\" * 200000000", "want 1 to"},
		{"C-raw: \"x\" * 9223372036854775807", "want 1 to"},
		{"C-fin now", "nothing belongs behind this"},
		{"S-close 3s", "nothing belongs behind this"},
		{"C-dial 2", "nothing belongs behind this"},
		{"wait", "invalid duration"},
		{"wait 3", "missing unit"},
		{"wait 0s", "want a time above 0"},
		{"timeout -1s", "want a time above 0"},
		{"S-quiet", "invalid duration"},
		{"b-dial two", "invalid syntax"},
	} {
		_, err := parse([]byte("C: QUIT\n" + c.line + "\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%q: got %v, want line 2 and %q", c.line, err, c.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		fits, not []string
	}{
		{"S: +OK", []string{"+OK"}, []string{"", "+OK ", "+OK x", "+OKAY", " +OK", "-ERR"}},
		{"S: +OK ...", []string{"+OK", "+OK x", "+OK  x"}, []string{"+OKAY", "-ERR", "+O", "x +OK"}},
		{"S: -ERR [AUTH] ...", []string{"-ERR [AUTH]", "-ERR [AUTH] no"}, []string{"-ERR", "-ERR [AUTH]no", "-ERR A no", "-ERR [SYS/TEMP] no"}},
		{"S:", []string{""}, []string{" ", "x"}},
		{"S: ...", []string{"", "x", "+OK x"}, nil},
		{"S: a...", []string{"a..."}, []string{"a", "abcd", "a b"}},
		{"S: .", []string{"."}, []string{"x", ".."}},
		{"S: a ... b", []string{"a ... b"}, []string{"a x b"}},
		{"S~ [+]OK|-ERR", []string{"+OK", "-ERR"}, []string{"+OK x", "x-ERR"}},
		{"S~ a.c", []string{"abc", "a\xffc"}, []string{"abcd", "ac"}},
		{"b2> a\u00e4", []string{"a\u00e4"}, []string{"aa"}},
	} {
		s, err := parseLine(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, line := range c.fits {
			if !s.matches.MatchString(line) {
				t.Errorf("%s doesn't fit %q", c.pattern, line)
			}
		}
		for _, line := range c.not {
			if s.matches.MatchString(line) {
				t.Errorf("%s fits %q", c.pattern, line)
			}
		}
	}
}

// The example in the package's documentation is a transcript.
func TestDocumentationExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "//\t# The mailbox is locked")
	example, _, found := strings.Cut(example, "//\n")
	steps, err := parse([]byte(strings.ReplaceAll("#"+example, "//\t", "")))
	if !found || err != nil || len(steps) < 15 {
		t.Errorf("%d steps, %v", len(steps), err)
	}
}

// FuzzParseScript: a transcript is read or refused with a line that it has, and what is read has one
// step for each line that means something.
func FuzzParseScript(f *testing.F) {
	f.Add("C: USER a\nS: +OK ...\n#\n\nb2-dial 1\n")
	f.Add("C-raw: \"x\" * 3\nS~ (a|b)\nwait 1s\r\n")
	f.Fuzz(func(t *testing.T, script string) {
		if strings.Contains(script, "*") {
			t.Skip("memory")
		}
		meaning := 0
		for line := range strings.Lines(script) {
			if line = strings.TrimRight(line, "\r\n"); line != "" && line[0] != '#' {
				meaning++
			}
		}
		steps, err := parse([]byte(script))
		if err == nil && len(steps) != meaning {
			t.Errorf("%d steps, want %d", len(steps), meaning)
		}
		for _, s := range steps {
			if s.play == nil || s.line < 1 || s.wire.number < 1 {
				t.Errorf("odd step %+v", s)
			}
		}
	})
}
