package backend_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// The token of every test, a canary as the password is one.
const (
	token    = "c4nary-eyJhbGciOiJSUzI1NiJ9.token"
	xoauth2  = "user=" + user + "\x01auth=Bearer " + token + "\x01\x01"
	bearer   = "n,a=" + user + ",\x01host=pop.example.com\x01port=995\x01auth=Bearer " + token + "\x01\x01"
	badToken = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJwb3AifQ==" // {"status":"invalid_token","scope":"pop"}
)

func encoded(message string) string { return base64.StdEncoding.EncodeToString([]byte(message)) }

var sentPlain = "AUTH PLAIN " + encoded("\x00"+user+"\x00"+password) + "\r\n"

// plain is an entry into a backend that is known to offer AUTH PLAIN.
func plain(user, password string) backend.Entry {
	e := entry(user, password)
	e.AuthPlain = true
	return e
}

func oauth(mechanism pop3.Mechanism, message string) backend.Entry {
	return backend.Entry{
		User:        "not used",
		Credentials: pop3.Credentials{Mechanism: mechanism, User: user, Secret: pop3.NewSecret([]byte(message))},
	}
}

// long is a message whose AUTH line no server has to take.
func long(mechanism pop3.Mechanism) backend.Entry {
	return oauth(mechanism, strings.Replace(bearer, token, token+strings.Repeat("x", 16<<10), 1))
}

func TestLoginPlain(t *testing.T) {
	for _, c := range []struct {
		name  string
		turns []string
		want  string // the text of +OK, or the code
		code  pop3.Code
	}{
		{name: "dovecot", turns: []string{"+OK Dovecot ready.\r\n", "+OK Logged in.\r\n"}, want: "Logged in."},
		{name: "cyrus", turns: []string{"+OK ready <1.2@pop.example.org>\r\n", "+OK Mailbox locked and ready\r\n"}, want: "Mailbox locked and ready"},
		{name: "dovecot refuses", turns: []string{"+OK Dovecot ready.\r\n", "-ERR [AUTH] Authentication failed.\r\n"}, code: pop3.Auth},
		{name: "dovecot locked", turns: []string{"+OK Dovecot ready.\r\n", "-ERR [IN-USE] Mailbox is locked by another POP3 session.\r\n"}, code: pop3.InUse},
		{name: "cyrus locked", turns: []string{"+OK ready\r\n", "-ERR Unable to lock maildrop: Mailbox is locked by POP server\r\n"}, code: pop3.InUse},
		{name: "no reason", turns: []string{"+OK ready\r\n", "-ERR unknown user or wrong password\r\n"}, code: pop3.Auth},
	} {
		for _, chunk := range []int{0, 1, 7} {
			o := play(t, backend.NewLogin(plain(user, password), refusals(t)), c.turns, chunk)
			if len(o.sent) != 1 || o.sent[0] != sentPlain {
				t.Errorf("%s: sent %q, want %q", c.name, o.sent, sentPlain)
			}
			if c.code == pop3.NoCode {
				if o.err != nil || !o.reply.OK || o.reply.Text != c.want {
					t.Errorf("%s: %+v, %v; want +OK %s", c.name, o.reply, o.err, c.want)
				}
				continue
			}
			if o.err == nil || o.err.Kind != backend.Refused || o.err.Code != c.code || o.err.Step != backend.Auth {
				t.Errorf("%s: error %v, want refused with %s", c.name, o.err, c.code)
			}
		}
	}
}

