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

// What leads to each step of AUTH, without a fault.
var authSteps = []struct {
	step  backend.Step
	entry func() backend.Entry
	turns []string
}{
	{backend.Auth, func() backend.Entry { return plain(user, password) }, []string{"+OK\r\n"}},
	{backend.Auth, func() backend.Entry { return oauth(pop3.XOAUTH2, xoauth2) }, []string{"+OK\r\n"}},
	{backend.Auth, func() backend.Entry { return long(pop3.OAUTHBEARER) }, []string{"+OK\r\n"}},
	{backend.Message, func() backend.Entry { return plain(user, password) }, []string{"+OK\r\n", "+ \r\n"}},
	{backend.Message, func() backend.Entry { return long(pop3.OAUTHBEARER) }, []string{"+OK\r\n", "+ \r\n"}},
	{backend.Challenge, func() backend.Entry { return oauth(pop3.XOAUTH2, xoauth2) }, []string{"+OK\r\n", "+ " + badToken + "\r\n"}},
	{backend.Challenge, func() backend.Entry { return long(pop3.XOAUTH2) }, []string{"+OK\r\n", "+ \r\n", "+ " + badToken + "\r\n"}},
}

func TestAuthMalformed(t *testing.T) {
	for _, at := range authSteps {
		for _, m := range malformed {
			if strings.HasPrefix(m.line, "+ ") {
				continue // see the tests of challenges
			}
			for _, chunk := range []int{0, 1} {
				o := play(t, backend.NewLogin(at.entry(), refusals(t)), append(at.turns[:len(at.turns):len(at.turns)], m.line), chunk)
				if o.err == nil || o.err.Kind != backend.Protocol || o.err.Step != at.step || !errors.Is(o.err, m.err) {
					t.Errorf("%s at %s, chunk %d: %v", m.name, at.step, chunk, o.err)
				}
			}
		}
	}
}

// Challenges where none belongs, and a login that is accepted before there was one.
func TestAuthOutOfPlace(t *testing.T) {
	short, large := oauth(pop3.XOAUTH2, xoauth2), long(pop3.XOAUTH2)
	challenge := "+ " + badToken + "\r\n"
	for _, c := range []struct {
		name  string
		entry backend.Entry
		turns []string
		step  backend.Step
	}{
		{"accepted unseen", large, []string{"+OK\r\n", "+OK in\r\n"}, backend.Auth},
		{"a challenge before the message", large, []string{"+OK\r\n", challenge}, backend.Auth},
		{"a challenge to PLAIN", plain(user, password), []string{"+OK\r\n", challenge}, backend.Auth},
		{"a challenge to PLAIN's message", plain(user, password), []string{"+OK\r\n", "+ \r\n", challenge}, backend.Message},
		{"PLAIN's message is asked for twice", plain(user, password), []string{"+OK\r\n", "+ \r\n", "+ \r\n"}, backend.Message},
		{"two challenges", short, []string{"+OK\r\n", challenge, challenge}, backend.Challenge},
		{"an empty second one", short, []string{"+OK\r\n", challenge, "+ \r\n"}, backend.Challenge},
		{"a third prompt", large, []string{"+OK\r\n", "+ \r\n", "+ \r\n", "+ \r\n"}, backend.Challenge},
		{"greets with a challenge", short, []string{"+ \r\n"}, backend.Greeting},
		{"prompt and more", large, []string{"+OK\r\n", "+ \r\n+OK in\r\n"}, backend.Message},
		{"greeting and prompt", large, []string{"+OK\r\n+ \r\n"}, backend.Auth},
		{"greeting and verdict", plain(user, password), []string{"+OK\r\n+OK in\r\n"}, backend.Auth},
		{"challenge and verdict", short, []string{"+OK\r\n", challenge + "-ERR no\r\n"}, backend.Challenge},
		{"challenge and a half", short, []string{"+OK\r\n", challenge + "-"}, backend.Challenge},
	} {
		for _, chunk := range []int{0, 1} {
			o := play(t, backend.NewLogin(c.entry, refusals(t)), c.turns, chunk)
			if o.err == nil || o.err.Kind != backend.Protocol || o.err.Step != c.step {
				t.Errorf("%s, chunk %d: %v", c.name, chunk, o.err)
			}
		}
	}
}

