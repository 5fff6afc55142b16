package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/directory"
)

func socketmapOf(t *testing.T, s *site, template string, allow ...netip.Prefix) *Socketmap {
	t.Helper()
	m, err := NewSocketmap(SocketmapOptions{Locate: s.locate, Transport: transportOf(t, template), Allow: allow})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSocketmapAnswers(t *testing.T) {
	for request, want := range map[string]string{
		"transport alice@example.com":    "OK smtp:[192.0.2.1]:25",
		"transport ALICE@example.com":    "OK smtp:[192.0.2.1]:25",
		"transport bob@example.com":      "OK smtp:[2001:db8::2]:25",
		"transport carol@example.com":    "OK smtp:[guest-03.example.com]:25",
		"transport dave@example.com":     "OK smtp:[192.0.2.1]:25", // suspended: its mail still arrives
		"transport erin@example.com":     tempMoving,
		"transport frank@example.com":    tempUnreachable,
		"transport nobody@example.com":   notFound,
		"transport down@example.com":     tempDirectory,
		"transport judged@example.com":   tempPassword,
		"transport homeless@example.com": tempDirectory,
		"transport a b%c@example.com":    "OK smtp:[192.0.2.1]:25",
		"mailbox alice@example.com":      "OK alice@example.com",
		"mailbox ALICE@example.com":      "OK alice@example.com",
		"mailbox dave@example.com":       "OK dave@example.com",
		"mailbox erin@example.com":       "OK erin@example.com",
		"mailbox nobody@example.com":     notFound,
		"mailbox down@example.com":       tempDirectory,
		"mailbox judged@example.com":     tempPassword,
		"backend bob@example.com":        "OK guest-02",
		"backend erin@example.com":       "OK guest-01",
		"backend nobody@example.com":     notFound,
		"Transport alice@example.com":    permMap,
		"passwd alice@example.com":       permMap,
		"alice@example.com":              permMap,
		"":                               permMap,
	} {
		s := newSite()
		if got := socketmapOf(t, s, "").answer(t.Context(), request); got != want {
			t.Errorf("%q: %q, want %q", request, got, want)
		}
		for _, q := range s.asked {
			if !q.Strict || q.DefaultDomain != "" {
				t.Errorf("%q asks %+v", request, q)
			}
		}
	}
}

// TestSocketmapPartialKeys: the directory isn't even asked. It would take a bare name for one in its
// default domain.
func TestSocketmapPartialKeys(t *testing.T) {
	s := newSite()
	m := socketmapOf(t, s, "")
	for _, key := range []string{"", "bare", "example.com", ".example.com", "*", "@example.com", "alice@", "@", "<>"} {
		for _, name := range []string{"transport", "mailbox", "backend"} {
			if got := m.answer(t.Context(), name+" "+key); got != notFound {
				t.Errorf("%s %q: %q", name, key, got)
			}
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("asked %v", s.asked)
	}
}

// started is a running server, and how to connect to it.
func started(t *testing.T, serve func(context.Context, net.Listener) error) (dial func() net.Conn, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l) }()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		return c
	}, stop
}