// The backend's user name is the route's, whatever the client typed; PLAIN and
// LOGIN from the client are passwords like any other.
func TestLoginWaysIn(t *testing.T) {
	for _, c := range []struct {
		name  string
		entry backend.Entry
		first string
	}{
		{"nothing known", entry("alice", "secret"), "USER alice\r\n"},
		{"plain offered", plain("alice", "secret"), "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"},
		{"from PLAIN, nothing known", backend.Entry{User: "alice", Credentials: pop3.Credentials{Mechanism: pop3.PLAIN, User: "typed", Secret: pop3.NewSecret([]byte("secret"))}}, "USER alice\r\n"},
		{"from PLAIN, plain offered", backend.Entry{User: "alice", AuthPlain: true, Credentials: pop3.Credentials{Mechanism: pop3.PLAIN, User: "typed", Secret: pop3.NewSecret([]byte("secret"))}}, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"},
		{"from LOGIN, plain offered", backend.Entry{User: "alice", AuthPlain: true, Credentials: pop3.Credentials{Mechanism: pop3.LOGIN, User: "typed", Secret: pop3.NewSecret([]byte("secret"))}}, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"},
		{"utf-8", plain("alice", "p\u00e4ss"), "AUTH PLAIN AGFsaWNlAHDDpHNz\r\n"},
		{"latin-1", plain("alice", "p\xe4ss"), "USER alice\r\n"},
		{"latin-1 user", plain("\xe4lice", "pass"), "USER \xe4lice\r\n"},
		{"longest line", plain(strings.Repeat("u", 80), strings.Repeat("p", 98)), "AUTH PLAIN " + encoded("\x00"+strings.Repeat("u", 80)+"\x00"+strings.Repeat("p", 98)) + "\r\n"},
		{"longer", plain(strings.Repeat("u", 80), strings.Repeat("p", 99)), "USER " + strings.Repeat("u", 80) + "\r\n"},
		{"longest to be sent", plain(strings.Repeat("u", 248), strings.Repeat("p", 248)), "USER " + strings.Repeat("u", 248) + "\r\n"},
		{"oauth", oauth(pop3.XOAUTH2, xoauth2), "AUTH XOAUTH2 " + encoded(xoauth2) + "\r\n"},
		{"oauth with a long message", long(pop3.OAUTHBEARER), "AUTH OAUTHBEARER\r\n"},
	} {
		o := play(t, backend.NewLogin(c.entry, refusals(t)), []string{"+OK\r\n"}, 0)
		if len(o.sent) != 1 || o.sent[0] != c.first {
			t.Errorf("%s: sent %q, want %q", c.name, o.sent, c.first)
		}
		for _, line := range o.sent {
			if len(line) > pop3.MaxCommandLine {
				t.Errorf("%s: a line of %d octets", c.name, len(line))
			}
		}
	}
}

// An entry that begins with USER because PLAIN doesn't fit ends like any other.
func TestLoginFallsBackToPass(t *testing.T) {
	p := strings.Repeat("p", 200)
	o := play(t, backend.NewLogin(plain(user, p), refusals(t)), []string{"+OK\r\n", "+OK\r\n", "+OK in\r\n"}, 0)
	if o.err != nil || strings.Join(o.sent, "") != sentUser+"PASS "+p+"\r\n" {
		t.Errorf("sent %q, %v", o.sent, o.err)
	}
}

func TestLoginOAuth(t *testing.T) {
	for mechanism, message := range map[pop3.Mechanism]string{pop3.XOAUTH2: xoauth2, pop3.OAUTHBEARER: bearer} {
		auth := "AUTH " + string(mechanism)
		whole := auth + " " + encoded(message) + "\r\n"
		if len(whole) > pop3.MaxCommandLine {
			t.Fatalf("the short message takes %d octets", len(whole))
		}
		o := play(t, backend.NewLogin(oauth(mechanism, message), refusals(t)), []string{"+OK\r\n", "+OK in\r\nrest"}, 0)
		if o.err != nil || o.reply.Text != "in" || o.rest != "rest" || strings.Join(o.sent, "|") != whole {
			t.Errorf("%s: sent %q, %+v, %v", mechanism, o.sent, o.reply, o.err)
		}
		e := long(mechanism)
		want := auth + "\r\n|" + encoded(string(e.Credentials.Secret.Reveal())) + "\r\n"
		for _, prompt := range []string{"+ \r\n", "+\r\n", "+ \n"} {
			o := play(t, backend.NewLogin(e, refusals(t)), []string{"+OK\r\n", prompt, "+OK in\r\n"}, 0)
			if o.err != nil || strings.Join(o.sent, "|") != want {
				t.Errorf("%s: sent %.60q, %v", mechanism, o.sent, o.err)
			}
		}
	}
}

// Servers that predate initial responses (RFC 1734) ask for what they were given.
func TestLoginRepeatsTheMessage(t *testing.T) {
	for name, c := range map[string]struct {
		entry backend.Entry
		want  string
	}{
		"plain":   {plain(user, password), sentPlain + encoded("\x00"+user+"\x00"+password) + "\r\n"},
		"xoauth2": {oauth(pop3.XOAUTH2, xoauth2), "AUTH XOAUTH2 " + encoded(xoauth2) + "\r\n" + encoded(xoauth2) + "\r\n"},
	} {
		for last, kind := range map[string]backend.Kind{"+OK in\r\n": 0, "-ERR [AUTH] no\r\n": backend.Refused} {
			o := play(t, backend.NewLogin(c.entry, refusals(t)), []string{"+OK\r\n", "+ \r\n", last}, 0)
			if strings.Join(o.sent, "") != c.want {
				t.Errorf("%s: sent %q, want %q", name, o.sent, c.want)
			}
			if kind == 0 && o.err != nil || kind != 0 && (o.err == nil || o.err.Kind != kind || o.err.Step != backend.Message) {
				t.Errorf("%s: %q came to %v", name, last, o.err)
			}
		}
	}
}

func TestLoginChallenge(t *testing.T) {
	for _, c := range []struct {
		entry  backend.Entry
		before []string
		answer string
	}{
		{oauth(pop3.XOAUTH2, xoauth2), []string{"+OK\r\n"}, "\r\n"},
		{oauth(pop3.OAUTHBEARER, bearer), []string{"+OK\r\n"}, "AQ==\r\n"},
		{long(pop3.XOAUTH2), []string{"+OK\r\n", "+ \r\n"}, "\r\n"},
		{long(pop3.OAUTHBEARER), []string{"+OK\r\n", "+ \r\n"}, "AQ==\r\n"},
	} {
		l := backend.NewLogin(c.entry, refusals(t))
		for _, turn := range c.before {
			feed(t, l, []byte(turn), 1)
			l.Output()
		}
		if text, asked := l.Challenge(); asked || text != "" {
			t.Fatalf("asks %q before the backend did", text)
		}
		feed(t, l, []byte("+ "+badToken+"\r\n"), 1)
		text, asked := l.Challenge()
		if _, _, done := l.Result(); done || !asked || text != badToken || l.Step() != backend.Challenge || l.Output() != nil {
			t.Fatalf("at %s, asks %v %q, done %v", l.Step(), asked, text, done)
		}
		l.Acknowledge()
		if out := string(l.Output()); out != c.answer {
			t.Errorf("answers %q, want %q", out, c.answer)
		}
		if _, asked := l.Challenge(); asked {
			t.Error("asks again")
		}
		l.Acknowledge()
		if out := l.Output(); out != nil {
			t.Errorf("answers again: %q", out)
		}
		feed(t, l, []byte("-ERR [SYS/PERM] blocked\r\n"), 1)
		_, err, done := l.Result()
		if !done || err.Kind != backend.Refused || err.Code != pop3.SysPerm || err.Step != backend.Challenge {
			t.Errorf("verdict %v", err)
		}
		if text, asked := l.Challenge(); asked || text != badToken {
			t.Errorf("behind the verdict: %v %q", asked, text)
		}
	}
}

// A backend that accepts after all has the last word.
func TestLoginChallengeThenAccepted(t *testing.T) {
	o := play(t, backend.NewLogin(oauth(pop3.OAUTHBEARER, bearer), refusals(t)),
		[]string{"+OK\r\n", "+ " + badToken + "\r\n", "+OK in\r\nrest"}, 1)
	if o.err != nil || o.reply.Text != "in" || o.rest != "rest" || o.challenge != badToken {
		t.Errorf("%+v, %v", o.reply, o.err)
	}
}

// While the client is asked, the driver may give up, and a backend has nothing to say.
func TestLoginChallengeUnanswered(t *testing.T) {
	challenged := func() *backend.Login {
		l := backend.NewLogin(oauth(pop3.OAUTHBEARER, bearer), refusals(t))
		l.Input([]byte("+OK\r\n"))
		l.Output()
		l.Input([]byte("+ " + badToken + "\r\n"))
		return l
	}
	for kind, end := range map[backend.Kind]func(*backend.Login){
		backend.Canceled: func(l *backend.Login) { l.Stop(backend.Canceled, nil) },
		backend.TimedOut: func(l *backend.Login) { l.Stop(backend.TimedOut, nil) },
		backend.Closed:   func(l *backend.Login) { l.Stop(backend.Closed, nil) },
		backend.Protocol: func(l *backend.Login) { l.Input([]byte("-ERR")) },
	} {
		l := challenged()
		end(l)
		_, err, done := l.Result()
		if !done || err.Kind != kind || err.Step != backend.Challenge {
			t.Errorf("%s: %v", kind, err)
		}
		l.Acknowledge()
		if _, asked := l.Challenge(); asked || l.Output() != nil {
			t.Errorf("%s: goes on behind its end", kind)
		}
	}
}

// A backend that goes on without the answer is not shown to the client.
func TestLoginChallengeThatDoesNotWait(t *testing.T) {
	for _, more := range []string{"-ERR no\r\n", "+OK in\r\n", "+"} {
		l := backend.NewLogin(oauth(pop3.XOAUTH2, xoauth2), refusals(t))
		l.Input([]byte("+OK\r\n"))
		l.Output()
		l.Input([]byte("+ " + badToken + "\r\n" + more))
		_, asked := l.Challenge()
		if _, err, done := l.Result(); asked || !done || err.Kind != backend.Protocol {
			t.Errorf("%q behind: asked %v, %v", more, asked, err)
		}
	}
}

func TestLoginLongestChallenge(t *testing.T) {
	for n, err := range map[int]error{2048: nil, 2049: pop3.ErrLineTooLong} {
		text := strings.Repeat("x", n-len("+ \r\n"))
		o := play(t, backend.NewLogin(oauth(pop3.XOAUTH2, xoauth2), refusals(t)),
			[]string{"+OK\r\n", "+ " + text + "\r\n", "-ERR no\r\n"}, 0)
		if err == nil && (o.challenge != text || o.err.Kind != backend.Refused) || err != nil && !errors.Is(o.err, err) {
			t.Errorf("%d octets: %v", n, o.err)
		}
	}
}
