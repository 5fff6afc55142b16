package backend_test

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// What real servers answer to CAPA before login, greeting first; read in their
// sources or in published transcripts.
var offers = []struct {
	name     string
	greeting string
	capa     string
	want     pop3.Capabilities
}{
	{
		name: "dovecot", greeting: "+OK Dovecot (Debian) ready.\r\n",
		capa: "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nSTLS\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n",
		want: pop3.Capabilities{Top: true, UIDL: true, RespCodes: true, Pipelining: true, AuthRespCode: true, STLS: true, User: true, SASL: []pop3.Mechanism{pop3.PLAIN, pop3.LOGIN}},
	},
	{
		name: "dovecot without plaintext", greeting: "+OK Dovecot ready.\r\n",
		capa: "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nSTLS\r\nSASL\r\n.\r\n",
		want: pop3.Capabilities{Top: true, UIDL: true, RespCodes: true, Pipelining: true, AuthRespCode: true, STLS: true},
	},
	{
		name: "courier", greeting: "+OK Hello there.\r\n",
		capa: "+OK Here's what I can do:\r\nSTLS\r\nTOP\r\nUSER\r\nLOGIN-DELAY 10\r\nPIPELINING\r\nUIDL\r\nUTF8 USER\r\nIMPLEMENTATION Courier Mail Server\r\n.\r\n",
		want: pop3.Capabilities{Top: true, UIDL: true, Pipelining: true, STLS: true, User: true},
	},
	{
		name: "courier with SASL", greeting: "+OK Hello there.\r\n",
		capa: "+OK Here's what I can do:\r\nSASL LOGIN CRAM-MD5 PLAIN\r\nTOP\r\nUSER\r\nLOGIN-DELAY 10\r\nPIPELINING\r\nUIDL\r\n.\r\n",
		want: pop3.Capabilities{Top: true, UIDL: true, Pipelining: true, User: true, SASL: []pop3.Mechanism{pop3.LOGIN, pop3.PLAIN}},
	},
	{
		name: "cyrus", greeting: "+OK pop.example.org Cyrus POP3 v2.4.17 server ready <1573.1234@pop.example.org>\r\n",
		capa: "+OK List of capabilities follows\r\nSASL DIGEST-MD5 CRAM-MD5 PLAIN\r\nSTLS\r\nEXPIRE NEVER\r\nLOGIN-DELAY 0\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nUSER\r\nIMPLEMENTATION Cyrus POP3 server v2.4.17\r\n.\r\n",
		want: pop3.Capabilities{Top: true, UIDL: true, RespCodes: true, Pipelining: true, AuthRespCode: true, STLS: true, User: true, SASL: []pop3.Mechanism{pop3.PLAIN}},
	},
	{
		name: "qpopper", greeting: "+OK Qpopper (version 4.0.5) at pop.example.org starting.  <29775.1042@pop.example.org>\r\n",
		capa: "+OK Capability list follows\r\nTOP\r\nUSER\r\nLOGIN-DELAY 0\r\nEXPIRE 0\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nX-MANGLE\r\nX-MACRO\r\nX-LOCALTIME Tue, 6 Jan 2026 10:00:00 +0100\r\nIMPLEMENTATION Qpopper-version-4.0.5\r\n.\r\n",
		want: pop3.Capabilities{Top: true, UIDL: true, RespCodes: true, AuthRespCode: true, User: true},
	},
	{
		name: "gnu pop3d", greeting: "+OK POP3 Ready <123.456@pop.example.org>\n",
		capa: "+OK Capability list follows\nTOP\nUSER\nRESP-CODES\n.\n",
		want: pop3.Capabilities{Top: true, RespCodes: true, User: true},
	},
	{name: "an empty list", greeting: "+OK\r\n", capa: "+OK\r\n.\r\n"},
	{name: "popa3d", greeting: "+OK\r\n", capa: "-ERR\r\n", want: pop3.Capabilities{Top: true, UIDL: true}},
	{name: "qmail-pop3d", greeting: "+OK <1.2@pop.example.org>\r\n", capa: "-ERR authorization first\r\n", want: pop3.Capabilities{Top: true, UIDL: true}},
	{name: "solid-pop3d", greeting: "+OK Solid POP3 server ready\r\n", capa: "-ERR unknown command\r\n", want: pop3.Capabilities{Top: true, UIDL: true}},
}

// answers is all that a driver sees of an inquiry.
type answers struct {
	sent  string
	offer pop3.Capabilities
	err   *backend.Error
}

