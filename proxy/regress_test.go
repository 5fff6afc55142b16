package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

// What a client hears when the login deadline passes is written after that deadline.
func TestLoginDeadlineIsTold(t *testing.T) {
	hung := pop3test.NewBackend(t, func(c *pop3test.Conn) { _ = c.Quiet(3 * time.Second) })
	s := serve(t, func(set *Settings, o *Options) {
		set.Login = 500 * time.Millisecond
		o.Directory = locatorFunc(at(hung.Addr()))
	})
	c := s.greeted(t)
	if err := c.Send([]byte("USER alice\r\nPASS x\r\n")); err != nil {
		t.Fatal(err)
	}
	expectLine(t, c, "+OK")
	expectLine(t, c, "-ERR [SYS/TEMP] The login took too long")
	expectEnd(t, c)
	s.logs.waitFor(t, "msg=end", "ended_by=gateway", `reason="login timeout"`)
}

// So is a refusal whose time comes behind it.
func TestLateRefusalIsTold(t *testing.T) {
	s := serve(t, func(set *Settings, _ *Options) {
		set.Login, set.FailureDelay = 300*time.Millisecond, 600*time.Millisecond
	})
	c := s.greeted(t)
	if err := c.Send([]byte("USER nobody\r\nPASS x\r\n")); err != nil {
		t.Fatal(err)
	}
	expectLine(t, c, "+OK")
	expectLine(t, c, "-ERR [AUTH]")
	expectEnd(t, c)
}

// Who has had his share is refused for that, and nobody gives way to him.
func TestFullShareEvictsNobody(t *testing.T) {
	s := serve(t, func(set *Settings, _ *Options) { set.Limits.Sessions, set.Limits.PerAddress = 3, 2 })
	dial := func(from string) *pop3test.Client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return pop3test.NewClient(conn)
	}
	oldest := dial("127.0.0.2")
	expectLine(t, oldest, "+OK")
	for range 2 {
		expectLine(t, dial("127.0.0.1"), "+OK")
	}
	expectLine(t, dial("127.0.0.1"), "-ERR [SYS/TEMP]")
	if reply, err := oldest.Cmd("QUIT"); err != nil || reply != "+OK Bye" {
		t.Errorf("the oldest one hears %q, %v", reply, err)
	}
}

// Refusals are counted, and told to the log now and then.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	s := serve(t, func(set *Settings, _ *Options) { set.Limits.PerAddress = 1 })
	s.greeted(t)
	for range 20 {
		expectLine(t, s.dial(t), "-ERR [SYS/TEMP]")
	}
	if n := strings.Count(s.logs.String(), `level=WARN msg="client refused"`); n != 1 {
		t.Errorf("%d warnings for 20 refusals", n)
	}
}

// Whoever is named by a PROXY header is no proxy of mail, wherever its peer stands.
func TestNoXCLIENTBehindAHeader(t *testing.T) {
	everywhere := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := serveWith(t, nil, &Access{Proxies: everywhere, XCLIENT: everywhere}, nil)
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.9 192.0.2.1 1234 110\r\n": "-ERR Unknown command",
		"PROXY TCP4 127.0.0.77 192.0.2.1 1234 110\r\n":  "+OK Updated", // a proxy of mail behind the balancer
	} {
		c := s.dial(t)
		if err := c.Send([]byte(header)); err != nil {
			t.Fatal(err)
		}
		expectLine(t, c, "+OK")
		if reply, err := c.Cmd("XCLIENT ADDR=198.51.100.77 PORT=9"); err != nil || reply != want {
			t.Errorf("%q, %v; want %q", reply, err, want)
		}
	}
}

// Under a domain's entry every name has a route: one that nobody logged in with is not
// logged as it is.
func TestNamesUnderADomainsEntry(t *testing.T) {
	guest := pop3test.NewBackend(t, func(c *pop3test.Conn) {
		judge(c, func(user, _ string) string {
			if user == "right" {
				return "+OK in"
			}
			return "-ERR no"
		})
	})
	s := serve(t, func(_ *Settings, o *Options) {
		o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
			return directory.Route{
				Mailbox: q.User + "@example.org", Entry: "@example.org", Login: q.User,
				Backend: &backend.Target{Name: "b1", Addresses: []string{guest.Addr()}},
			}, nil
		})
	})
	for user, reply := range map[string]string{"hunter2secret": "-ERR [AUTH]", "right": "+OK in"} {
		c := s.greeted(t)
		if err := c.Send([]byte("USER " + user + "\r\nPASS x\r\n")); err != nil {
			t.Fatal(err)
		}
		expectLine(t, c, "+OK")
		expectLine(t, c, reply)
		c.Close()
	}
	s.logs.waitFor(t, "msg=login", "mailbox=right@example.org")
	s.logs.waitFor(t, "msg=end", "user_hash=")
	if strings.Contains(s.logs.String(), "hunter2secret") {
		t.Errorf("the name is in\n%s", s.logs.String())
	}
}

// A hello that never ends is cut off before it costs much.
func TestBoundedHandshake(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = far.Write(bytes.Repeat([]byte{22}, 2*maxHandshake)) }()
	b := &bounded{Conn: near, left: maxHandshake}
	n, err := io.Copy(io.Discard, b)
	if n != maxHandshake || !errors.Is(err, errHandshakeTooLong) {
		t.Errorf("%d octets, %v", n, err)
	}
	b.left = -1 // the handshake is done
	if n, err := b.Read(make([]byte, 100)); n != 100 || err != nil {
		t.Errorf("behind the handshake: %d octets, %v", n, err)
	}
}
