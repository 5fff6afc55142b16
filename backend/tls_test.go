package backend_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/proxy/tls/tlstest"
)

// guarded is a backend that speaks TLS from the first octet and greets within.
func guarded(t *testing.T, config *tls.Config) string {
	t.Helper()
	return listen(t, func(c *net.TCPConn) {
		conn := tls.Server(c, config)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, "+OK guarded\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
}

// chain is a certificate as a server shows it, its authority behind it.
func chain(t *testing.T, ca *tlstest.CA, l tlstest.Leaf) tls.Certificate {
	t.Helper()
	certPEM, keyPEM := ca.Sign(t, l)
	return tlstest.KeyPair(t, append(certPEM, ca.PEM()...), keyPEM)
}

func pinOf(t *testing.T, certPEM []byte) backend.Pin {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return backend.PinOf(c)
}

func TestTLSVerification(t *testing.T) {
	ca, stranger := tlstest.NewCA(t, "Ours"), tlstest.NewCA(t, "Stranger")
	good := tlstest.Leaf{Names: []string{"mail.example.com"}}
	expired := tlstest.Leaf{Names: good.Names, NotBefore: time.Now().AddDate(0, 0, -90), NotAfter: time.Now().Add(-time.Hour)}
	forClients := tlstest.Leaf{Names: good.Names, Client: true}
	shown := chain(t, ca, good)
	own := backend.PinOf(shown.Leaf)
	// A stranger's own certificate with ours behind it, which everybody can copy.
	posing := chain(t, stranger, good)
	posing.Certificate = append(posing.Certificate, shown.Certificate...)
	name := func(o backend.TLSOptions) backend.TLSOptions { o.ServerName = "mail.example.com"; return o }
	only := func(p ...backend.Pin) backend.TLSOptions {
		return backend.TLSOptions{InsecureSkipVerify: true, Pins: p}
	}
	ours := backend.TLSOptions{Roots: ca.Pool()}
	pinned := func(p ...backend.Pin) backend.TLSOptions {
		return name(backend.TLSOptions{Roots: ca.Pool(), Pins: p})
	}
	for _, c := range []struct {
		name    string
		shown   tls.Certificate
		options backend.TLSOptions
		want    string // of the error; empty: believed
	}{
		{"the right name", shown, name(ours), ""},
		{"the address is in it", chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}}), ours, ""},
		{"the address is not", shown, ours, "x509: cannot validate certificate for 127.0.0.1"},
		{"a wrong name", chain(t, ca, tlstest.Leaf{Names: []string{"pop.example.org"}}), name(ours), "x509: certificate is valid for pop.example.org, not mail.example.com"},
		{"expired", chain(t, ca, expired), name(ours), "x509: certificate has expired"},
		{"a client's", chain(t, ca, forClients), name(ours), "x509: certificate specifies an incompatible key usage"},
		{"a stranger's", chain(t, stranger, good), name(ours), "x509: certificate signed by unknown authority"},
		{"the system's roots", shown, name(backend.TLSOptions{}), "x509: certificate signed by unknown authority"},
		{"anything", chain(t, stranger, expired), backend.TLSOptions{InsecureSkipVerify: true}, ""},
		{"own key pinned", shown, pinned(backend.Pin{}, own), ""},
		{"the authority pinned", shown, pinned(pinOf(t, ca.PEM())), ""},
		{"another key pinned", shown, pinned(pinOf(t, stranger.PEM())), "the backend's key is not among the pinned ones"},
		{"pinned, but expired", chain(t, ca, expired), pinned(pinOf(t, ca.PEM())), "x509: certificate has expired"},
		{"pinned only", chain(t, stranger, expired), only(pinOf(t, stranger.PEM()), own), "not among the pinned"},
		{"pinned only, self-signed", shown, only(own), ""},
		{"pinned only, but posing", posing, only(own), "not among the pinned"},
		{"pinned and verified, but posing", posing, pinned(own), "unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := guarded(t, &tls.Config{Certificates: []tls.Certificate{c.shown}})
			c.options.Mode = backend.TLSImplicit
			target := backend.Target{Addresses: []string{address}, TLS: backend.NewTLS(c.options, []string{address})}
			for range 2 { // a second one would resume the first
				conn, err := backend.Dialer{}.Dial(t.Context(), target)
				if c.want != "" {
					fault, ok := errors.AsType[*backend.Error](err)
					if !ok || fault.Kind != backend.Unsecured || fault.Step != backend.Secure || !strings.Contains(err.Error(), c.want) {
						t.Fatalf("error %v, want %s", err, c.want)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := says(t, conn); got != "+OK guarded\r\n" {
					t.Errorf("got %q", got)
				}
				_ = conn.Close()
			}
		})
	}
}

