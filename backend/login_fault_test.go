package backend_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// What a backend may say wrongly at any step, and what it is then.
var malformed = []struct {
	name string
	line string
	err  error // nil: any
}{
	{"another protocol", "220 mail.example.org ESMTP\r\n", pop3.ErrNotReply},
	{"http", "HTTP/1.1 400 Bad Request\r\n", pop3.ErrNotReply},
	{"imap", "* OK IMAP4rev1 ready\r\n", pop3.ErrNotReply},
	{"empty line", "\r\n", pop3.ErrNotReply},
	{"lower case", "+ok\r\n", pop3.ErrNotReply},
	{"a longer word", "+OKAY\r\n", pop3.ErrNotReply},
	{"a longer refusal", "-ERROR no\r\n", pop3.ErrNotReply},
	{"a space before", " +OK\r\n", pop3.ErrNotReply},
	{"a tab behind", "+OK\tready\r\n", pop3.ErrNotReply},
	{"a continuation", "+ \r\n", pop3.ErrNotReply},
	{"a challenge", "+ PDE4OTYuNjk3MTcwOTUyQGV4YW1wbGUub3JnPg==\r\n", pop3.ErrNotReply},
	{"tls handshake", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n", pop3.ErrNUL},
	{"nul", "+OK a\x00b\r\n", pop3.ErrNUL},
	{"bare cr", "+OK a\r+OK b\r\n", pop3.ErrBareCR},
	{"two crs", "+OK\r\r\n", pop3.ErrBareCR},
	{"too long by one", "+OK " + strings.Repeat("x", 2048-5) + "\r\n", pop3.ErrLineTooLong},
	{"endless", strings.Repeat("x", 64<<10), pop3.ErrLineTooLong},
	{"endless but for the end", strings.Repeat("x", 5000) + "\r\n", pop3.ErrLineTooLong},
}

func TestLoginMalformed(t *testing.T) {
	for _, m := range malformed {
		for said, step := range []backend.Step{backend.Greeting, backend.User, backend.Pass} {
			turns := append([]string{"+OK\r\n", "+OK\r\n"}[:said], m.line)
			for _, chunk := range []int{0, 1} {
				o := play(t, newLogin(t), turns, chunk)
				if o.err == nil || o.err.Kind != backend.Protocol || o.err.Step != step || !errors.Is(o.err, m.err) {
					t.Errorf("%s at %s, chunk %d: %v", m.name, step, chunk, o.err)
				}
				if len(o.sent) != said {
					t.Errorf("%s at %s: sent %q", m.name, step, o.sent)
				}
			}
		}
	}
}

// Real servers exceed RFC 2449's 512 octets; four times that is taken.
func TestLoginLongestLine(t *testing.T) {
	long := "+OK " + strings.Repeat("x", 2048-6) + "\r\n"
	if o := play(t, newLogin(t), []string{long, long, long}, 0); o.err != nil {
		t.Error(o.err)
	}
}

// What is said before it was asked would be taken for the next answer: a backend
// (or somebody on the path) could accept a password that it never saw.
func TestLoginOutOfTurn(t *testing.T) {
	for _, c := range []struct {
		turns []string
		step  backend.Step
	}{
		{[]string{"+OK\r\n+OK\r\n"}, backend.User},
		{[]string{"+OK\r\n+OK\r\n+OK\r\n"}, backend.User},
		{[]string{"+OK\r\n-ERR\r\n"}, backend.User},
		{[]string{"+OK\r\n "}, backend.User},
		{[]string{"+OK\r\n\x00"}, backend.User},
		{[]string{"+OK\r\n", "+OK\r\n+OK in\r\n"}, backend.Pass},
		{[]string{"+OK\r\n", "+OK\r\n+"}, backend.Pass},
	} {
		for _, chunk := range []int{0, 1} {
			o := play(t, newLogin(t), c.turns, chunk)
			if o.err == nil || o.err.Kind != backend.Protocol || o.err.Step != c.step {
				t.Errorf("%q chunk %d: %v", c.turns, chunk, o.err)
			}
			if len(o.sent) != len(c.turns)-1 {
				t.Errorf("%q chunk %d: sent %q", c.turns, chunk, o.sent)
			}
		}
	}
}

// A server that refuses and says more (or closes) has given its verdict.
func TestLoginRefusalsEndIt(t *testing.T) {
	for _, c := range []struct {
		turns []string
		kind  backend.Kind
		step  backend.Step
		code  pop3.Code
		text  string
	}{
		{[]string{"-ERR\r\n"}, backend.Temporary, backend.Greeting, "", "-ERR"},
		{[]string{"-ERR [SYS/TEMP] too many connections\r\n-ERR bye\r\n"}, backend.Temporary, backend.Greeting, "", "[SYS/TEMP] too many connections"},
		{[]string{"-ERR [AUTH] go away\r\n"}, backend.Temporary, backend.Greeting, "", "[AUTH] go away"},
		{[]string{"+OK\r\n", "-ERR never heard of mailbox name\r\n"}, backend.Refused, backend.User, pop3.Auth, "never heard of mailbox name"},
		{[]string{"+OK\r\n", "-ERR [SYS/PERM] moved\r\nx"}, backend.Refused, backend.User, pop3.SysPerm, "[SYS/PERM] moved"},
		{[]string{"+OK\r\n", "+OK\r\n", "-ERR \x07\xc3\xa9 no\r\n"}, backend.Refused, backend.Pass, pop3.Auth, "??? no"},
		{[]string{"+OK\r\n", "+OK\r\n", "-ERR " + strings.Repeat("n", 900) + "\r\n"}, backend.Refused, backend.Pass, pop3.Auth, strings.Repeat("n", 160)},
	} {
		o := play(t, newLogin(t), c.turns, 0)
		if o.err == nil || o.err.Kind != c.kind || o.err.Step != c.step || o.err.Code != c.code || o.err.Text != c.text {
			t.Errorf("%q: %#v", c.turns, o.err)
		}
	}
}

// What can't be sent as exactly one line is refused before anything is sent.
func TestLoginUnsendable(t *testing.T) {
	for _, c := range []struct {
		user, password string
		step           backend.Step
	}{
		{"alice\r\nDELE 1", "x", backend.User},
		{"alice\n", "x", backend.User},
		{"ali\x00ce", "x", backend.User},
		{"alice\x7f", "x", backend.User},
		{strings.Repeat("u", 249), "x", backend.User},
		{"alice", "x\r\nQUIT", backend.Pass},
		{"alice", "x\x00", backend.Pass},
		{"alice", "\t", backend.Pass},
		{"alice", strings.Repeat("p", 249), backend.Pass},
	} {
		l := backend.NewLogin(entry(c.user, c.password), refusals(t))
		if n := l.Input([]byte("+OK\r\n")); n != 0 {
			t.Errorf("%.20q %.20q: took %d octets", c.user, c.password, n)
		}
		if out := l.Output(); out != nil {
			t.Errorf("%.20q %.20q: sends %q", c.user, c.password, out)
		}
		_, err, done := l.Result()
		if !done || err.Kind != backend.Refused || err.Code != pop3.Auth || err.Step != c.step {
			t.Errorf("%.20q %.20q: %v", c.user, c.password, err)
		}
	}
}

func TestLoginLongestSendable(t *testing.T) {
	u, p := strings.Repeat("u", 248), strings.Repeat("\xfc", 248)
	l := backend.NewLogin(entry(u, p), refusals(t))
	o := play(t, l, []string{"+OK\r\n", "+OK\r\n", "+OK\r\n"}, 0)
	if o.err != nil || len(o.sent) != 2 || o.sent[0] != "USER "+u+"\r\n" || o.sent[1] != "PASS "+p+"\r\n" {
		t.Errorf("error %v, sent %q", o.err, o.sent)
	}
	for _, line := range o.sent {
		if len(line) > pop3.MaxCommandLine {
			t.Errorf("a line of %d octets", len(line))
		}
	}
}

// The line with the password is overwritten as soon as it was sent, and whatever
// ends the dialogue.
func TestLoginForgetsThePassword(t *testing.T) {
	for name, end := range map[string]func(*backend.Login){
		"verdict":   func(l *backend.Login) { l.Input([]byte("+OK\r\n")) },
		"refusal":   func(l *backend.Login) { l.Input([]byte("-ERR\r\n")) },
		"half line": func(l *backend.Login) { l.Input([]byte("+")) },
		"closed":    func(l *backend.Login) { l.Stop(backend.Closed, nil) },
		"canceled":  func(l *backend.Login) { l.Stop(backend.Canceled, nil) },
	} {
		l := newLogin(t)
		l.Input([]byte("+OK\r\n"))
		l.Output()
		l.Input([]byte("+OK\r\n"))
		sent := l.Output()
		if string(sent) != sentPass {
			t.Fatalf("%s: sent %q", name, sent)
		}
		end(l)
		if !bytes.Equal(sent, make([]byte, len(sent))) {
			t.Errorf("%s: the buffer still holds %q", name, sent)
		}
	}
}

// The caller needs the secret for a second attempt: it is the caller's to wipe.
func TestLoginLeavesTheSecretToItsOwner(t *testing.T) {
	e := entry(user, password)
	l := backend.NewLogin(e, refusals(t))
	play(t, l, []string{"+OK\r\n", "+OK\r\n", "-ERR\r\n"}, 0)
	if string(e.Credentials.Secret.Reveal()) != password {
		t.Error("the login wiped its caller's secret")
	}
}

// A server that repeats what it was told must not bring the password to a log.
func TestLoginErrorsNeverHoldThePassword(t *testing.T) {
	for _, line := range []string{
		"-ERR no such password: " + password + "\r\n",
		"-ERR [AUTH] " + password + "\r\n",
		"PASS " + password + "\r\n",
		"-ERR " + strings.Repeat("x", 300) + password + "\r\n",
		"+OK\x00" + password + "\r\n",
		strings.Repeat(password, 1000),
	} {
		o := play(t, newLogin(t), []string{"+OK\r\n", "+OK\r\n", line}, 0)
		if o.err == nil {
			t.Fatalf("%.40q is no error", line)
		}
		for _, shown := range []string{o.err.Error(), o.err.Text, fmt.Sprintf("%+v %#v", o.err, *o.err)} {
			if strings.Contains(shown, password) {
				t.Errorf("%.40q shows as %s", line, shown)
			}
		}
	}
}

// 64 MB without a newline: over after the first buffer, which is all that is held.
func TestLoginHoldsLittle(t *testing.T) {
	l := newLogin(t)
	flood := bytes.Repeat([]byte("x"), 1<<20)
	taken := 0
	for range 64 {
		taken += l.Input(flood)
	}
	if _, err, done := l.Result(); !done || err.Kind != backend.Protocol || taken > 4096 {
		t.Errorf("took %d octets, error %v", taken, err)
	}
}
