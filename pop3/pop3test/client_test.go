package pop3test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientAndBackend(t *testing.T) {
	b := NewBackend(t, func(c *Conn) {
		user, password, err := c.TakeLogin()
		if err != nil || user != "alice" || password != " two  words " {
			t.Errorf("login %q %q, %v", user, password, err)
			return
		}
		if line, _ := c.Line(); line != "RETR 1" {
			t.Errorf("got %q", line)
		}
		_ = c.Send([]byte("+OK\r\nfirst\r\n..\r\n.\r\n"))
	})
	c, err := Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Login("alice", " two  words "); err != nil {
		t.Fatal(err)
	}
	if line, err := c.Cmd("RETR 1"); line != "+OK" || err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	if body, err := c.Multiline(); string(body) != "first\r\n.\r\n" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	if err := c.End(); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	if b.Sessions() != 1 {
		t.Errorf("%d sessions", b.Sessions())
	}
}

func TestClientLoginRefused(t *testing.T) {
	for _, c := range []struct{ greeting, user, pass, want string }{
		{"-ERR [SYS/TEMP] full", "", "", "greeting: refused: -ERR [SYS/TEMP] full"},
		{"+OK", "-ERR no", "", "USER: refused: -ERR no"},
		{"+OK", "+OK", "-ERR [AUTH] no", "PASS: refused: -ERR [AUTH] no"},
		{"220 mail", "", "", "greeting: neither +OK nor -ERR"},
		{"+OK", "", "", "USER: neither +OK nor -ERR"},
	} {
		b := NewBackend(t, func(conn *Conn) {
			_ = conn.SendLine(c.greeting)
			_, _ = conn.Line()
			_ = conn.SendLine(c.user)
			_, _ = conn.Line()
			_ = conn.SendLine(c.pass)
		})
		client, err := Dial(b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Login("alice", "canary"); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %q", err, c.want)
		}
		_ = client.Close()
	}
}

// A backend that still runs at the test's end is cut, and waited for.
func TestBackendStops(t *testing.T) {
	var ended atomic.Int64
	var b *Backend
	t.Run("inner", func(t *testing.T) {
		b = NewBackend(t, func(c *Conn) {
			_, _ = c.Line()
			ended.Add(1)
		})
		for range 3 {
			c, err := Dial(b.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SendLine("+OK")
		}
		for b.Sessions() < 3 {
			time.Sleep(time.Millisecond)
		}
	})
	if ended.Load() != 3 {
		t.Errorf("%d of 3 sessions ended", ended.Load())
	}
	if _, err := Dial(b.Addr()); err == nil {
		t.Error("still listens")
	}
}

func TestBackendInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := ListenPipe("192.0.2.1:110")
		b := ServeBackend(t, l, func(c *Conn) {
			time.Sleep(time.Second)
			_ = c.SendLine("+OK late")
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				raw, err := l.Dial()
				if err != nil {
					t.Error(err)
					return
				}
				if line, err := NewClient(raw).Line(); line != "+OK late" || err != nil {
					t.Errorf("got %q, %v", line, err)
				}
			})
		}
		wg.Wait()
		if b.Sessions() != 20 || b.Addr() != "192.0.2.1:110" {
			t.Errorf("%d sessions at %s", b.Sessions(), b.Addr())
		}
	})
}

// connected is a Conn and the raw other end, in a bubble.
func connected(t *testing.T) (*Conn, net.Conn) {
	client, server := pipePair(t)
	return NewConn(client), server
}

func TestConnLine(t *testing.T) {
	for _, c := range []struct {
		wire, want string
		err        error
	}{
		{"+OK\r\n", "+OK", nil},
		{"\r\n", "", nil},
		{"a\rb\r\n", "a\rb", nil},
		{strings.Repeat("x", 70000) + "\r\n", strings.Repeat("x", 70000), nil},
		{"+OK\n", "+OK\n", ErrBareLF},
		{"+O", "+O", io.EOF},
		{"", "", io.EOF},
		{strings.Repeat("x", maxLine+5000), "", ErrTooLong},
	} {
		conn, other := connected(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.WriteString(other, c.wire)
			_ = other.(*pipeConn).CloseWrite()
		})
		got, err := conn.Line()
		_ = conn.Close()
		wg.Wait()
		if c.err == ErrTooLong && len(got) >= maxLine {
			got = ""
		}
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%.20q: got %.20q, %v; want %.20q, %v", c.wire, got, err, c.want, c.err)
		}
	}
}

func TestConnWaitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, other := connected(t)
		mustWrite(t, other, "+O")
		for _, c := range []struct {
			name string
			wait func() error
			want error
		}{
			{"Line", func() error { _, err := conn.Line(); return err }, ErrNothing},
			{"Octets", func() error { _, err := conn.Octets(3); return err }, ErrNothing},
			{"End", conn.End, ErrNothing},
			{"Send", func() error { return conn.Send(make([]byte, 2*pipeBuffer)) }, ErrNoRead},
		} {
			start := time.Now()
			if err := c.wait(); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			if d := time.Since(start); d != DefaultTimeout {
				t.Errorf("%s: after %v", c.name, d)
			}
		}
		conn.SetTimeout(time.Minute)
		start := time.Now()
		if err := conn.End(); !errors.Is(err, ErrNothing) || time.Since(start) != time.Minute {
			t.Errorf("End: %v after %v", err, time.Since(start))
		}
	})
}

func TestConnEnds(t *testing.T) {
	conn, other := connected(t)
	mustWrite(t, other, "x")
	if err := conn.End(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an octet before the end: %v", err)
	}
	if err := conn.Quiet(time.Millisecond); err == nil {
		t.Error("an octet is not quiet")
	}
	if got, err := conn.Octets(1); string(got) != "x" || err != nil {
		t.Errorf("the octet was taken: %q, %v", got, err)
	}
	if err := conn.Quiet(time.Millisecond); err != nil {
		t.Errorf("quiet: %v", err)
	}
	_ = NewConn(other).Reset()
	if err := conn.End(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	if err := conn.Quiet(time.Millisecond); err == nil {
		t.Error("an end is not quiet")
	}
}
