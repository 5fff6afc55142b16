package pop3test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipePair is a connection in memory.
func pipePair(t *testing.T) (atClient, atServer net.Conn) {
	t.Helper()
	l, err := ListenPipe("192.0.2.1:110")
	if err != nil {
		t.Fatal(err)
	}
	atClient, err = l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	atServer, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return atClient, atServer
}

func mustWrite(t *testing.T, c net.Conn, octets string) {
	t.Helper()
	if n, err := io.WriteString(c, octets); n != len(octets) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

func TestPipeHalfClose(t *testing.T) {
	client, server := pipePair(t)
	mustWrite(t, client, "QUIT\r\n")
	if err := client.(*pipeConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing behind the FIN: %v", err)
	}
	if got, err := io.ReadAll(server); string(got) != "QUIT\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	mustWrite(t, server, "+OK bye\r\n")
	_ = server.Close()
	if got, err := io.ReadAll(client); string(got) != "+OK bye\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing behind Close: %v", err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading behind Close: %v", err)
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestPipeReset(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T, atClient, atServer net.Conn)
		want error
	}{
		{"linger 0", func(t *testing.T, _, server net.Conn) { _ = server.(*pipeConn).SetLinger(0) }, syscall.ECONNRESET},
		{"unread octets", func(t *testing.T, client, _ net.Conn) { mustWrite(t, client, "unread") }, syscall.ECONNRESET},
		{"in order", func(*testing.T, net.Conn, net.Conn) {}, nil},
		{"linger undone", func(t *testing.T, _, server net.Conn) {
			_ = server.(*pipeConn).SetLinger(0)
			_ = server.(*pipeConn).SetLinger(-1)
		}, nil},
	} {
		client, server := pipePair(t)
		mustWrite(t, server, "before")
		c.end(t, client, server)
		_ = server.Close()
		got, err := io.ReadAll(client)
		if string(got) != "before" || !errors.Is(err, c.want) {
			t.Errorf("%s: got %q, %v; want %v", c.name, got, err, c.want)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: writing to nobody: %v", c.name, err)
		}
	}
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pipePair(t)
		start := time.Now()
		_ = client.SetReadDeadline(start.Add(3 * time.Second))
		_, err := client.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("reading: %v", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
		_ = client.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := client.Write(make([]byte, 2*pipeBuffer))
		if n != pipeBuffer || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing: %d, %v", n, err)
		}
		_ = client.SetDeadline(time.Now().Add(-time.Second))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a moment that is past: %v", err)
		}
	})
}

// A deadline that is moved while somebody waits counts at once, both ways.
func TestPipeDeadlineMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pipePair(t)
		_ = client.SetReadDeadline(time.Now().Add(time.Second))
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := client.Read(make([]byte, 1))
			if d := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || d != 5*time.Second {
				t.Errorf("after %v: %v", d, err)
			}
		})
		synctest.Wait()
		_ = client.SetReadDeadline(start.Add(5 * time.Second))
		wg.Wait()
		_ = client.SetReadDeadline(time.Time{})
		wg.Go(func() {
			if n, err := client.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("without deadline: %d, %v", n, err)
			}
		})
		time.Sleep(time.Hour)
		mustWrite(t, server, "x")
		wg.Wait()
	})
}

func TestPipeCarriesAll(t *testing.T) {
	client, server := pipePair(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 3*pipeBuffer/16)
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := client.Write(want); n != len(want) || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		_ = client.(*pipeConn).CloseWrite()
	})
	got, err := io.ReadAll(server)
	wg.Wait()
	if !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d of %d octets, %v", len(got), len(want), err)
	}
}

func TestPipeAddresses(t *testing.T) {
	l, err := ListenPipe("192.0.2.1:110")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := l.DialFrom(netip.MustParseAddr("2001:db8::7"))
	b, _ := l.Accept()
	c, _ := l.DialFrom(netip.MustParseAddr("2001:db8::7"))
	if _, ok := b.RemoteAddr().(*net.TCPAddr); !ok || b.RemoteAddr().String() != a.LocalAddr().String() {
		t.Errorf("%T %v, dialled from %v", b.RemoteAddr(), b.RemoteAddr(), a.LocalAddr())
	}
	if got := a.RemoteAddr().String(); got != "192.0.2.1:110" || b.LocalAddr().String() != got || l.Addr().String() != got {
		t.Errorf("listens on %s", got)
	}
	if a.LocalAddr().String() == c.LocalAddr().String() {
		t.Errorf("two connections from %v", a.LocalAddr())
	}
	if _, err := ListenPipe("nowhere"); err == nil {
		t.Error("a name is no address")
	}
}

func TestPipeListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := ListenPipe("192.0.2.1:110")
		waiting, _ := l.Dial()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection that nobody accepted: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if _, err := l.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestPipeBacklog(t *testing.T) {
	l, _ := ListenPipe("192.0.2.1:110")
	for range pipeBacklog {
		if _, err := l.Dial(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("above the backlog: %v", err)
	}
}

func TestDialPipes(t *testing.T) {
	a, _ := ListenPipe("192.0.2.1:110")
	b, _ := ListenPipe("192.0.2.2:110")
	dial := DialPipes(a, b)
	c, err := dial(t.Context(), "tcp", "192.0.2.2:110")
	if err != nil || c.RemoteAddr().String() != "192.0.2.2:110" {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := dial(t.Context(), "tcp", "192.0.2.3:110"); err == nil {
		t.Error("dials what nobody listens on")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := dial(ended, "tcp", "192.0.2.1:110"); !errors.Is(err, context.Canceled) {
		t.Errorf("behind the context's end: %v", err)
	}
}
