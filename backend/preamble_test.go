package backend_test

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// wishes make an entry of one that has none.
type wishes struct{ stls, xclient, pipelining, plain bool }

var origin = backend.Origin{Client: netip.MustParseAddrPort("192.0.2.7:4711"), Session: "sess", TTL: 3}

const (
	sentSTLS    = "STLS\r\n"
	sentXCLIENT = "XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=sess TTL=2\r\n"
)

func (w wishes) entry() backend.Entry {
	e := entry(user, password)
	e.STLS, e.XCLIENT, e.Pipelining, e.AuthPlain, e.Origin = w.stls, w.xclient, w.pipelining, w.plain, origin
	return e
}

// What goes out in how many segments. Behind the greeting a login takes as many
// round trips as there are segments: with what a backend offers known, one, and
// one more for STLS.
func TestLoginSegments(t *testing.T) {
	for _, c := range []struct {
		wishes
		turns []string
		want  []string
	}{
		{wishes{}, []string{"+OK\r\n", "+OK\r\n", "+OK in\r\n"}, []string{sentUser, sentPass}},
		{wishes{pipelining: true}, []string{"+OK\r\n", "+OK\r\n+OK in\r\n"}, []string{sentUser + sentPass}},
		{wishes{plain: true}, []string{"+OK\r\n", "+OK in\r\n"}, []string{sentPlain}},
		{wishes{plain: true, pipelining: true}, []string{"+OK\r\n", "+OK in\r\n"}, []string{sentPlain}},
		{wishes{xclient: true}, []string{"+OK\r\n", "+OK Updated\r\n", "+OK\r\n", "+OK in\r\n"}, []string{sentXCLIENT, sentUser, sentPass}},
		{wishes{xclient: true, plain: true}, []string{"+OK\r\n", "+OK Updated\r\n", "+OK in\r\n"}, []string{sentXCLIENT, sentPlain}},
		{wishes{xclient: true, pipelining: true}, []string{"+OK\r\n", "+OK Updated\r\n+OK\r\n+OK in\r\n"}, []string{sentXCLIENT + sentUser + sentPass}},
		{wishes{xclient: true, pipelining: true, plain: true}, []string{"+OK\r\n", "+OK Updated\r\n+OK in\r\n"}, []string{sentXCLIENT + sentPlain}},
		{wishes{stls: true}, []string{"+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK in\r\n"}, []string{sentSTLS, handshake, sentUser, sentPass}},
		{wishes{stls: true, plain: true}, []string{"+OK\r\n", "+OK\r\n", "+OK in\r\n"}, []string{sentSTLS, handshake, sentPlain}},
		{wishes{stls: true, xclient: true}, []string{"+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK in\r\n"}, []string{sentSTLS, handshake, sentXCLIENT, sentUser, sentPass}},
		{wishes{true, true, true, true}, []string{"+OK\r\n", "+OK\r\n", "+OK\r\n+OK in\r\n"}, []string{sentSTLS, handshake, sentXCLIENT + sentPlain}},
	} {
		for _, chunk := range []int{0, 1, 7} {
			last := len(c.turns) - 1
			turns := append(append([]string{}, c.turns[:last]...), c.turns[last]+"+OK 2 320\r\nrest")
			o := play(t, backend.NewLogin(c.entry(), refusals(t)), turns, chunk)
			if o.err != nil || o.reply.Text != "in" || strings.Join(o.sent, "|") != strings.Join(c.want, "|") {
				t.Errorf("%+v: sent %q, %+v, %v", c.wishes, o.sent, o.reply, o.err)
			}
			if o.rest != "+OK 2 320\r\nrest" {
				t.Errorf("%+v: rest %q", c.wishes, o.rest)
			}
		}
	}
}