func TestAuthStop(t *testing.T) {
	for _, at := range authSteps {
		for _, kind := range []backend.Kind{backend.Closed, backend.TimedOut, backend.Canceled} {
			l := backend.NewLogin(at.entry(), refusals(t))
			for _, turn := range at.turns {
				l.Input([]byte(turn))
				l.Acknowledge()
				l.Output()
			}
			l.Stop(kind, nil)
			if _, err, done := l.Result(); !done || err.Kind != kind || err.Step != at.step {
				t.Errorf("%s at %s: %v", kind, at.step, err)
			}
		}
	}
}

// What goes by AUTH PLAIN is checked like what goes by PASS: the backend might
// hand it on in a form where an octet ends a line. An OAuth message was checked by
// who read it, and its fields end in control octets.
func TestAuthUnsendable(t *testing.T) {
	for _, e := range []backend.Entry{
		plain("ali\x00ce", "x"), plain("alice\r\nDELE 1", "x"), plain("alice", "x\r\nQUIT"), plain("alice", "x\x00y"),
		plain("alice", strings.Repeat("p", 249)),
	} {
		_, err, done := backend.NewLogin(e, refusals(t)).Result()
		if !done || err.Kind != backend.Refused || err.Code != pop3.Auth {
			t.Errorf("%q: %v", e.User, err)
		}
	}
	e := oauth(pop3.OAUTHBEARER, bearer)
	e.User = "a name\r\nthat nobody is sent"
	if _, err, done := backend.NewLogin(e, refusals(t)).Result(); done {
		t.Error(err)
	}
}

// Each line with a secret is overwritten as soon as it was sent and something came.
func TestAuthForgetsTheSecret(t *testing.T) {
	for _, at := range authSteps {
		for name, end := range map[string]func(*backend.Login){
			"next line": func(l *backend.Login) { l.Input([]byte("-")) },
			"verdict":   func(l *backend.Login) { l.Input([]byte("-ERR no\r\n")) },
			"closed":    func(l *backend.Login) { l.Stop(backend.Closed, nil) },
		} {
			l := backend.NewLogin(at.entry(), refusals(t))
			var sent [][]byte
			for _, turn := range at.turns {
				l.Input([]byte(turn))
				l.Acknowledge()
				sent = append(sent, l.Output())
			}
			end(l)
			for _, line := range sent {
				if !bytes.Equal(line, make([]byte, len(line))) {
					t.Errorf("%s at %s: the buffer still holds %.80q", name, at.step, line)
				}
			}
		}
	}
}

// A server that repeats what it was told must not bring the secret to a log, be
// it whole or cut, encoded or not.
func TestAuthErrorsNeverHoldTheSecret(t *testing.T) {
	for _, c := range []struct {
		entry   backend.Entry
		message string
		inside  []string // what of the message is a secret by itself
	}{
		{plain(user, password), "\x00" + user + "\x00" + password, []string{password}},
		{oauth(pop3.XOAUTH2, xoauth2), xoauth2, []string{token, token[:20] + "..."}},
		{oauth(pop3.OAUTHBEARER, bearer), bearer, []string{token, token[:20] + "..."}},
	} {
		for _, told := range append(c.inside, encoded(c.message), encoded(c.message)[:40]+"...") {
			for _, line := range []string{"-ERR unknown command AUTH X " + told, "AUTH X " + told, "-ERR [AUTH] " + told + " is wrong", "+OKAY " + told} {
				o := play(t, backend.NewLogin(c.entry, refusals(t)), []string{"+OK\r\n", line + "\r\n"}, 0)
				if o.err == nil {
					t.Fatalf("%.40q is no error", line)
				}
				shown := o.err.Error() + fmt.Sprintf("%+v %#v", o.err, *o.err)
				if strings.Contains(shown, told[:16]) {
					t.Errorf("%q shows as %s", line, shown)
				}
			}
		}
	}
}

// What repeats nothing is quoted, however short the secret.
func TestAuthErrorsHoldTheText(t *testing.T) {
	for _, e := range []backend.Entry{plain("a", "b"), plain(user, password), oauth(pop3.XOAUTH2, "\x01"), oauth(pop3.XOAUTH2, xoauth2)} {
		o := play(t, backend.NewLogin(e, refusals(t)), []string{"+OK\r\n", "-ERR [SYS/TEMP] no auth server\r\n"}, 0)
		if o.err == nil || o.err.Text != "[SYS/TEMP] no auth server" {
			t.Errorf("%v", o.err)
		}
	}
}
