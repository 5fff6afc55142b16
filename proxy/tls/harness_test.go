package tls

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/proxy/tls/tlstest"
)

// one is the listener of fronts that have just one.
const one = "pops"

// front makes one, which has to succeed.
func front(t *testing.T, o Options) *Front {
	t.Helper()
	if o.Listeners == nil {
		o.Listeners = []ListenerOptions{{Name: one}}
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// written issues a self-signed pair into a new folder.
func written(t *testing.T, names ...string) Source {
	t.Helper()
	cert, key := tlstest.Issue(t, names...)
	return placed(t, cert, key)
}

func placed(t *testing.T, cert, key []byte) Source {
	t.Helper()
	certPath, keyPath := tlstest.Write(t, t.TempDir(), "pair", cert, key)
	return Source{Cert: certPath, Key: keyPath}
}

// renew replaces the files of a source, certificate first.
func (s Source) renew(t *testing.T, cert, key []byte) {
	t.Helper()
	tlstest.WriteFile(t, s.Cert, cert)
	tlstest.WriteFile(t, s.Key, key)
}

// outcome is what both sides know of a handshake.
type outcome struct {
	server, client       tls.ConnectionState
	serverErr, clientErr error
}

// leaf is the first name of the certificate that the client was shown.
func (o outcome) leaf(t *testing.T) string {
	t.Helper()
	if o.clientErr != nil {
		t.Fatalf("no handshake: client: %v, server: %v", o.clientErr, o.serverErr)
	}
	if c := o.client.PeerCertificates[0]; len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return o.client.PeerCertificates[0].Subject.CommonName
}

// shake makes one connection on loopback. The server sends a line behind its
// handshake, so that the client has read its tickets and the verdict on its certificate.
func shake(t *testing.T, server, client *tls.Config) (o outcome) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := socket.Accept()
		if err != nil {
			o.serverErr = err
			return
		}
		o.server, o.serverErr = greet(conn, server)
	})
	o.client, o.clientErr = visit(socket.Addr().String(), client)
	wg.Wait()
	return o
}

// greet is a server's side.
func greet(conn net.Conn, config *tls.Config) (tls.ConnectionState, error) {
	secure := tls.Server(conn, config)
	defer secure.Close()
	_ = secure.SetDeadline(time.Now().Add(10 * time.Second))
	if err := secure.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err := io.WriteString(secure, "+OK\r\n")
	return secure.ConnectionState(), err
}

// visit is a client's side.
func visit(address string, config *tls.Config) (tls.ConnectionState, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	secure := tls.Client(conn, config)
	defer secure.Close()
	_ = secure.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(secure, make([]byte, 5)); err != nil {
		return tls.ConnectionState{}, err
	}
	return secure.ConnectionState(), nil
}

// connected is a connection behind its handshake, open until the test ends.
func connected(t *testing.T, server, client *tls.Config) (clientSide, serverSide *tls.Conn) {
	t.Helper()
	a, b := net.Pipe()
	clientSide, serverSide = tls.Client(a, client), tls.Server(b, server)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	go func() { _, _ = serverSide.Write([]byte("+OK\r\n")) }()
	if _, err := io.ReadFull(clientSide, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return clientSide, serverSide
}

// trusting is a client that takes any certificate, where a test is about something else.
func trusting(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true}
}

// served is the first name of the certificate that a listener shows to who asks for name.
func served(t *testing.T, f *Front, name string) string {
	t.Helper()
	return shake(t, f.Config(one), trusting(name)).leaf(t)
}

// lines is a log that tests read.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// take returns what was logged since the last time.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// wantRecord fails unless there is exactly one record, and it holds all the parts; without parts,
// unless there is none.
func (l *lines) wantRecord(t *testing.T, parts ...string) {
	t.Helper()
	text := l.take()
	if n := strings.Count(text, "\n"); n != min(1, len(parts)) {
		t.Errorf("%d records, want %d with %q:\n%s", n, min(1, len(parts)), parts, text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in the record:\n%s", part, text)
		}
	}
}

// eventually waits for something that has to come.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

func mustWrite(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func inTemp(t *testing.T, name, text string) string {
	t.Helper()
	return mustWrite(t, filepath.Join(t.TempDir(), name), text)
}
