package backend_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/cmd/postern/realtest"
	"postern/pop3"
	"postern/proxy/tls/tlstest"
)

func needsReal(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs real mail servers: `make test` installs them and sets POSTERN_REAL=1")
	}
}

// realBackend is a Dovecot with a certificate of a private authority.
func realBackend(t *testing.T, trusting bool) (*realtest.Trusting, *tlstest.CA) {
	t.Helper()
	ca := tlstest.NewCA(t, "Test Authority")
	certPEM, keyPEM := ca.Issue(t, "mail.example.com", "127.0.0.1")
	cert, key := tlstest.Write(t, t.TempDir(), "guest", certPEM, keyPEM)
	box := realtest.Mailbox{Address: user, Login: user, Password: "right-pass word"}
	d, err := realtest.StartTrusting(t, []realtest.Mailbox{box}, cert, key, trusting)
	if err != nil {
		t.Fatal(err)
	}
	return d, ca
}

// eventually waits for a line of the server's log that has all the words.
func eventually(t *testing.T, log func() string, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		for line := range strings.Lines(log()) {
			missing := false
			for _, word := range words {
				missing = missing || !strings.Contains(line, word)
			}
			if !missing {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no line with %q in:\n%s", words, log())
		}
	}
}

var (
	everythingOffered = pop3.Capabilities{Pipelining: true, SASL: []pop3.Mechanism{pop3.PLAIN}}
	onlyPipelining    = pop3.Capabilities{Pipelining: true}
)

