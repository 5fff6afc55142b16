package backend_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/pop3"
	"postern/proxy/tls/tlstest"
)

// enter logs in over a real connection, and returns the segments that our side sent
// after it was connected.
func enter(t *testing.T, target backend.Target, offer pop3.Capabilities, o backend.Origin) (conn net.Conn, segments []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err = backend.Dialer{KeepAlive: time.Minute}.DialFor(ctx, target, o)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := pop3.Credentials{User: user, Secret: pop3.NewSecret([]byte("right-pass word"))}
	l := backend.NewLogin(target.Entry(user, c, offer, o), refusals(t))
	buf := make([]byte, 512)
	for {
		if out := l.Output(); len(out) > 0 {
			segments = append(segments, string(out))
			if _, err := conn.Write(out); err != nil {
				t.Fatal(err)
			}
		}
		if l.NeedsTLS() {
			encrypted, err := backend.Handshake(ctx, conn, target)
			if l.Secured(err); err == nil {
				conn = encrypted
			}
			continue
		}
		if _, fault, done := l.Result(); done {
			if fault != nil {
				return conn, segments, fault
			}
			return conn, segments, nil
		}
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := conn.Read(buf)
		l.Input(buf[:n])
		if err != nil {
			l.Stop(backend.Closed, err)
		}
	}
}

// The whole way in over sockets: STLS, who the client is, and the password; and what
// becomes of it where TLS can't be believed.
func TestEnterBehindSTLS(t *testing.T) {
	ca := tlstest.NewCA(t, "Ours")
	good := chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}})
	expired := chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}, NotBefore: time.Now().AddDate(0, 0, -9), NotAfter: time.Now().Add(-time.Hour)})
	unnamed := chain(t, ca, tlstest.Leaf{Names: []string{"pop.example.org"}})
	o := backend.Origin{Client: netip.MustParseAddrPort("192.0.2.7:4711"), Session: "sess"}
	const toldOrigin = "XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=sess TTL=4"
	for name, c := range map[string]struct {
		shown tls.Certificate
		kind  backend.Kind
		text  string
		heard []string
	}{
		"good":         {good, 0, "", []string{"STLS", toldOrigin, "USER " + user}},
		"expired":      {expired, backend.Unsecured, "certificate has expired", []string{"STLS"}},
		"a wrong name": {unnamed, backend.Unsecured, "127.0.0.1", []string{"STLS"}},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan string, 16)
			address := listen(t, behindSTLS(&tls.Config{Certificates: []tls.Certificate{c.shown}}, heard,
				"+OK ready\r\n", "+OK Updated\r\n", "+OK\r\n", "+OK in\r\n"))
			target := backend.Target{Addresses: []string{address}, XCLIENT: true}
			target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSByCommand, Roots: ca.Pool()}, target.Addresses)
			conn, segments, err := enter(t, target, pop3.Capabilities{}, o)
			fault, failed := err.(*backend.Error)
			if failed != (c.kind != 0) || failed && (fault.Kind != c.kind || fault.Step != backend.Secure || !strings.Contains(err.Error(), c.text)) {
				t.Fatalf("error %v", err)
			}
			if _, encrypted := conn.(*tls.Conn); encrypted == failed {
				t.Errorf("on a %T", conn)
			}
			if sent := strings.Join(segments, ""); strings.Contains(sent, "PASS") == failed {
				t.Errorf("sent %q", sent)
			}
			for _, want := range c.heard {
				if got := <-heard; got != want {
					t.Errorf("heard %q, want %q", got, want)
				}
			}
		})
	}
}

// Somebody on the line answers STLS and goes on in the backend's name.
func TestEnterInjected(t *testing.T) {
	address := listen(t, script(hang, "+OK ready\r\n", "+OK begin\r\n+OK\r\n+OK\r\n", ""))
	target := backend.Target{Addresses: []string{address}}
	target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSByCommand, InsecureSkipVerify: true}, target.Addresses)
	_, segments, err := enter(t, target, everythingOffered, backend.Origin{})
	fault, failed := err.(*backend.Error)
	if !failed || fault.Kind != backend.Protocol || strings.Join(segments, "") != sentSTLS {
		t.Errorf("sent %q, %v", segments, err)
	}
}

// A handshake that never ends is ended by its time.
func TestHandshakeBounded(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	go func() { _, _ = io.Copy(io.Discard, far) }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	target := backend.Target{TLS: backend.NewTLS(backend.TLSOptions{Mode: backend.TLSByCommand}, []string{"192.0.2.1:110"})}
	for want, target := range map[backend.Kind]backend.Target{backend.TimedOut: target, backend.Unsecured: {}} {
		_, err := backend.Handshake(ctx, near, target)
		if fault, ok := err.(*backend.Error); !ok || fault.Kind != want || fault.Step != backend.Secure {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
