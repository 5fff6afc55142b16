package pop3

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		line string
		verb Verb
		arg  string
	}{
		{"QUIT", QUIT, ""},
		{"quit", QUIT, ""},
		{"QuIt", QUIT, ""},
		{"USER alice@example.com", USER, "alice@example.com"},
		{"top 1 0", TOP, "1 0"},
		{"UTF8", UTF8, ""},
		{"PASS two words", PASS, "two words"},
		{"PASS  leading", PASS, " leading"},
		{"PASS trailing ", PASS, "trailing "},
		{"PASS   ", PASS, "  "},
		{"PASS \xc3\xa4\xff", PASS, "\xc3\xa4\xff"},
		{"PASS \t", PASS, "\t"},
		{"QUIT ", QUIT, ""},
		{"AUTH PLAIN AGEAYg==", AUTH, "PLAIN AGEAYg=="},

		{"", Unknown, ""},
		{" ", Unknown, ""},
		{" QUIT", Unknown, ""},
		{"QUIT\t", Unknown, ""},
		{"USER\talice", Unknown, ""},
		{"USERalice", Unknown, ""},
		{"QUITS", Unknown, ""},
		{"QUI", Unknown, ""},
		{"Q", Unknown, ""},
		{"XYZ canary", Unknown, ""},
		{"LOGIN alice canary", Unknown, ""},
		{"\x00QUIT", Unknown, ""},
		{"QUIT\x00", Unknown, ""},
		{"QUIT\r", Unknown, ""},
		{"\xff\xfe", Unknown, ""},
		{"UTF\xb8", Unknown, ""},
		{"\u017fTAT", Unknown, ""}, // the long s, which strings.ToUpper makes an S
		{"LI\u017fT", Unknown, ""}, // the same inside
		{"NOO\u00b2", Unknown, ""}, // no digit is a letter
		{"GET / HTTP/1.1", Unknown, ""},
		{"+OK", Unknown, ""},
		{".", Unknown, ""},
		{strings.Repeat("A", 300), Unknown, ""},
	} {
		got := ParseCommand([]byte(c.line))
		if got.Verb != c.verb || string(got.Arg()) != c.arg {
			t.Errorf("%q: got %q %q, want %q %q", c.line, string(got.Verb), got.Arg(), string(c.verb), c.arg)
		}
	}
}

func TestCommandWord(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"USER alice", "alice"},
		{"USER  alice  ", "alice"},
		{"USER two words ", "two words"},
		{"USER \talice", "\talice"}, // a tab is no separator in POP3
		{"USER    ", ""},
		{"USER", ""},
		{"NONE alice", ""},
	} {
		if got := string(ParseCommand([]byte(c.line)).Word()); got != c.want {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}

func TestHasControl(t *testing.T) {
	for _, s := range []string{"", " ", "alice", "~", "\u00e4", "\xff\x80", "p\u00e4ss w\u00f6rd"} {
		if HasControl([]byte(s)) {
			t.Errorf("%q: true", s)
		}
	}
	for c := range 0x20 {
		for _, s := range []string{string(rune(c)), "a" + string(rune(c)), "\xff" + string(rune(c)) + "b"} {
			if !HasControl([]byte(s)) {
				t.Errorf("%q: false", s)
			}
		}
	}
	if !HasControl([]byte("a\x7f")) {
		t.Error("DEL: false")
	}
}

func TestLooksLikeHTTP(t *testing.T) {
	for _, line := range []string{
		"GET / HTTP/1.1", "POST /x HTTP/1.1", "HEAD / HTTP/1.0", "PUT /a HTTP/1.1", "OPTIONS * HTTP/1.1",
		"CONNECT a:110 HTTP/1.1", "DELETE / HTTP/1.1", "PATCH / HTTP/1.1", "TRACE / HTTP/1.1", "PRI * HTTP/2.0",
	} {
		if !LooksLikeHTTP([]byte(line)) {
			t.Errorf("%q: false", line)
		}
	}
	for _, line := range []string{
		"", "G", "GET", "GETS a", " GET /", "get / HTTP/1.1", "POSTMAN a", "USER GET /", "RETR 1", "DELE 1", "QUIT", "\x00GET /",
	} {
		if LooksLikeHTTP([]byte(line)) {
			t.Errorf("%q: true", line)
		}
	}
}

// FuzzParseCommand: a keyword is known or empty, the argument is the octets behind
// the first space, and written again the command is read the same.
func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{"USER alice", "pass  two ", "QUIT", "", " ", "top 1 0", "\xff \x00", "NOPE x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		kept := bytes.Clone(line)
		c := ParseCommand(line)
		if !bytes.Equal(line, kept) {
			t.Fatal("the line was changed")
		}
		if c.Verb == Unknown {
			if len(c.Arg()) > 0 {
				t.Fatalf("an unknown command has an argument: %q", c.Arg())
			}
			return
		}
		word, arg, hasArg := bytes.Cut(line, []byte(" "))
		if verbs[string(c.Verb)] != c.Verb || !strings.EqualFold(string(word), string(c.Verb)) {
			t.Fatalf("%q became %q", word, string(c.Verb))
		}
		if !bytes.Equal(c.Arg(), arg) {
			t.Fatalf("argument %q, want %q", c.Arg(), arg)
		}
		again := []byte(c.Verb)
		if hasArg {
			again = append(append(again, ' '), c.Arg()...)
		}
		if d := ParseCommand(again); d.Verb != c.Verb || !bytes.Equal(d.Arg(), c.Arg()) {
			t.Fatalf("%q was read as %q", again, string(d.Verb))
		}
	})
}

func BenchmarkParseCommand(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"verb=QUIT", "QUIT"},
		{"verb=USER", "USER alice@example.com"},
		{"verb=Unknown", "BLURDYBLOOP alice"},
	} {
		b.Run(c.name, func(b *testing.B) {
			line := []byte(c.line)
			b.ReportAllocs()
			for b.Loop() {
				ParseCommand(line)
			}
		})
	}
}