func TestRealDovecotWaysIn(t *testing.T) {
	needsReal(t)
	d, ca := realBackend(t, true)
	addr := netip.MustParseAddrPort
	v4 := backend.Origin{Client: addr("192.0.2.7:4711"), Local: addr("198.51.100.1:995"), Session: "sess4", TLS: backend.ClientTLS{
		Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ServerName: "pop.example.com", CommonName: "Anna", Verified: true,
	}}
	v6 := backend.Origin{Client: addr("[2001:db8::7]:4712"), Local: addr("[2001:db8::1]:110"), Session: "sess6"}
	mixed6 := backend.Origin{Client: addr("[2001:db8::8]:4713"), Local: addr("198.51.100.1:110"), Session: "mixed6"}
	mixed4 := backend.Origin{Client: addr("192.0.2.8:4714"), Local: addr("[2001:db8::1]:110"), Session: "mixed4"}
	roots := ca.Pool()
	for i, c := range []struct {
		name     string
		address  string
		mode     backend.TLSMode
		proxy    backend.ProxyProtocol
		xclient  bool
		offer    pop3.Capabilities
		origin   backend.Origin
		segments int
		log      []string
	}{
		{"plain, nothing known", d.Plain, backend.TLSNone, 0, false, pop3.Capabilities{}, v4, 2, []string{"rip=127.0.0.1"}},
		{"plain, pipelined", d.Plain, backend.TLSNone, 0, false, onlyPipelining, v4, 1, []string{"rip=127.0.0.1"}},
		{"plain, AUTH PLAIN", d.Plain, backend.TLSNone, 0, false, everythingOffered, v4, 1, []string{"method=PLAIN", "rip=127.0.0.1"}},
		{"xclient, nothing known", d.Plain, backend.TLSNone, 0, true, pop3.Capabilities{}, v4, 3, []string{"rip=192.0.2.7", "rport=4711", "session=<sess4>"}},
		{"xclient, pipelined", d.Plain, backend.TLSNone, 0, true, onlyPipelining, v6, 1, []string{"rip=2001:db8::7", "rport=4712", "session=<sess6>"}},
		{"xclient, AUTH PLAIN", d.Plain, backend.TLSNone, 0, true, everythingOffered, v4, 1, []string{"rip=192.0.2.7", "rport=4711", "session=<sess4>"}},
		{"stls", d.Plain, backend.TLSByCommand, 0, false, everythingOffered, v4, 2, []string{"rip=127.0.0.1", "sec=TLS"}},
		{"stls, xclient", d.Plain, backend.TLSByCommand, 0, true, everythingOffered, v4, 2, []string{"rip=192.0.2.7", "sec=TLS", "session=<sess4>"}},
		{"implicit", d.Implicit, backend.TLSImplicit, 0, false, everythingOffered, v4, 1, []string{"rip=127.0.0.1", "sec=TLS"}},
		{"implicit, xclient", d.Implicit, backend.TLSImplicit, 0, true, onlyPipelining, v6, 1, []string{"rip=2001:db8::7", "sec=TLS"}},
		{"v1", d.Announced, backend.TLSNone, backend.ProxyV1, false, everythingOffered, v4, 1, []string{"rip=192.0.2.7", "rport=4711", "lip=198.51.100.1", "lport=995"}},
		{"v1, IPv6", d.Announced, backend.TLSNone, backend.ProxyV1, false, everythingOffered, v6, 1, []string{"rip=2001:db8::7", "rport=4712", "lip=2001:db8::1", "lport=110"}},
		{"v1, IPv6 to IPv4", d.Announced, backend.TLSNone, backend.ProxyV1, false, everythingOffered, mixed6, 1, []string{"rip=2001:db8::8", "rport=4713", "lip=", "lport=110"}},
		{"v1, IPv4 to IPv6", d.Announced, backend.TLSNone, backend.ProxyV1, false, everythingOffered, mixed4, 1, []string{"rip=192.0.2.8", "rport=4714", "lip="}},
		{"v1, unknown", d.Announced, backend.TLSNone, backend.ProxyV1, false, everythingOffered, backend.Origin{}, 1, []string{"rip=127.0.0.1"}},
		{"v2 with the client's TLS", d.Announced, backend.TLSNone, backend.ProxyV2, false, everythingOffered, v4, 1, []string{"rip=192.0.2.7", "rport=4711", "lip=198.51.100.1", "lport=995", "sec=secured"}},
		{"v2, IPv6 to IPv4", d.Announced, backend.TLSNone, backend.ProxyV2, false, everythingOffered, mixed6, 1, []string{"rip=2001:db8::8", "rport=4713", "lip=", "lport=110"}},
		{"v2, IPv4 to IPv6", d.Announced, backend.TLSNone, backend.ProxyV2, false, everythingOffered, mixed4, 1, []string{"rip=192.0.2.8", "rport=4714", "lip="}},
		{"v2, local", d.Announced, backend.TLSNone, backend.ProxyV2, false, everythingOffered, backend.Origin{}, 1, []string{"rip=127.0.0.1"}},
		{"v2, stls", d.Announced, backend.TLSByCommand, backend.ProxyV2, false, everythingOffered, v6, 2, []string{"rip=2001:db8::7", "sec=TLS"}},
		{"v2, implicit", d.AnnouncedImplicit, backend.TLSImplicit, backend.ProxyV2, false, everythingOffered, v6, 1, []string{"rip=2001:db8::7", "sec=TLS"}},
		// Behind the header the client is no trusted network's, so XCLIENT is passed over.
		{"v1, implicit, xclient", d.AnnouncedImplicit, backend.TLSImplicit, backend.ProxyV1, true, everythingOffered, v4, 1, []string{"rip=192.0.2.7", "sec=TLS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := backend.Target{
				Name: fmt.Sprint("guest-", i), Addresses: []string{c.address}, ProxyProtocol: c.proxy, XCLIENT: c.xclient,
			}
			if c.mode != backend.TLSNone {
				target.TLS = backend.NewTLS(backend.TLSOptions{Mode: c.mode, Roots: roots, ServerName: "mail.example.com"}, target.Addresses)
			}
			before := len(d.Log())
			conn, segments, err := enter(t, target, c.offer, c.origin)
			if err != nil {
				t.Fatal(err)
			}
			if len(segments) != c.segments {
				t.Errorf("sent %q, want %d segments", segments, c.segments)
			}
			if _, bare := conn.(*net.TCPConn); bare != (c.mode == backend.TLSNone) {
				t.Errorf("got a %T", conn)
			}
			quit(t, conn)
			eventually(t, func() string { return d.Log()[before:] }, append(c.log, "Login: ", "user=<"+user+">")...)
		})
	}
}