func TestSocketmapConnection(t *testing.T) {
	dial, stop := started(t, socketmapOf(t, newSite(), "", loopback...).Serve)
	c := dial()
	in := bufio.NewReader(c)
	// Many requests, in pieces, the next one before the answer.
	text := bytes.Repeat(appendNetstring(nil, "backend alice@example.com"), 50)
	go func() {
		for part := range chunks(text, 7) {
			if _, err := c.Write(part); err != nil {
				return
			}
		}
	}()
	for i := range 50 {
		if got, err := readNetstring(in); err != nil || got != "OK guest-01" {
			t.Fatalf("answer %d: %q, %v", i, got, err)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection outlives the server")
	}
}

func chunks(text []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(text) > 0 {
			n := min(size, len(text))
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// TestSocketmapGarbage: what is no netstring ends the connection, unanswered.
func TestSocketmapGarbage(t *testing.T) {
	s := newSite()
	dial, _ := started(t, socketmapOf(t, s, "", loopback...).Serve)
	for _, text := range []string{
		"GET / HTTP/1.0\r\n\r\n", ":,", "-1:a,", "03:abc,", "3:abcd", "99999:", "1019:" + strings.Repeat("a", 1019) + ",",
		"25:backend alice@example.com\r\n", "\x00", " 3:abc,", "3 :abc,",
	} {
		c := dial()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(c); len(got) != 0 {
			t.Errorf("%q is answered %q", text, got)
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("asked %v", s.asked)
	}
}

func TestSocketmapAllow(t *testing.T) {
	dial, _ := started(t, socketmapOf(t, newSite(), "", netip.MustParsePrefix("192.0.2.0/24")).Serve)
	c := dial()
	_, _ = c.Write(appendNetstring(nil, "backend alice@example.com"))
	if got, _ := io.ReadAll(c); len(got) != 0 {
		t.Errorf("answered %q", got)
	}
}

// TestSocketmapIsBounded: one more than there are places waits until there is one.
func TestSocketmapIsBounded(t *testing.T) {
	dial, _ := started(t, socketmapOf(t, newSite(), "", loopback...).Serve)
	ask := func(c net.Conn) error {
		if _, err := c.Write(appendNetstring(nil, "backend alice@example.com")); err != nil {
			return err
		}
		_, err := readNetstring(bufio.NewReader(c))
		return err
	}
	inside := make([]net.Conn, maxAskers)
	for i := range inside {
		inside[i] = dial()
		if err := ask(inside[i]); err != nil {
			t.Fatal(err)
		}
	}
	outside := dial()
	_ = outside.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if err := ask(outside); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		t.Fatalf("a connection too many: %v", err)
	}
	_ = inside[0].Close()
	_ = outside.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := readNetstring(bufio.NewReader(outside)); err != nil {
		t.Errorf("after one left: %v", err)
	}
}

// Who may not ask must not keep those out who may.
func TestStrangersHoldNoPlaces(t *testing.T) {
	neighbour := netip.MustParsePrefix("127.0.0.2/32")
	socketmap := socketmapOf(t, newSite(), "", neighbour)
	auth := authOf(t, newSite(), func(o *AuthHTTPOptions) { o.Allow = []netip.Prefix{neighbour} })
	for name, c := range map[string]struct {
		serve  func(context.Context, net.Listener) error
		places int
		asks   string
	}{
		"socketmap": {socketmap.Serve, maxAskers, string(appendNetstring(nil, "backend alice@example.com"))},
		"auth_http": {auth.Serve, maxAuthConns, "GET /auth HTTP/1.1\r\nHost: a\r\nAuth-Protocol: imap\r\nAuth-User: alice@example.com\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dial, _ := started(t, c.serve)
			var stranger net.Conn
			for range c.places { // none of them says anything, or leaves
				stranger = dial()
			}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			in, err := d.DialContext(t.Context(), "tcp", stranger.RemoteAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			_ = in.SetDeadline(time.Now().Add(authReadTime / 2)) // before a stranger's time would be over
			if _, err := io.WriteString(in, c.asks); err != nil {
				t.Fatal(err)
			}
			if _, err := in.Read(make([]byte, 1)); err != nil {
				t.Errorf("no answer: %v", err)
			}
		})
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// TestSocketmapSlowClient: between requests a client has the idle time, within one ten seconds.
func TestSocketmapSlowClient(t *testing.T) {
	for name, c := range map[string]struct {
		sent string
		want time.Duration
	}{
		"silent":         {"", defaultIdle},
		"in the length":  {"2", requestTime},
		"in the request": {"20:backend", requestTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := socketmapOf(t, newSite(), "")
				ours, theirs := net.Pipe()
				start := time.Now()
				go func() { _, _ = io.WriteString(ours, c.sent) }()
				m.serveConn(t.Context(), pipe{theirs})
				if took := time.Since(start); took != c.want {
					t.Errorf("ended after %v, want %v", took, c.want)
				}
				_ = ours.Close()
			})
		})
	}
}

// TestSocketmapDeafClient doesn't read its answer.
func TestSocketmapDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		start := time.Now()
		go func() { _, _ = ours.Write(appendNetstring(nil, "backend alice@example.com")) }()
		socketmapOf(t, newSite(), "").serveConn(t.Context(), pipe{theirs})
		if took := time.Since(start); took != requestTime {
			t.Errorf("ended after %v", took)
		}
		_ = ours.Close()
	})
}

// TestSocketmapSlowDirectory has so much time and no more.
func TestSocketmapSlowDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewSocketmap(SocketmapOptions{
			Transport: transportOf(t, ""),
			Locate: func(ctx context.Context, _ directory.Query) (directory.Route, error) {
				<-ctx.Done()
				return directory.Route{}, ctx.Err()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := net.Pipe()
		go m.serveConn(t.Context(), pipe{theirs})
		start := time.Now()
		_, _ = ours.Write(appendNetstring(nil, "backend alice@example.com"))
		got, err := readNetstring(bufio.NewReader(ours))
		if err != nil || got != tempDirectory || time.Since(start) != answerTime {
			t.Errorf("%q, %v after %v", got, err, time.Since(start))
		}
		_ = ours.Close()
		synctest.Wait()
	})
}

// pipe is a connection whose peer came by a Unix socket.
type pipe struct{ net.Conn }

func (pipe) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// TestAcceptFails: a fault that passes, such as no descriptors, doesn't end the server.
func TestAcceptFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &failing{}
		ended := make(chan error, 1)
		go func() { ended <- socketmapOf(t, newSite(), "").Serve(ctx, l) }()
		time.Sleep(10 * acceptInterval)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if l.tries < 9 || l.tries > 12 {
			t.Errorf("%d tries", l.tries)
		}
	})
}

type failing struct {
	net.Listener
	tries int
}

func (f *failing) Accept() (net.Conn, error) {
	f.tries++
	return nil, errors.New("too many open files")
}
func (f *failing) Close() error { return nil }
