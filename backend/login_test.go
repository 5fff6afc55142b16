package backend_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// The password of every test: a canary that may be in one line and nowhere else.
const (
	user     = "alice@example.com"
	password = "c4nary-pass word"
	sentUser = "USER " + user + "\r\n"
	sentPass = "PASS " + password + "\r\n"
)

func refusals(t testing.TB, rules ...backend.Rule) *backend.Refusals {
	t.Helper()
	r, err := backend.CompileRefusals(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// entry is how a password that came by USER and PASS goes on.
func entry(user, password string) backend.Entry {
	return backend.Entry{User: user, Credentials: pop3.Credentials{User: "typed", Secret: pop3.NewSecret([]byte(password))}}
}

func newLogin(t testing.TB) *backend.Login {
	t.Helper()
	return backend.NewLogin(entry(user, password), refusals(t))
}

// handshake stands for TLS among what was sent.
const handshake = "(tls)"

// outcome is all that a driver sees of a dialogue.
type outcome struct {
	sent      []string
	challenge string
	reply     pop3.Reply
	err       *backend.Error
	rest      string
}

// play runs a login: each turn is what the backend says before it sees the next
// command, cut into chunks of that many octets (0: in one). Then it closes. A
// challenge is acknowledged, and TLS comes up where it is asked for.
func play(t testing.TB, l *backend.Login, turns []string, chunk int) outcome {
	t.Helper()
	var o outcome
	var untaken []byte
	for _, turn := range turns {
		untaken = feed(t, l, []byte(turn), chunk)
		if _, _, done := l.Result(); done {
			break
		}
		if text, asked := l.Challenge(); asked {
			o.challenge = text
			l.Acknowledge()
		}
		if l.NeedsTLS() {
			if out := l.Output(); len(out) > 0 {
				t.Errorf("ahead of the handshake it wants to send %q", out)
			}
			o.sent = append(o.sent, handshake)
			l.Secured(nil)
		}
		if out := l.Output(); len(out) > 0 {
			o.sent = append(o.sent, string(out))
		}
	}
	l.Stop(backend.Closed, nil)
	if out := l.Output(); len(out) > 0 {
		t.Errorf("after the result it wants to send %q", out)
	}
	reply, err, done := l.Result()
	if !done {
		t.Fatal("no result after the connection ended")
	}
	o.reply, o.err = reply, err
	if err == nil {
		o.rest = string(l.Rest()) + string(untaken)
	}
	return o
}

// feed returns what the machine left to its driver.
func feed(t testing.TB, l *backend.Login, p []byte, chunk int) []byte {
	t.Helper()
	if chunk <= 0 {
		chunk = max(1, len(p))
	}
	for len(p) > 0 {
		n := min(chunk, len(p))
		taken := l.Input(p[:n])
		p = p[taken:]
		if _, _, done := l.Result(); done {
			return p
		}
		if taken != n {
			t.Fatalf("took %d of %d octets without a result", taken, n)
		}
	}
	return nil
}

// What real servers say: greeting, answer to USER, answer to PASS. Mailutils
// ends lines with a bare LF in some versions.
var families = []struct {
	name  string
	turns []string
	want  string // the text of +OK, or the code
	code  pop3.Code
}{
	{name: "dovecot", turns: []string{"+OK Dovecot (Debian) ready.\r\n", "+OK\r\n", "+OK Logged in.\r\n"}, want: "Logged in."},
	{name: "dovecot refuses", turns: []string{"+OK Dovecot ready.\r\n", "+OK\r\n", "-ERR [AUTH] Authentication failed.\r\n"}, code: pop3.Auth},
	{name: "dovecot locked", turns: []string{"+OK Dovecot ready.\r\n", "+OK\r\n", "-ERR [IN-USE] Mailbox is locked by another POP3 session.\r\n"}, code: pop3.InUse},
	{name: "dovecot out of order", turns: []string{"+OK Dovecot ready.\r\n", "+OK\r\n", "-ERR [SYS/TEMP] Temporary authentication failure. [host:2026-01-01]\r\n"}, code: pop3.SysTemp},
	{name: "popa3d", turns: []string{"+OK\r\n", "+OK\r\n", "+OK\r\n"}},
	{name: "popa3d refuses", turns: []string{"+OK\r\n", "+OK\r\n", "-ERR Authentication failed (bad password?)\r\n"}, code: pop3.Auth},
	{name: "popa3d bare", turns: []string{"+OK\r\n", "+OK\r\n", "-ERR\r\n"}, code: pop3.Auth},
	{name: "courier", turns: []string{"+OK Hello there.\r\n", "+OK Password required.\r\n", "+OK logged in.\r\n"}, want: "logged in."},
	{name: "courier refuses", turns: []string{"+OK Hello there.\r\n", "+OK Password required.\r\n", "-ERR Login failed.\r\n"}, code: pop3.Auth},
	{name: "courier without tls", turns: []string{"+OK Hello there.\r\n", "-ERR TLS required to log in.\r\n"}, code: pop3.Auth},
	{name: "cyrus", turns: []string{
		"+OK pop.example.org Cyrus POP3 v2.4.17 server ready <1573.1234@pop.example.org>\r\n",
		"+OK Name is a valid mailbox\r\n",
		"+OK Mailbox locked and ready SESSIONID=<pop.example.org-1>\r\n",
	}, want: "Mailbox locked and ready SESSIONID=<pop.example.org-1>"},
	{name: "cyrus polled too often", turns: []string{"+OK ready <1.2@pop.example.org>\r\n", "+OK\r\n", "-ERR [LOGIN-DELAY] Logins must be at least 5 minutes apart\r\n"}, code: pop3.LoginDelay},
	{name: "qpopper", turns: []string{
		"+OK Qpopper (version 4.0.5) at pop.example.org starting.  <29775.1042@pop.example.org>\r\n",
		"+OK Password required for alice.\r\n",
		"+OK alice has 2 visible messages (0 hidden) in 320 octets.\r\n",
	}, want: "alice has 2 visible messages (0 hidden) in 320 octets."},
	{name: "qpopper locked", turns: []string{"+OK QPOP (version 2.53) at pop.example.org starting.\r\n", "+OK Password required for alice.\r\n", "-ERR /var/mail/.alice.pop lock busy!  Is another session active? (11)\r\n"}, code: pop3.InUse},
	{name: "uw ipop3d", turns: []string{"+OK POP3 pop.example.org v2004.89 server ready\r\n", "+OK User name accepted, password please\r\n", "+OK Mailbox open, 2 messages\r\n"}, want: "Mailbox open, 2 messages"},
	{name: "mailutils", turns: []string{"+OK POP3 Ready <123.456@pop.example.org>\n", "+OK\n", "+OK opened mailbox for alice\n"}, want: "opened mailbox for alice"},
	{name: "solid-pop3d", turns: []string{"+OK Solid POP3 server ready\r\n", "+OK username accepted\r\n", "+OK authentication successful\r\n"}, want: "authentication successful"},
}

func TestLoginFamilies(t *testing.T) {
	for _, f := range families {
		for _, chunk := range []int{0, 1, 7} {
			o := play(t, newLogin(t), f.turns, chunk)
			if want := []string{sentUser, sentPass}[:len(f.turns)-1]; strings.Join(o.sent, "") != strings.Join(want, "") {
				t.Errorf("%s: sent %q, want %q", f.name, o.sent, want)
			}
			if f.code == pop3.NoCode {
				if o.err != nil || !o.reply.OK || o.reply.Text != f.want {
					t.Errorf("%s: %+v, %v; want +OK %s", f.name, o.reply, o.err, f.want)
				}
				continue
			}
			if o.err == nil || o.err.Kind != backend.Refused || o.err.Code != f.code {
				t.Errorf("%s: error %v, want refused with %s", f.name, o.err, f.code)
			}
		}
	}
}

func TestLoginStepNamesWhatIsWaitedFor(t *testing.T) {
	l := newLogin(t)
	for _, want := range []backend.Step{backend.Greeting, backend.User, backend.Pass} {
		if l.Step() != want {
			t.Errorf("step %s, want %s", l.Step(), want)
		}
		l.Input([]byte("+OK\r\n"))
		l.Output()
	}
}

// Nothing is said before the server spoke: some close on early talkers.
func TestLoginIsSilentBeforeTheGreeting(t *testing.T) {
	l := newLogin(t)
	if out := l.Output(); out != nil {
		t.Errorf("sends %q", out)
	}
	l.Input([]byte("+OK"))
	if out := l.Output(); out != nil {
		t.Errorf("sends %q after half a greeting", out)
	}
}

// What the backend sent behind the last +OK is the client's, to the octet, in
// the buffer and beyond it.
func TestLoginRest(t *testing.T) {
	for _, size := range []int{0, 1, 40, 4096, 70_000} {
		rest := bytes.Repeat([]byte("+OK 1 2\r\n.."), size/11+1)[:size]
		for _, chunk := range []int{0, 1, 5, 4096} {
			o := play(t, newLogin(t), []string{"+OK\r\n", "+OK\r\n", "+OK in\r\n" + string(rest)}, chunk)
			if o.err != nil || o.rest != string(rest) {
				t.Errorf("size %d chunk %d: error %v, %d octets of rest", size, chunk, o.err, len(o.rest))
			}
		}
	}
}

func TestLoginRestBelongsToSuccessOnly(t *testing.T) {
	l := newLogin(t)
	l.Input([]byte("-ERR full\r\nmore"))
	if rest := l.Rest(); rest != nil {
		t.Errorf("rest %q of a failed login", rest)
	}
}

// The +OK of a login goes to the client, so it is made fit for a line.
func TestLoginReplyIsPrintableAndOneLine(t *testing.T) {
	long := "+OK \x1b[2J\xff" + strings.Repeat("x", 1500) + "\r\n"
	o := play(t, newLogin(t), []string{"+OK\r\n", "+OK\r\n", long}, 0)
	if o.err != nil {
		t.Fatal(o.err)
	}
	line := o.reply.Append(nil)
	if len(line) != pop3.MaxResponseLine || !strings.HasPrefix(o.reply.Text, "?[2J?xxx") {
		t.Errorf("%d octets: %.20q", len(line), line)
	}
}

func TestLoginStop(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for _, c := range []struct {
		kind backend.Kind
		err  error
		want error
	}{
		{backend.Closed, nil, io.ErrUnexpectedEOF},
		{backend.Closed, reset, reset},
		{backend.TimedOut, nil, nil},
		{backend.Canceled, reset, reset},
	} {
		for said, step := range []backend.Step{backend.Greeting, backend.User, backend.Pass} {
			l := newLogin(t)
			for range said {
				l.Input([]byte("+OK\r\n"))
				l.Output()
			}
			l.Input([]byte("+OK cut in the midd"))
			l.Stop(c.kind, c.err)
			_, err, done := l.Result()
			if !done || err.Kind != c.kind || err.Step != step || err.Err != c.want {
				t.Errorf("%s at %s: %v", c.kind, step, err)
			}
		}
	}
}

// A refusal and a FIN often come together; the verdict stands.
func TestLoginVerdictStands(t *testing.T) {
	l := newLogin(t)
	l.Input([]byte("-ERR too busy\r\n"))
	l.Stop(backend.Closed, nil)
	l.Stop(backend.TimedOut, nil)
	if n := l.Input([]byte("+OK\r\n")); n != 0 {
		t.Errorf("took %d octets after its verdict", n)
	}
	if _, err, _ := l.Result(); err.Kind != backend.Temporary {
		t.Errorf("verdict changed to %v", err)
	}
}