// The first refusal is the verdict, at its own step, whatever follows it: after a
// refused USER the PASS behind it is refused too, or, by who takes anything, is not.
func TestLoginPipelinedRefusals(t *testing.T) {
	all := wishes{xclient: true, pipelining: true}
	plain := wishes{xclient: true, pipelining: true, plain: true}
	for _, c := range []struct {
		wishes
		says string
		kind backend.Kind
		step backend.Step
		code pop3.Code
	}{
		{wishes{pipelining: true}, "-ERR who?\r\n-ERR USER first\r\n", backend.Refused, backend.User, pop3.Auth},
		{wishes{pipelining: true}, "-ERR [SYS/TEMP] later\r\n-ERR USER first\r\n", backend.Refused, backend.User, pop3.SysTemp},
		{wishes{pipelining: true}, "-ERR who?\r\n+OK in\r\n", backend.Refused, backend.User, pop3.Auth},
		{wishes{pipelining: true}, "+OK\r\n-ERR [IN-USE] no\r\n", backend.Refused, backend.Pass, pop3.InUse},
		{wishes{pipelining: true}, "+OK\r\n+ \r\n", backend.Protocol, backend.Pass, ""},
		{wishes{pipelining: true}, "+OK\r\n", backend.Closed, backend.Pass, ""},
		{all, "-ERR Invalid parameters\r\n+OK\r\n+OK in\r\n", backend.Temporary, backend.Xclient, ""},
		{all, "-ERR [AUTH] no\r\n", backend.Temporary, backend.Xclient, ""},
		{all, "+OK\r\n-ERR no\r\n", backend.Refused, backend.User, pop3.Auth},
		{all, "+OK\r\n+OK\r\n-ERR no\r\n", backend.Refused, backend.Pass, pop3.Auth},
		{all, "+ \r\n", backend.Protocol, backend.Xclient, ""},
		{plain, "-ERR unknown command\r\n+OK in\r\n", backend.Temporary, backend.Xclient, ""},
		{plain, "+OK\r\n-ERR [AUTH] no\r\n", backend.Refused, backend.Auth, pop3.Auth},
		{plain, "+OK\r\n-ERR Unknown command.\r\n", backend.Temporary, backend.Auth, ""},
	} {
		for _, chunk := range []int{0, 1} {
			o := play(t, backend.NewLogin(c.entry(), refusals(t)), []string{"+OK\r\n", c.says}, chunk)
			if o.err == nil || o.err.Kind != c.kind || o.err.Step != c.step || o.err.Code != c.code {
				t.Errorf("%+v, %q: %v", c.wishes, c.says, o.err)
			}
		}
	}
}

// Nothing but STLS is sent before TLS is up, and no answer to it but a bare +OK
// goes on.
func TestLoginSTLSFaults(t *testing.T) {
	for _, c := range []struct {
		says string
		kind backend.Kind
		step backend.Step
	}{
		{"-ERR unknown command\r\n", backend.Unsecured, backend.Stls},
		{"-ERR [AUTH] TLS is off\r\n", backend.Unsecured, backend.Stls},
		{"-ERR [SYS/TEMP] later\r\n", backend.Unsecured, backend.Stls},
		{"+ \r\n", backend.Protocol, backend.Stls},
		{"220 ready\r\n", backend.Protocol, backend.Stls},
		{"+OK begin\r\n+OK\r\n", backend.Protocol, backend.Secure},
		{"+OK begin\r\n+OK\r\n+OK\r\n+OK in\r\n", backend.Protocol, backend.Secure},
		{"+OK begin\r\n\x16", backend.Protocol, backend.Secure},
	} {
		o := play(t, backend.NewLogin(wishes{stls: true}.entry(), refusals(t)), []string{"+OK\r\n", c.says}, 0)
		if o.err == nil || o.err.Kind != c.kind || o.err.Step != c.step {
			t.Errorf("%q: %v", c.says, o.err)
		}
		if strings.Join(o.sent, "|") != sentSTLS {
			t.Errorf("%q: sent %q", c.says, o.sent)
		}
	}
}

// waiting is a login whose backend waits for the handshake.
func waiting(t *testing.T) *backend.Login {
	t.Helper()
	l := backend.NewLogin(wishes{true, true, true, true}.entry(), refusals(t))
	for range 2 {
		l.Input([]byte("+OK\r\n"))
		l.Output()
	}
	if !l.NeedsTLS() || l.Step() != backend.Secure {
		t.Fatalf("at %s, needs TLS: %v", l.Step(), l.NeedsTLS())
	}
	return l
}

func TestLoginHandshakeFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind backend.Kind
	}{
		{errors.New("x509: certificate has expired"), backend.Unsecured},
		{&backend.Error{Kind: backend.TimedOut, Step: backend.Secure}, backend.TimedOut},
		{&backend.Error{Kind: backend.Unsecured, Step: backend.Secure, Err: io.EOF}, backend.Unsecured},
	} {
		l := waiting(t)
		l.Secured(c.err)
		_, err, done := l.Result()
		if !done || err.Kind != c.kind || err.Step != backend.Secure || l.NeedsTLS() || l.Output() != nil {
			t.Errorf("%v: %v", c.err, err)
		}
		l.Secured(nil)
		if out := l.Output(); out != nil {
			t.Errorf("sends %q behind its verdict", out)
		}
	}
}