// quit says QUIT and hears the answer, over TLS too.
func quit(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write([]byte("QUIT\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := says(t, conn); !strings.HasPrefix(got, "+OK") {
		t.Errorf("to QUIT: %q", got)
	}
}

// A Dovecot that doesn't trust the gateway passes over XCLIENT, and the login works.
func TestRealDovecotUntrusting(t *testing.T) {
	needsReal(t)
	d, _ := realBackend(t, false)
	o := backend.Origin{Client: netip.MustParseAddrPort("192.0.2.7:4711"), Session: "sess"}
	for _, offer := range []pop3.Capabilities{{}, onlyPipelining, everythingOffered} {
		before := len(d.Log())
		target := backend.Target{Name: "guest-01", Addresses: []string{d.Plain}, XCLIENT: true}
		if _, _, err := enter(t, target, offer, o); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() string { return d.Log()[before:] }, "Login: ", "rip=127.0.0.1")
	}
}

// A second connection resumes the first one's TLS session, by STLS as well.
func TestRealDovecotResumption(t *testing.T) {
	needsReal(t)
	d, ca := realBackend(t, true)
	for mode, address := range map[backend.TLSMode]string{backend.TLSImplicit: d.Implicit, backend.TLSByCommand: d.Plain} {
		target := backend.Target{Name: "guest-01", Addresses: []string{address}}
		target.TLS = backend.NewTLS(backend.TLSOptions{Mode: mode, Roots: ca.Pool()}, target.Addresses) // by its IP address
		for i := range 3 {
			conn, _, err := enter(t, target, everythingOffered, backend.Origin{})
			if err != nil {
				t.Fatal(err)
			}
			quit(t, conn)
			if state := conn.(*tls.Conn).ConnectionState(); state.DidResume != (i > 0) {
				t.Errorf("%s: connection %d: resumed %v", mode, i, state.DidResume)
			}
		}
	}
}

// What is learnt of a real Dovecot on each way, and that its log has no complaint of
// the one who asked.
func TestRealDovecotLearner(t *testing.T) {
	needsReal(t)
	d, ca := realBackend(t, true)
	var all []backend.Target
	for name, c := range map[string]struct {
		address string
		mode    backend.TLSMode
		proxy   backend.ProxyProtocol
	}{
		"plain": {d.Plain, backend.TLSNone, 0}, "stls": {d.Plain, backend.TLSByCommand, 0}, "implicit": {d.Implicit, backend.TLSImplicit, 0},
		"v1": {d.Announced, backend.TLSByCommand, backend.ProxyV1}, "v2": {d.AnnouncedImplicit, backend.TLSImplicit, backend.ProxyV2},
	} {
		target := backend.Target{Name: name, Addresses: []string{c.address}, ProxyProtocol: c.proxy}
		if c.mode != backend.TLSNone {
			target.TLS = backend.NewTLS(backend.TLSOptions{Mode: c.mode, Roots: ca.Pool()}, target.Addresses)
		}
		all = append(all, target)
	}
	l := learnOverSockets(t, all, func(l *backend.Learner, _ string) bool {
		for _, target := range all {
			if _, ok := l.Of(target.Name); !ok {
				return false
			}
		}
		return true
	})
	for _, target := range all {
		offer, _ := l.Of(target.Name)
		if e := target.Entry(user, pop3.Credentials{}, offer, backend.Origin{}); !e.AuthPlain || !e.Pipelining {
			t.Errorf("%s offers %s", target.Name, listed(offer))
		}
		if offer.STLS != (target.TLS == nil) {
			t.Errorf("%s: STLS %v: not asked on the way of logins", target.Name, offer.STLS)
		}
	}
	if log := d.Log(); strings.Contains(log, "rror") {
		t.Errorf("dovecot complains:\n%s", log)
	}
}
