package pop3

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// absent stands for an AUTH command without initial response.
const absent = ""

func encode(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }

// said is how an exchange went: its challenges, then how it ended.
type said struct {
	challenges  []string
	done        bool
	err         error
	credentials Credentials
}

// converse feeds an exchange its initial response and further lines, as long as
// it asks for one.
func converse(m Mechanism, initial string, lines ...string) said {
	e := NewExchange(m)
	var s said
	challenge, done, err := e.Initial([]byte(initial))
	for !done && err == nil {
		s.challenges = append(s.challenges, challenge)
		if len(lines) == 0 {
			break
		}
		challenge, done, err = e.Respond([]byte(lines[0]))
		lines = lines[1:]
	}
	s.done, s.err, s.credentials = done, err, e.Credentials()
	return s
}

// expectCredentials compares without printing through Secret, which would redact.
func expectCredentials(t *testing.T, s said, m Mechanism, user, secret string) {
	t.Helper()
	if s.err != nil || !s.done {
		t.Errorf("done %v, error %v", s.done, s.err)
		return
	}
	c := s.credentials
	if c.Mechanism != m || c.User != user || string(c.Secret.Reveal()) != secret {
		t.Errorf("got %s %q %q, want %s %q %q", c.Mechanism, c.User, c.Secret.Reveal(), m, user, secret)
	}
}

func TestParseMechanism(t *testing.T) {
	for _, c := range []struct {
		word string
		want Mechanism
	}{
		{"PLAIN", PLAIN}, {"plain", PLAIN}, {"PlAiN", PLAIN}, {"LOGIN", LOGIN}, {"login", LOGIN},
		{"XOAUTH2", XOAUTH2}, {"xoauth2", XOAUTH2}, {"OAUTHBEARER", OAUTHBEARER}, {"OAuthBearer", OAUTHBEARER},

		{"", ""}, {" ", ""}, {"PLAIN ", ""}, {" PLAIN", ""}, {"PLAIN\x00", ""}, {"PLAI", ""}, {"PLAINX", ""},
		{"PLA\xc4\xb0N", ""}, // the dotted capital I
		{"CRAM-MD5", ""}, {"SCRAM-SHA-256", ""}, {"EXTERNAL", ""}, {"ANONYMOUS", ""}, {"NTLM", ""}, {"XOAUTH", ""},
		{"OAUTHBEARER-PLUS", ""}, {"=", ""}, {strings.Repeat("A", 1<<10), ""},
	} {
		got, known := ParseMechanism([]byte(c.word))
		if got != c.want || known != (c.want != "") {
			t.Errorf("%q: got %q, %v", c.word, got, known)
		}
	}
}

func TestIsWord(t *testing.T) {
	for _, c := range []struct {
		word string
		want bool
	}{
		{"STLS", true}, {"stls", true}, {"sTlS", true},
		{"", false}, {"STL", false}, {"STLSS", false}, {"3TL3", false}, {"\u017ftls", false}, {"\u017fts", false}, {"stl\x13", false},
	} {
		if isWord([]byte(c.word), "STLS") != c.want {
			t.Errorf("%q: want %v", c.word, c.want)
		}
	}
}

// The longest line of each mechanism holds the longest message that can go on.
func TestMaxLine(t *testing.T) {
	field := strings.Repeat("x", maxField)
	if line := "AUTH PLAIN " + encode(field+"\x00"+field+"\x00"+field) + "\r\n"; len(line) > MaxLine(PLAIN) {
		t.Errorf("PLAIN: %d octets don't fit", len(line))
	}
	if line := "AUTH LOGIN " + encode(field) + "\r\n"; len(line) > MaxLine(LOGIN) {
		t.Errorf("LOGIN: %d octets don't fit", len(line))
	}
	token := strings.Repeat("t", 16<<10)
	for m, message := range map[Mechanism]string{
		XOAUTH2:     "user=" + field + "\x01auth=Bearer " + token + "\x01\x01",
		OAUTHBEARER: "n,a=" + field + ",\x01host=pop.example.com\x01port=995\x01auth=Bearer " + token + "\x01\x01",
	} {
		if line := "AUTH " + string(m) + " " + encode(message) + "\r\n"; len(line) > MaxLine(m) {
			t.Errorf("%s: %d octets don't fit", m, len(line))
		}
		expectCredentials(t, converse(m, encode(message)), m, field, message)
	}
	if got := MaxLine(""); got != MaxCommandLine {
		t.Errorf("no mechanism: %d", got)
	}
}

