package proxy

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/pop3"
	"postern/pop3/pop3test"
	posterntls "postern/proxy/tls"
	"postern/proxy/tls/tlstest"
)

const (
	edgeName   = "pop.example.com"
	guestAt    = "192.0.2.1:110"
	someClient = "198.51.100.7"
)

// edge is a gateway in memory, for bubbles of synctest: clients come from any
// address, and minutes pass in no time.
type edge struct {
	*runningServer
	front *pop3test.PipeListener
	guest *pop3test.Backend
}

// edgeWith serves everybody but nobody from one guest.
func edgeWith(t *testing.T, access *Access, guest func(*pop3test.Conn), change func(*Settings, *Options)) *edge {
	t.Helper()
	front, behind := pipe(t, "127.0.0.1:110"), pipe(t, guestAt)
	dial := pop3test.DialPipes(behind)
	e := &edge{front: front, guest: pop3test.ServeBackend(t, behind, guest)}
	e.runningServer = serveWith(t, front, access, func(set *Settings, o *Options) {
		set.FailureDelay, set.Plaintext = 3*time.Second, PlaintextAlways
		o.Directory = locatorFunc(at(guestAt))
		o.Dialer = dialerFunc(func(target backend.Target) (net.Conn, error) {
			return dial(context.Background(), "tcp", target.Addresses[0])
		})
		if change != nil {
			change(set, o)
		}
	})
	return e
}

// socket connects from an address.
func (e *edge) socket(t *testing.T, from string) net.Conn {
	t.Helper()
	c, err := e.front.DialFrom(netip.MustParseAddr(from))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (e *edge) client(t *testing.T, from string) *pop3test.Client {
	t.Helper()
	c := pop3test.NewClient(e.socket(t, from))
	c.SetTimeout(3 * time.Minute)
	return c
}

func (e *edge) greeted(t *testing.T, from string) *pop3test.Client {
	t.Helper()
	c := e.client(t, from)
	expectLine(t, c, "+OK")
	return c
}

// says is one command and what its answer begins with.
func says(t *testing.T, c *pop3test.Client, command, want string) {
	t.Helper()
	if got, err := c.Cmd(command); err != nil || !strings.HasPrefix(got, want) {
		t.Fatalf("%.40q: got %q, %v; want %q", command, got, err, want)
	}
}

// enters logs in by USER and PASS; want is what the answer to PASS begins with.
func enters(t *testing.T, c *pop3test.Client, user, password, want string) {
	t.Helper()
	says(t, c, "USER "+user, "+OK")
	says(t, c, "PASS "+password, want)
}

// capabilities asks for them.
func capabilities(t *testing.T, c *pop3test.Client) string {
	t.Helper()
	says(t, c, "CAPA", "+OK")
	list, err := c.Multiline()
	if err != nil {
		t.Fatal(err)
	}
	return string(list)
}

// rightPassword is what guests of these tests accept.
const rightPassword = "right"

// keepsIn plays a guest that judges a password and holds who came in.
func keepsIn(c *pop3test.Conn) {
	judge(c, func(_, password string) string {
		if password == rightPassword {
			return "+OK in"
		}
		return "-ERR no"
	})
	forever(c)
	_, _ = io.Copy(io.Discard, c.Raw())
}

// forever drops the bound that the last wait of a guest left on its connection.
func forever(c *pop3test.Conn) { _ = c.Raw().SetDeadline(time.Time{}) }

// echoes plays a guest that accepts everybody and repeats what it hears.
func echoes(c *pop3test.Conn) {
	if _, _, err := c.TakeLogin(); err != nil {
		return
	}
	forever(c)
	_, _ = io.Copy(c.Raw(), c.Raw())
	_ = c.Fin()
}

// tlsFront makes the TLS side of a listener, and the configuration of a client that
// trusts it. It has to be called inside the bubble whose clock it will be checked by.
func tlsFront(t *testing.T, change func(*posterntls.ListenerOptions)) (server, client *tls.Config) {
	t.Helper()
	cert, key := tlstest.Issue(t, edgeName)
	certPath, keyPath := tlstest.Write(t, t.TempDir(), "pair", cert, key)
	own := posterntls.ListenerOptions{Name: "edge"}
	if change != nil {
		change(&own)
	}
	f, err := posterntls.New(posterntls.Options{
		Certificates: []posterntls.Source{{Cert: certPath, Key: keyPath}},
		Listeners:    []posterntls.ListenerOptions{own}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f.Config("edge"), &tls.Config{RootCAs: tlstest.Pool(t, cert), ServerName: edgeName, NextProtos: []string{"pop3"}}
}

// over goes on inside TLS. What the client read ahead is lost, so nothing may be.
func over(t *testing.T, socket net.Conn, config *tls.Config) *pop3test.Client {
	t.Helper()
	conn := tls.Client(socket, config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pop3test.NewClient(conn)
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func allMechanisms() []pop3.Mechanism {
	return []pop3.Mechanism{pop3.PLAIN, pop3.LOGIN, pop3.XOAUTH2, pop3.OAUTHBEARER}
}