// What comes in while the handshake is due was not said through TLS.
func TestLoginInputAheadOfTLS(t *testing.T) {
	l := waiting(t)
	l.Input([]byte("+OK in\r\n"))
	l.Secured(nil)
	if _, err, done := l.Result(); !done || err == nil || err.Kind != backend.Protocol || l.Output() != nil {
		t.Errorf("%v", err)
	}
	l = waiting(t)
	l.Stop(backend.Closed, nil)
	if _, err, done := l.Result(); !done || err.Kind != backend.Closed || err.Step != backend.Secure || l.NeedsTLS() {
		t.Errorf("%v", err)
	}
}

// TLS that nobody asked for changes nothing.
func TestLoginSecuredUnasked(t *testing.T) {
	l := newLogin(t)
	l.Secured(nil)
	l.Secured(errors.New("no"))
	if _, _, done := l.Result(); done || l.Step() != backend.Greeting || l.Output() != nil {
		t.Errorf("at %s", l.Step())
	}
}

// The last proxy of a loop says nothing at all.
func TestLoginLoop(t *testing.T) {
	for ttl, kind := range map[int]backend.Kind{0: 0, 5: 0, 2: 0, 1: backend.Loop, -1: backend.Loop} {
		e := wishes{xclient: true}.entry()
		e.Origin.TTL = ttl
		l := backend.NewLogin(e, refusals(t))
		_, err, done := l.Result()
		if done != (kind != 0) || done && (err.Kind != kind || err.Step != backend.Xclient) {
			t.Errorf("TTL %d: %v", ttl, err)
		}
		e.XCLIENT = false // who isn't told can't judge
		if _, _, done := backend.NewLogin(e, refusals(t)).Result(); done {
			t.Errorf("TTL %d: refused without XCLIENT", ttl)
		}
	}
}

// Words of servers that don't know AUTH PLAIN, and of those that don't know a user.
func TestLoginUnlearnt(t *testing.T) {
	for text, unlearnt := range map[string]bool{
		"Unknown command.":                      true,
		"Unsupported authentication mechanism.": true,
		"Invalid command.":                      true,
		"command not understood":                true,
		"not implemented":                       true,
		"[AUTH] Unknown command.":               false,
		"unknown user":                          false,
		"Authentication failed.":                false,
		"Invalid login":                         false,
		"Login failed.":                         false,
		"Invalid authentication credentials":    false,
		"Invalid auth token":                    false,
		"Invalid authentication":                false,
		"Syntax error in user name":             false,
		"Invalid authentication mechanism":      true,
		"":                                      false,
	} {
		o := play(t, backend.NewLogin(plain(user, password), refusals(t)), []string{"+OK\r\n", strings.TrimRight("-ERR "+text, " ") + "\r\n"}, 0)
		if o.err == nil || o.err.Unlearnt() != unlearnt || (o.err.Kind == backend.Refused) == unlearnt {
			t.Errorf("%q: %v, unlearnt %v", text, o.err, o.err.Unlearnt())
		}
		o = play(t, newLogin(t), []string{"+OK\r\n", "+OK\r\n", strings.TrimRight("-ERR "+text, " ") + "\r\n"}, 0)
		if o.err == nil || o.err.Kind != backend.Refused || o.err.Unlearnt() {
			t.Errorf("%q to PASS: %v", text, o.err)
		}
	}
}

// The longest of everything is sent whole, and overwritten when it was.
func TestLoginLongestSegment(t *testing.T) {
	e := wishes{xclient: true, pipelining: true}.entry()
	e.User = strings.Repeat("u", 248)
	e.Credentials.Secret = pop3.NewSecret([]byte(strings.Repeat("p", 248)))
	e.Origin.Session = strings.Repeat("s", 64)
	e.Origin.Client = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
	e.Origin.TLS.Version, e.Origin.TTL = "TLS 1.3", 1<<31-1
	l := backend.NewLogin(e, refusals(t))
	l.Input([]byte("+OK\r\n"))
	out := l.Output()
	lines := strings.SplitAfter(string(out), "\r\n")
	if len(lines) != 4 || len(lines[1]) != pop3.MaxCommandLine || lines[2] != "PASS "+strings.Repeat("p", 248)+"\r\n" {
		t.Fatalf("sent %q", out)
	}
	l.Input([]byte("+OK\r\n"))
	if strings.Trim(string(out), "\x00") != "" {
		t.Errorf("%q is left of the segment", out)
	}
}