// Each of these is one character away from a response that is taken.
func TestExchangeRefusesMalformedBase64(t *testing.T) {
	const valid = "AGFsaWNlAHNlY3JldA=="
	expectCredentials(t, converse(PLAIN, valid), PLAIN, "alice", "secret")
	for _, response := range []string{
		"AGFsaWNlAHNlY3JldA", "AGFsaWNlAHNlY3JldA=", "AGFsaWNlAHNlY3JldA===", "AGFsaWNlAHNlY3JldA==A", "AGFsaWNlAHNlY3JldA==AAAA",
		"AGFsaWNlAHNlY3JldB==", // bits behind the end
		"AGFsaWNlAHNlY3JldAA",  // three quarters of a group
		"AGFsaWNlAHNlY3JldAAA=",
		" AGFsaWNlAHNlY3JldA==", "AGFsaWNlAHNlY3JldA== ", "AGFs aWNlAHNlY3JldA==", "AGFsaWNlAHNlY3JldA==\t", "AGFsaWNl\tAHNlY3JldA==",
		"AGFsaWNlAHNlY3JldA==\r", "AGFsaWNlAHNlY3JldA==\n", "AGFsaWNl\r\nAHNlY3JldA==", "\nAGFsaWNlAHNlY3JldA==", "AGFsaWNlAHNlY3JldA=\r=",
		"AGFsaWNlAHNlY3JldA==\x00", "\x00AGFsaWNlAHNlY3JldA==", "AGFsaWNlAHNlY3JldA\xc3\xa4==",
		"AGFsaWNlAHNlY3Jld-==", "AGFsaWNlAHNlY3Jld_==", // the alphabet for file names
		"AGFsaWNlAHNlY3Jl*A==", "AGFsaWNlAHNlY3Jl.A==", "AGFsaWNlAHNlY3Jl,A==",
		"=AGFsaWNlAHNlY3JldA==", "==", "===", "====", "A", "AA", "AAA", "A===", "AG=s", "A=Fs", "AGFsaWNlAHNlY3JldA==*",
		"alice", "\x00alice\x00secret", "+AGFsaWNlAHNlY3JldA==",
	} {
		for name, s := range map[string]said{
			"initial":     converse(PLAIN, response),
			"asked for":   converse(PLAIN, absent, response),
			"LOGIN":       converse(LOGIN, absent, response),
			"second":      converse(LOGIN, "YWxpY2U=", response),
			"XOAUTH2":     converse(XOAUTH2, absent, response),
			"OAUTHBEARER": converse(OAUTHBEARER, response),
		} {
			if s.err != ErrBase64 || s.done {
				t.Errorf("%q %s: done %v, error %v", response, name, s.done, s.err)
			}
		}
	}
}

// An equals sign alone is the empty response in the AUTH command and nothing but
// broken base64 later (RFC 5034, section 4); with an asterisk it is the other way round.
func TestExchangeSigns(t *testing.T) {
	for _, m := range mechanisms {
		if s := converse(m, "="); s.err != ErrMessage {
			t.Errorf("%s, initial =: %v", m, s.err)
		}
		if s := converse(m, absent, "="); s.err != ErrBase64 {
			t.Errorf("%s, = later: %v", m, s.err)
		}
		if s := converse(m, absent, ""); s.err != ErrMessage {
			t.Errorf("%s, an empty line: %v", m, s.err)
		}
		if s := converse(m, "*"); s.err != ErrBase64 {
			t.Errorf("%s, initial *: %v", m, s.err)
		}
		for _, line := range []string{"**", "* ", " *", "*\r"} {
			if s := converse(m, absent, line); s.err != ErrBase64 {
				t.Errorf("%s, %q: %v", m, line, s.err)
			}
		}
	}
}

func TestExchangeCancelsAtEachStep(t *testing.T) {
	for _, m := range mechanisms {
		if s := converse(m, absent, "*"); s.err != ErrCanceled || s.done {
			t.Errorf("%s: done %v, error %v", m, s.done, s.err)
		}
	}
	for _, s := range []said{converse(LOGIN, absent, encode("alice"), "*"), converse(LOGIN, encode("alice"), "*")} {
		if s.err != ErrCanceled || s.done || s.credentials != (Credentials{}) {
			t.Errorf("LOGIN, password: done %v, error %v", s.done, s.err)
		}
	}
}