// inquire runs an inquiry like play does a login.
func inquire(t testing.TB, turns []string, chunk int) answers {
	t.Helper()
	var a answers
	q := backend.NewInquiry()
	for _, turn := range turns {
		for p := []byte(turn); len(p) > 0; {
			n := len(p)
			if chunk > 0 {
				n = min(n, chunk)
			}
			q.Input(p[:n])
			p = p[n:]
		}
		a.sent += string(q.Output())
	}
	q.Stop(backend.Closed, nil)
	a.sent += string(q.Output())
	offer, err, done := q.Result()
	if !done {
		t.Fatal("no result after the connection ended")
	}
	a.offer, a.err = offer, err
	return a
}

func TestInquiryFamilies(t *testing.T) {
	for _, f := range offers {
		for _, chunk := range []int{0, 1, 7} {
			a := inquire(t, []string{f.greeting, f.capa, "+OK bye\r\n"}, chunk)
			if a.err != nil || a.sent != "CAPA\r\nQUIT\r\n" || !reflect.DeepEqual(a.offer, f.want) {
				t.Errorf("%s, chunk %d: sent %q, %+v, %v", f.name, chunk, a.sent, a.offer, a.err)
			}
		}
	}
}

func TestInquirySteps(t *testing.T) {
	q := backend.NewInquiry()
	for _, c := range []struct {
		said string
		step backend.Step
		sent string
	}{
		{"", backend.Greeting, ""},
		{"+OK", backend.Greeting, ""},
		{" ready\r\n", backend.Capa, "CAPA\r\n"},
		{"+OK list\r\nTOP\r\n", backend.Capa, ""},
		{".", backend.Capa, ""},
		{"\r\n", backend.Quit, "QUIT\r\n"},
		{"", backend.Quit, ""},
	} {
		q.Input([]byte(c.said))
		if got := string(q.Output()); q.Step() != c.step || got != c.sent {
			t.Errorf("after %q: at %s, sends %q", c.said, q.Step(), got)
		}
		if _, _, done := q.Result(); done {
			t.Errorf("after %q: done", c.said)
		}
	}
	q.Input([]byte("+OK bye\r\n"))
	if offer, err, done := q.Result(); !done || err != nil || !offer.Top {
		t.Errorf("%+v, %v, done %v", offer, err, done)
	}
}

// Behind the list nothing is a fault any more: what the server offers is known.
func TestInquiryForgivesTheEnd(t *testing.T) {
	for _, end := range []string{"", "+OK bye\r\n", "-ERR?\r\n", "\x00\r\n", "TOP\r\n.\r\n", strings.Repeat("x", 64<<10)} {
		for _, turns := range [][]string{{"+OK\r\n", "+OK\r\nTOP\r\n.\r\n", end}, {"+OK\r\n", "+OK\r\nTOP\r\n.\r\n" + end}} {
			a := inquire(t, turns, 0)
			if a.err != nil || !a.offer.Top || a.sent != "CAPA\r\nQUIT\r\n" {
				t.Errorf("%.20q: sent %q, %+v, %v", end, a.sent, a.offer, a.err)
			}
		}
	}
	for _, kind := range []backend.Kind{backend.TimedOut, backend.Canceled, backend.Closed} {
		q := backend.NewInquiry()
		q.Input([]byte("+OK\r\n"))
		q.Output()
		q.Input([]byte("-ERR\r\n"))
		q.Output()
		q.Stop(kind, io.ErrClosedPipe)
		if offer, err, done := q.Result(); !done || err != nil || !offer.UIDL {
			t.Errorf("%s: %+v, %v, %v", kind, offer, err, done)
		}
	}
}

