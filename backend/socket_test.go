package backend_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/pop3"
)

// drive moves a login's octets over a connection, as small as a driver can be,
// and returns what the backend sent behind its last +OK.
func drive(conn net.Conn, l *backend.Login, perStep time.Duration) []byte {
	buf := make([]byte, 512)
	for {
		if out := l.Output(); len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				l.Stop(backend.Closed, err)
			}
		}
		if _, _, done := l.Result(); done {
			return append([]byte(nil), l.Rest()...)
		}
		_ = conn.SetReadDeadline(time.Now().Add(perStep))
		n, err := conn.Read(buf)
		taken := l.Input(buf[:n])
		if _, _, done := l.Result(); done {
			return append(append([]byte(nil), l.Rest()...), buf[taken:n]...)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			l.Stop(backend.TimedOut, err)
		case errors.Is(err, io.EOF):
			l.Stop(backend.Closed, nil)
		case err != nil:
			l.Stop(backend.Closed, err)
		}
	}
}

// script is a backend that says each turn and waits for one line after each but
// the last, which the end follows.
func script(end func(*net.TCPConn), turns ...string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		for i, turn := range turns {
			if _, err := io.WriteString(c, turn); err != nil {
				return
			}
			if i < len(turns)-1 {
				if _, err := in.ReadString('\n'); err != nil {
					return
				}
			}
		}
		end(c)
	}
}

// The ends: the client's close is waited for, the backend closes, or resets.
func hang(c *net.TCPConn)  { _, _ = io.Copy(io.Discard, c) }
func fin(*net.TCPConn)     {}
func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

func TestLoginOverSockets(t *testing.T) {
	type want struct {
		kind backend.Kind
		step backend.Step
		code pop3.Code
	}
	endless := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		end   func(*net.TCPConn)
		turns []string
		want
	}{
		"silent":                {hang, []string{""}, want{backend.TimedOut, backend.Greeting, ""}},
		"half a greeting":       {hang, []string{"+OK"}, want{backend.TimedOut, backend.Greeting, ""}},
		"hangs after USER":      {hang, []string{"+OK\r\n", ""}, want{backend.TimedOut, backend.User, ""}},
		"hangs after PASS":      {hang, []string{"+OK\r\n", "+OK\r\n", ""}, want{backend.TimedOut, backend.Pass, ""}},
		"closes at once":        {fin, []string{""}, want{backend.Closed, backend.Greeting, ""}},
		"closes in the middle":  {fin, []string{"+OK\r\n", "+OK\r\n", "+OK Logged"}, want{backend.Closed, backend.Pass, ""}},
		"closes after USER":     {fin, []string{"+OK\r\n", ""}, want{backend.Closed, backend.User, ""}},
		"resets after USER":     {reset, []string{"+OK\r\n", ""}, want{backend.Closed, backend.User, ""}},
		"greets with -ERR":      {fin, []string{"-ERR too many\r\n"}, want{backend.Temporary, backend.Greeting, ""}},
		"is no POP3":            {hang, []string{"220 mail.example.org ESMTP\r\n"}, want{backend.Protocol, backend.Greeting, ""}},
		"says an endless line":  {hang, []string{"+OK\r\n", endless}, want{backend.Protocol, backend.User, ""}},
		"answers before asked":  {hang, []string{"+OK\r\n+OK\r\n+OK\r\n"}, want{backend.Protocol, backend.User, ""}},
		"refuses the user":      {fin, []string{"+OK\r\n", "-ERR who?\r\n"}, want{backend.Refused, backend.User, pop3.Auth}},
		"refuses the password":  {hang, []string{"+OK\r\n", "+OK\r\n", "-ERR [AUTH] no\r\n"}, want{backend.Refused, backend.Pass, pop3.Auth}},
		"is locked, and closes": {fin, []string{"+OK\r\n", "+OK\r\n", "-ERR Can't get lock.  Mailbox in use\r\n"}, want{backend.Refused, backend.Pass, pop3.InUse}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, l := connect(t, script(c.end, c.turns...))
			drive(conn, l, 400*time.Millisecond)
			_, err, done := l.Result()
			if !done || err == nil || err.Kind != c.kind || err.Step != c.step || err.Code != c.code {
				t.Errorf("got %v, want %s at %s %s", err, c.kind, c.step, c.code)
			}
		})
	}
}

func TestLoginOverSocketsSucceeds(t *testing.T) {
	rest := "+OK 2 320\r\n" + strings.Repeat("early bird\r\n", 300)
	for _, f := range families {
		if f.code != pop3.NoCode {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			conn, l := connect(t, script(fin, f.turns[0], f.turns[1], f.turns[2]+rest))
			got := drive(conn, l, 5*time.Second)
			reply, err, _ := l.Result()
			if err != nil || reply.Text != f.want {
				t.Fatalf("%+v, %v", reply, err)
			}
			more, ioErr := io.ReadAll(conn)
			if ioErr != nil || string(got)+string(more) != rest {
				t.Errorf("%d octets in the buffers, %d behind, error %v", len(got), len(more), ioErr)
			}
		})
	}
}

func connect(t *testing.T, serve func(*net.TCPConn)) (net.Conn, *backend.Login) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := backend.Dialer{KeepAlive: time.Minute}.Dial(ctx, backend.Target{Addresses: []string{listen(t, serve)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, newLogin(t)
}