// Any of a backend's hosts may be in its certificate: all lead to one machine.
func TestTLSNameOfAnyAddress(t *testing.T) {
	ca := tlstest.NewCA(t, "Ours")
	asked := make(chan string, 4)
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- hello.ServerName
		pair := chain(t, ca, tlstest.Leaf{Names: []string{"path-b.example.com"}})
		return &pair, nil
	}}
	address := guarded(t, config)
	_, port, _ := net.SplitHostPort(address)
	hosts := []string{"127.0.0.1:" + port, "path-a.example.com:" + port, "path-b.example.com:" + port}
	target := backend.Target{Addresses: hosts, TLS: backend.NewTLS(backend.TLSOptions{Mode: backend.TLSImplicit, Roots: ca.Pool()}, hosts)}
	conn, err := backend.Dialer{}.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if got := <-asked; got != "path-a.example.com" {
		t.Errorf("asked for %q", got)
	}
}

func TestTLSResumption(t *testing.T) {
	ca := tlstest.NewCA(t, "Ours")
	pair := chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address := guarded(t, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version})
		target := backend.Target{Addresses: []string{address}}
		target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSImplicit, Roots: ca.Pool()}, target.Addresses)
		for i := range 3 {
			conn, err := backend.Dialer{}.Dial(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			says(t, conn) // and takes the ticket
			if got := conn.(*tls.Conn).ConnectionState().DidResume; got != (i > 0) {
				t.Errorf("%s: connection %d: resumed %v", tls.VersionName(version), i, got)
			}
			_ = conn.Close()
		}
	}
}

// Old guests are an operator's word only.
func TestTLSMinVersion(t *testing.T) {
	ca := tlstest.NewCA(t, "Ours")
	pair := chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}})
	address := guarded(t, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	for least, believed := range map[uint16]bool{0: false, tls.VersionTLS10: true, tls.VersionTLS13: false} {
		o := backend.TLSOptions{Mode: backend.TLSImplicit, Roots: ca.Pool(), MinVersion: least}
		conn, err := backend.Dialer{}.Dial(t.Context(), backend.Target{Addresses: []string{address}, TLS: backend.NewTLS(o, []string{address})})
		if (err == nil) != believed {
			t.Errorf("%s: %v", tls.VersionName(least), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// The kinds of a handshake that came to nothing.
func TestTLSFaults(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*net.TCPConn)
		kind  backend.Kind
	}{
		"silent":         {hang, backend.TimedOut},
		"closes":         {func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1024)) }, backend.Closed},
		"resets":         {func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)); reset(c) }, backend.Closed},
		"is plain":       {greet("plain"), backend.Unsecured},
		"is no TLS":      {script(hang, strings.Repeat("x", 100_000)), backend.Unsecured},
		"half a hello":   {func(c *net.TCPConn) { _, _ = c.Write([]byte("\x16\x03\x03\x40\x00\x02")); hang(c) }, backend.TimedOut},
		"an endless one": {func(c *net.TCPConn) { _, _ = c.Write([]byte("\x16\x03\x03\xff\xff\x02")); hang(c) }, backend.Unsecured},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := listen(t, c.serve)
			target := backend.Target{Addresses: []string{address}}
			target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSImplicit, InsecureSkipVerify: true}, target.Addresses)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := backend.Dialer{}.Dial(ctx, target)
			fault, ok := errors.AsType[*backend.Error](err)
			if !ok || fault.Kind != c.kind || fault.Step != backend.Secure {
				t.Errorf("error %v, want secure: %s", err, c.kind)
			}
		})
	}
}

func TestTLSCanceled(t *testing.T) {
	address := listen(t, hang)
	target := backend.Target{Addresses: []string{address}}
	target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSImplicit}, target.Addresses)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := backend.Dialer{}.Dial(ctx, target)
	if fault, ok := errors.AsType[*backend.Error](err); !ok || fault.Kind != backend.Canceled {
		t.Errorf("error %v", err)
	}
}

// The header comes before TLS, and once, on the connection that won.
func TestDialAnnouncesThenSecures(t *testing.T) {
	ca := tlstest.NewCA(t, "Ours")
	config := &tls.Config{Certificates: []tls.Certificate{chain(t, ca, tlstest.Leaf{Names: []string{"127.0.0.1"}})}}
	origin := backend.Origin{Client: netip.MustParseAddrPort("192.0.2.7:4711"), Local: netip.MustParseAddrPort("198.51.100.1:995")}
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 995\r\n"
	got := make(chan string, 1)
	address := listen(t, func(c *net.TCPConn) {
		first := make([]byte, len(header))
		_, _ = io.ReadFull(c, first)
		got <- string(first)
		conn := tls.Server(c, config)
		_, _ = io.WriteString(conn, "+OK behind the header\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
	target := backend.Target{Addresses: []string{address}, ProxyProtocol: backend.ProxyV1}
	target.TLS = backend.NewTLS(backend.TLSOptions{Mode: backend.TLSImplicit, Roots: ca.Pool()}, target.Addresses)
	conn, err := backend.Dialer{}.DialFor(t.Context(), target, origin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if h := <-got; h != header {
		t.Errorf("first %q", h)
	}
	if s := says(t, conn); s != "+OK behind the header\r\n" {
		t.Errorf("then %q", s)
	}
}
