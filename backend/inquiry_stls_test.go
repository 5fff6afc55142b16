package backend_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3"
	"postern/proxy/tls/tlstest"
)

// An inquiry behind STLS, step by step.
func TestInquiryBehindSTLS(t *testing.T) {
	q := backend.NewInquiryBehindSTLS()
	for _, c := range []struct {
		said  string
		step  backend.Step
		sent  string
		needs bool
	}{
		{"+OK ready\r\n", backend.Stls, "STLS\r\n", false},
		{"+OK begin\r", backend.Stls, "", false},
		{"\n", backend.Secure, "", true},
	} {
		q.Input([]byte(c.said))
		if got := string(q.Output()); q.Step() != c.step || got != c.sent || q.NeedsTLS() != c.needs {
			t.Errorf("after %q: at %s, sends %q, needs TLS %v", c.said, q.Step(), got, q.NeedsTLS())
		}
	}
	q.Secured(nil)
	if got := string(q.Output()); got != "CAPA\r\n" || q.NeedsTLS() {
		t.Fatalf("behind the handshake it sends %q", got)
	}
	q.Input([]byte(full))
	q.Output()
	q.Input([]byte("+OK\r\n"))
	if offer, err, done := q.Result(); !done || err != nil || !offer.Pipelining {
		t.Errorf("%+v, %v, done %v", offer, err, done)
	}
}

func TestInquirySTLSFaults(t *testing.T) {
	for _, c := range []struct {
		says    string
		secured error
		kind    backend.Kind
		step    backend.Step
		sent    string // last
	}{
		{"-ERR unknown command\r\n", nil, backend.Unsecured, backend.Stls, "QUIT\r\n"},
		{"-ERR [SYS/TEMP] later\r\n", nil, backend.Unsecured, backend.Stls, "QUIT\r\n"},
		{"+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n", nil, backend.Protocol, backend.Secure, ""},
		{"220 ready\r\n", nil, backend.Protocol, backend.Stls, "QUIT\r\n"},
		{"+OK\r\n", errors.New("x509: no"), backend.Unsecured, backend.Secure, ""},
		{"+OK\r\n", &backend.Error{Kind: backend.TimedOut, Step: backend.Secure}, backend.TimedOut, backend.Secure, ""},
	} {
		q := backend.NewInquiryBehindSTLS()
		q.Input([]byte("+OK\r\n"))
		q.Output()
		q.Input([]byte(c.says))
		if c.secured != nil {
			q.Secured(c.secured)
		}
		_, err, done := q.Result()
		if out := string(q.Output()); !done || err == nil || err.Kind != c.kind || err.Step != c.step || out != c.sent {
			t.Errorf("%q: %v, sends %q", c.says, err, out)
		}
		if q.Secured(nil); len(q.Output()) > 0 || q.NeedsTLS() {
			t.Errorf("%q: goes on", c.says)
		}
	}
}

// behindSTLS is a script of which each turn waits for one line, and TLS follows the
// answer to STLS. What it hears goes to heard.
func behindSTLS(config *tls.Config, heard chan<- string, turns ...string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		var conn net.Conn = c
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		for _, turn := range turns {
			if _, err := io.WriteString(conn, turn); err != nil {
				return
			}
			line, err := oneLine(conn)
			if err != nil {
				return
			}
			heard <- line
			if line == "STLS" {
				_, _ = io.WriteString(conn, "+OK begin\r\n")
				conn = tls.Server(c, config)
				line, err = oneLine(conn)
				if err != nil {
					return
				}
				heard <- line
			}
		}
		_, _ = io.WriteString(conn, "+OK bye\r\n")
	}
}

// oneLine reads octet by octet, so that nothing behind it is taken.
func oneLine(r io.Reader) (string, error) {
	var line strings.Builder
	for p := make([]byte, 1); !strings.HasSuffix(line.String(), "\r\n"); line.Write(p) {
		if _, err := io.ReadFull(r, p); err != nil {
			return "", err
		}
	}
	return strings.TrimSuffix(line.String(), "\r\n"), nil
}

