package backend_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"postern/backend"
)

// listen accepts on a free port of loopback and gives each connection to serve.
func listen(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// greet is a backend that names itself and waits for the end.
func greet(name string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = c.Write([]byte("+OK " + name + "\r\n"))
		_, _ = c.Read(make([]byte, 1))
	}
}

// refused is an address where nobody listens.
func refused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func dial(t *testing.T, within time.Duration, addresses ...string) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	conn, err := backend.Dialer{}.Dial(ctx, backend.Target{Name: "guest-01", Addresses: addresses})
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// says reads the greeting of greet.
func says(t *testing.T, conn net.Conn) string {
	t.Helper()
	buf := make([]byte, 64)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func wantKind(t *testing.T, err error, kind backend.Kind) {
	t.Helper()
	typed, ok := errors.AsType[*backend.Error](err)
	if !ok || typed.Kind != kind || typed.Step != backend.Connect || typed.Err == nil {
		t.Errorf("error %v, want connect: %s", err, kind)
	}
}

// Splice and half-close need the concrete type; a wrapper would hide ReadFrom,
// WriteTo and CloseWrite without a sign.
func TestDialReturnsTheBareConnection(t *testing.T) {
	conn, err := dial(t, 5*time.Second, listen(t, greet("a")))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got a %T", conn)
	}
}

func TestDialTriesAddressesInOrder(t *testing.T) {
	a, b := listen(t, greet("a")), listen(t, greet("b"))
	for want, addresses := range map[string][]string{
		"+OK a\r\n": {a, b},
		"+OK b\r\n": {refused(t), "no port", b, a},
	} {
		conn, err := dial(t, 5*time.Second, addresses...)
		if err != nil {
			t.Fatal(err)
		}
		if got := says(t, conn); got != want {
			t.Errorf("%v: %q", addresses, got)
		}
	}
}

func TestDialUnreachable(t *testing.T) {
	_, err := dial(t, 5*time.Second, refused(t), refused(t))
	wantKind(t, err, backend.Unreachable)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the cause is lost: %v", err)
	}
	for _, address := range []string{"no such name:110", "no port", "127.0.0.1:no-such-service", ""} {
		_, err := dial(t, 5*time.Second, address)
		wantKind(t, err, backend.Unreachable)
	}
	_, err = dial(t, 5*time.Second)
	wantKind(t, err, backend.Unreachable)
}

func TestDialEndedBeforeItBegan(t *testing.T) {
	target := backend.Target{Addresses: []string{listen(t, greet("a"))}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := backend.Dialer{}.Dial(ctx, target)
	wantKind(t, err, backend.Canceled)

	ctx, cancel = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = backend.Dialer{}.Dial(ctx, target)
	wantKind(t, err, backend.TimedOut)
}

// Under strace -c -f this counts the system calls of a connection.
func BenchmarkDialerDial(b *testing.B) {
	target := backend.Target{Addresses: []string{listen(b, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) })}}
	for _, keepAlive := range []time.Duration{0, time.Minute} {
		b.Run("keepalive="+keepAlive.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
				conn, err := backend.Dialer{KeepAlive: keepAlive}.Dial(ctx, target)
				cancel()
				if err != nil {
					b.Fatal(err)
				}
				_ = conn.(*net.TCPConn).SetLinger(0) // no port waits for its old packets
				_ = conn.Close()
			}
		})
	}
}