func TestExchangeTakesNothingAfterItsEnd(t *testing.T) {
	message := encode("\x00alice\x00secret")
	ends := map[string]func(*Exchange){
		"done":     func(e *Exchange) { _, _, _ = e.Initial([]byte(message)) },
		"refused":  func(e *Exchange) { _, _, _ = e.Initial([]byte("=")) },
		"canceled": func(e *Exchange) { _, _, _ = e.Respond([]byte("*")) },
	}
	for name, end := range ends {
		for _, arg := range []string{absent, "=", message} {
			e := NewExchange(PLAIN)
			end(e)
			before := e.Credentials()
			if challenge, done, err := e.Initial([]byte(arg)); challenge != "" || done || err != ErrMessage {
				t.Errorf("%s, initial %q: %q, %v, %v", name, arg, challenge, done, err)
			}
			if _, done, err := e.Respond([]byte(arg)); done || err == nil {
				t.Errorf("%s, response %q: %v, %v", name, arg, done, err)
			}
			if e.Credentials() != before {
				t.Errorf("%s, %q: the credentials changed", name, arg)
			}
		}
	}
}

func TestExchangeOfNoMechanism(t *testing.T) {
	for _, m := range []Mechanism{"", "CRAM-MD5"} {
		if s := converse(m, encode("\x00alice\x00secret")); s.err != ErrMessage || s.done {
			t.Errorf("%q: done %v, error %v", m, s.done, s.err)
		}
	}
}

// A line above the limit is refused before anything is made of it.
func TestExchangeLineTooLong(t *testing.T) {
	for _, m := range mechanisms {
		longest := MaxLine(m) - len("\r\n")
		if s := converse(m, strings.Repeat("A", longest/4*4)); s.err == ErrTooLong || s.err == nil {
			t.Errorf("%s, within the limit: %v", m, s.err)
		}
		if s := converse(m, strings.Repeat("A", longest+1)); s.err != ErrTooLong {
			t.Errorf("%s, one octet above: %v", m, s.err)
		}
		line := []byte(strings.Repeat("A", 1<<20))
		e := NewExchange(m)
		if allocated := testing.AllocsPerRun(10, func() { *e = Exchange{mechanism: m}; _, _, _ = e.Respond(line) }); allocated > 0 {
			t.Errorf("%s: a line of 1 MiB allocates %v times", m, allocated)
		}
	}
}

// A decoded message is wiped, whether it was taken or not, and what the exchange
// gives out is not the same memory.
func TestExchangeWipesMessages(t *testing.T) {
	for m, message := range map[Mechanism]string{
		PLAIN:       "\x00alice\x00canary",
		XOAUTH2:     "user=alice\x01auth=Bearer canary\x01\x01",
		OAUTHBEARER: "n,a=alice,\x01auth=Bearer canary\x01\x01",
	} {
		e, octets := NewExchange(m), []byte(message)
		if done, err := e.read(octets); !done || err != nil {
			t.Fatalf("%s: %v, %v", m, done, err)
		}
		if len(bytes.Trim(octets, "\x00")) > 0 {
			t.Errorf("%s: left in memory: %q", m, octets)
		}
		if c := e.Credentials(); c.User != "alice" || !strings.Contains(string(c.Secret.Reveal()), canary) {
			t.Errorf("%s: %q %q", m, c.User, c.Secret.Reveal())
		}
	}
	for _, m := range append(mechanisms[:], "") {
		octets := []byte(canary + "\x00" + canary + "\n")
		if _, err := NewExchange(m).read(octets); err == nil || len(bytes.Trim(octets, "\x00")) > 0 {
			t.Errorf("%s, refused with %v: left in memory: %q", m, err, octets)
		}
	}
}

func TestSASLErrorsHoldNoOctets(t *testing.T) {
	for _, s := range []said{
		converse(PLAIN, encode("\x00alice\x00"+canary)+canary), converse(PLAIN, encode(canary)), converse(PLAIN, encode(canary+"\x00alice\x00"+canary)),
		converse(PLAIN, encode("\x00alice\x00"+canary+"\n")), converse(LOGIN, encode("alice"), canary+"!"),
		converse(XOAUTH2, encode(canary)), converse(OAUTHBEARER, encode("n,a=alice,\x01auth=Basic "+canary+"\x01\x01")),
	} {
		if s.err == nil || errors.Unwrap(s.err) != nil || leaked(s.err.Error()) {
			t.Errorf("%v", s.err)
		}
	}
}

func TestCredentialsInFmt(t *testing.T) {
	e := NewExchange(PLAIN)
	if _, done, err := e.Initial([]byte(encode("\x00alice\x00" + canary))); !done || err != nil {
		t.Fatal(done, err)
	}
	for _, v := range []any{e, *e, e.Credentials(), []Credentials{e.Credentials()}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if out := fmt.Sprintf(verb, v); leaked(out) {
				t.Errorf("%s: %s", verb, out)
			}
		}
	}
}