func TestLearnerAsksBehindSTLS(t *testing.T) {
	ca := tlstest.NewCA(t, "Ours")
	config := &tls.Config{Certificates: []tls.Certificate{chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}})}}
	heard := make(chan string, 16)
	address := listen(t, behindSTLS(config, heard, "+OK ready\r\n", full))
	target := backend.Target{Name: "guest-01", Addresses: []string{address}}
	target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSByCommand, Roots: ca.Pool()}, target.Addresses)
	l := learnOverSockets(t, []backend.Target{target}, func(l *backend.Learner, _ string) bool {
		_, ok := l.Of("guest-01")
		return ok
	})
	if offer, _ := l.Of("guest-01"); len(offer.SASL) != 1 {
		t.Errorf("learnt %s", listed(offer))
	}
	for _, want := range []string{"STLS", "CAPA", "QUIT"} {
		if got := <-heard; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}

// A backend whose certificate isn't believed teaches nothing.
func TestLearnerDistrusts(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{chain(t, tlstest.NewCA(t, "Stranger"), tlstest.Leaf{Names: []string{"127.0.0.1"}})}}
	address := listen(t, behindSTLS(config, make(chan string, 16), "+OK ready\r\n", full))
	target := backend.Target{Name: "guest-01", Addresses: []string{address}}
	target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSByCommand, Roots: tlstest.NewCA(t, "Ours").Pool()}, target.Addresses)
	l := learnOverSockets(t, []backend.Target{target}, func(_ *backend.Learner, said string) bool {
		return strings.Contains(said, "secure: no tls: x509: certificate signed by unknown authority")
	})
	if _, ok := l.Of("guest-01"); ok {
		t.Error("learnt from a stranger")
	}
}

// A login that was misled has its backend asked again at once, but not each login.
func TestLearnerSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		g := e.found(t, "1", full)
		l, _ := learn(t, e)
		l.Sync(targets(g))
		l.Suspect("guest-1") // nothing is known yet, and it is asked anyway
		l.Suspect("nobody")
		pass(2 * time.Second)
		g.set(unknown, false)
		for range 5 {
			l.Suspect("guest-1") // too soon after the answer
			pass(time.Second)
		}
		if n := len(g.times()); n != 1 {
			t.Fatalf("asked %d times", n)
		}
		pass(5 * time.Second)
		for range 3 {
			l.Suspect("guest-1")
		}
		pass(time.Second)
		if offer, _ := l.Of("guest-1"); len(g.times()) != 2 || len(offer.SASL) > 0 {
			t.Errorf("asked %d times, offers %s", len(g.times()), listed(offer))
		}
		g.target.Capabilities = &pop3.Capabilities{SASL: []pop3.Mechanism{pop3.PLAIN}}
		l.Sync(targets(g)) // an operator's word is not suspected
		pass(time.Minute)
		l.Suspect("guest-1")
		pass(time.Minute)
		if n := len(g.times()); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// What was learnt in plain text says nothing about the way through TLS, and a reload
// that changes nothing of the way keeps it and asks by the new rules.
func TestLearnerSyncOfTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen atomic.Pointer[backend.Target]
		e := &estate{}
		g := e.found(t, "1", full)
		l, _ := learn(t, watching{e, &seen})
		l.Sync(targets(g))
		pass(2 * time.Second)
		g.target.MaxLogins = 7
		l.Sync(targets(g))
		if _, ok := l.Of("guest-1"); !ok {
			t.Error("forgotten for a limit's sake")
		}
		pass(15 * time.Minute)
		if seen.Load().MaxLogins != 7 {
			t.Error("asked by the old target")
		}
		g.target.ProxyProtocol = backend.ProxyV2
		l.Sync(targets(g))
		if _, ok := l.Of("guest-1"); ok {
			t.Error("what was learnt on another way is kept")
		}
	})
}

// watching notes which target was dialed.
type watching struct {
	*estate
	seen *atomic.Pointer[backend.Target]
}

func (w watching) Dial(ctx context.Context, t backend.Target) (net.Conn, error) {
	w.seen.Store(&t)
	return w.estate.Dial(ctx, t)
}