func TestInquiryFaults(t *testing.T) {
	const greeted = "+OK\r\n"
	for _, c := range []struct {
		name  string
		turns []string
		kind  backend.Kind
		step  backend.Step
		sent  string
	}{
		{"silent", []string{""}, backend.Closed, backend.Greeting, ""},
		{"too busy", []string{"-ERR too many connections\r\n"}, backend.Temporary, backend.Greeting, ""},
		{"too early", []string{"+OK\r\n+OK\r\nTOP\r\n.\r\n"}, backend.Protocol, backend.Capa, "QUIT\r\n"},
		{"closes at CAPA", []string{greeted, ""}, backend.Closed, backend.Capa, "CAPA\r\n"},
		{"closes in the list", []string{greeted, "+OK\r\nTOP\r\n"}, backend.Closed, backend.Capa, "CAPA\r\n"},
		{"out of order for now", []string{greeted, "-ERR [SYS/TEMP] no auth server\r\n"}, backend.Temporary, backend.Capa, "CAPA\r\nQUIT\r\n"},
		{"NUL in the list", []string{greeted, "+OK\r\nTO\x00P\r\n.\r\n"}, backend.Protocol, backend.Capa, "CAPA\r\nQUIT\r\n"},
		{"an endless line", []string{greeted, "+OK\r\n" + strings.Repeat("x", 64<<10)}, backend.Protocol, backend.Capa, "CAPA\r\nQUIT\r\n"},
		{"an endless list", []string{greeted, "+OK\r\n" + strings.Repeat("X-1\r\n", 64<<10)}, backend.Protocol, backend.Capa, "CAPA\r\nQUIT\r\n"},
	} {
		for _, chunk := range []int{0, 1} {
			a := inquire(t, c.turns, chunk)
			if a.err == nil || a.err.Kind != c.kind || a.err.Step != c.step || a.sent != c.sent {
				t.Errorf("%s, chunk %d: sent %q, %v", c.name, chunk, a.sent, a.err)
			}
		}
	}
}

func TestInquiryMalformed(t *testing.T) {
	for _, m := range malformed {
		for said, step := range []backend.Step{backend.Greeting, backend.Capa} {
			for _, chunk := range []int{0, 1} {
				a := inquire(t, append([]string{"+OK\r\n"}[:said], m.line), chunk)
				if a.err == nil || a.err.Kind != backend.Protocol || a.err.Step != step || !errors.Is(a.err, m.err) {
					t.Errorf("%s at %s, chunk %d: %v", m.name, step, chunk, a.err)
				}
				if want := strings.Repeat("CAPA\r\nQUIT\r\n", said); a.sent != want {
					t.Errorf("%s at %s: sent %q", m.name, step, a.sent)
				}
			}
		}
	}
}

// Our side giving up is told too, where there is somebody to tell.
func TestInquiryStopSaysQuit(t *testing.T) {
	for kind, want := range map[backend.Kind]string{backend.TimedOut: "QUIT\r\n", backend.Canceled: "QUIT\r\n", backend.Closed: ""} {
		q := backend.NewInquiry()
		q.Input([]byte("+OK\r\n"))
		q.Output()
		q.Stop(kind, nil)
		q.Stop(backend.Unreachable, nil)
		_, err, done := q.Result()
		if out := string(q.Output()); !done || err.Kind != kind || err.Step != backend.Capa || out != want {
			t.Errorf("%s: %v, sends %q", kind, err, out)
		}
		q.Input([]byte("+OK\r\n"))
		if out := q.Output(); len(out) > 0 {
			t.Errorf("%s: goes on with %q", kind, out)
		}
	}
}

// FuzzInquiry lets a backend say anything: it hears CAPA once at most and QUIT
// once at most, in that order, and the octets' cutting doesn't matter.
func FuzzInquiry(f *testing.F) {
	for _, o := range offers {
		f.Add([]byte(o.greeting), []byte(o.capa), []byte("+OK\r\n"), uint8(1))
	}
	for _, m := range malformed {
		if len(m.line) < 4<<10 {
			f.Add([]byte("+OK\r\n"), []byte(m.line), []byte("\r\n"), uint8(3))
		}
	}
	f.Fuzz(func(t *testing.T, greeting, capa, bye []byte, chunk uint8) {
		turns := []string{string(greeting), string(capa), string(bye)}
		whole, cut := inquire(t, turns, 0), inquire(t, turns, int(chunk)+1)
		if !reflect.DeepEqual(whole.offer, cut.offer) || (whole.err == nil) != (cut.err == nil) {
			t.Fatalf("in one %+v, %v; cut %+v, %v", whole.offer, whole.err, cut.offer, cut.err)
		}
		for _, a := range []answers{whole, cut} {
			if a.err == nil && a.sent != "CAPA\r\nQUIT\r\n" || !strings.HasPrefix("CAPA\r\nQUIT\r\n", a.sent) && a.sent != "QUIT\r\n" {
				t.Fatalf("sent %q, %v", a.sent, a.err)
			}
			if a.err != nil && (!reflect.DeepEqual(a.offer, pop3.Capabilities{}) || len(a.err.Text) > 160) {
				t.Fatalf("%+v with %v", a.offer, a.err)
			}
		}
	})
}
