package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

// running is a server on real loopback sockets.
type runningServer struct {
	*Server
	address string
	logs    *safeBuffer
}

func serve(t *testing.T, change func(*Settings, *Options)) *runningServer {
	t.Helper()
	return serveWith(t, nil, &Access{}, change)
}

func serveWith(t *testing.T, l net.Listener, access *Access, change func(*Settings, *Options)) *runningServer {
	t.Helper()
	if l == nil {
		var err error
		if l, err = Listen(t.Context(), ListenOptions{Address: "127.0.0.1:0", KeepAlive: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	logs := new(safeBuffer)
	set := testSettings(t)
	set.FailureDelay = 50 * time.Millisecond
	o := Options{
		Settings: set, Directory: locatorFunc(locateResident), Dialer: backend.Dialer{},
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(set, &o)
	}
	s := &runningServer{Server: NewServer(o), address: l.Addr().String(), logs: logs}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(context.Background(), NewListener(l, "test", access))
	}()
	t.Cleanup(func() {
		s.cutOff()
		<-served
	})
	return s
}

// cutOff ends a server without patience.
func (s *runningServer) cutOff() int {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Shutdown(ctx)
}

func (s *runningServer) dial(t *testing.T) *pop3test.Client {
	t.Helper()
	c, err := pop3test.Dial(s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (s *runningServer) greeted(t *testing.T) *pop3test.Client {
	t.Helper()
	c := s.dial(t)
	expectLine(t, c, "+OK postern ready")
	return c
}

func expectLine(t *testing.T, c *pop3test.Client, prefix string) {
	t.Helper()
	if line, err := c.Line(); err != nil || !strings.HasPrefix(line, prefix) {
		t.Fatalf("got %q, %v; want %q", line, err, prefix)
	}
}

func expectEnd(t *testing.T, c *pop3test.Client) {
	t.Helper()
	if err := c.End(); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want the end", err)
	}
}

// judge plays a backend's part of a login, up to its verdict.
func judge(c *pop3test.Conn, verdict func(user, password string) string) {
	_ = c.SendLine("+OK ready")
	user, _ := c.Line()
	_ = c.SendLine("+OK")
	if password, err := c.Line(); err == nil {
		_ = c.SendLine(verdict(strings.TrimPrefix(user, "USER "), strings.TrimPrefix(password, "PASS ")))
	}
}

// safeBuffer is a log that can be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// waitFor waits until a record holds all words.
func (b *safeBuffer) waitFor(t *testing.T, words ...string) string {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for line := range strings.SplitSeq(b.String(), "\n") {
			if containsAll(line, words) {
				return line
			}
		}
	}
	t.Fatalf("no record with %q in\n%s", words, b.String())
	return ""
}

func containsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}

func TestServerLimits(t *testing.T) {
	t.Run("in total, of whom has logged in", func(t *testing.T) {
		guest := pop3test.NewBackend(t, func(c *pop3test.Conn) {
			judge(c, func(string, string) string { return "+OK in" })
			_, _ = io.Copy(io.Discard, c.Raw())
		})
		s := serve(t, func(set *Settings, o *Options) {
			set.Limits.Sessions = 2
			o.Directory = locatorFunc(at(guest.Addr()))
		})
		first, second := s.dial(t), s.dial(t)
		for _, c := range []*pop3test.Client{first, second} {
			if err := c.Login("alice", "x"); err != nil {
				t.Fatal(err)
			}
		}
		third := s.dial(t)
		expectLine(t, third, "-ERR [SYS/TEMP] Too many connections")
		expectEnd(t, third)
		first.Close()
		s.logs.waitFor(t, "msg=end")
		s.greeted(t) // there is room again
	})
	t.Run("in total, of whom has not", func(t *testing.T) {
		s := serve(t, func(set *Settings, _ *Options) { set.Limits.Sessions = 2 })
		oldest, younger := s.greeted(t), s.greeted(t)
		s.greeted(t)
		expectEnd(t, oldest)
		s.logs.waitFor(t, "msg=end", `reason="gave way"`)
		if reply, err := younger.Cmd("QUIT"); err != nil || reply != "+OK Bye" {
			t.Errorf("the younger one hears %q, %v", reply, err)
		}
	})
	t.Run("per address", func(t *testing.T) {
		s := serve(t, func(set *Settings, _ *Options) { set.Limits.PerAddress = 1 })
		s.greeted(t)
		expectLine(t, s.dial(t), "-ERR [SYS/TEMP] Too many connections")
	})
	t.Run("per address, exempt", func(t *testing.T) {
		s := serve(t, func(set *Settings, _ *Options) {
			set.Limits.PerAddress = 1
			set.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		})
		s.greeted(t)
		s.greeted(t)
	})
}

func TestServerAccess(t *testing.T) {
	prefix := netip.MustParsePrefix
	for name, tt := range map[string]struct {
		access Access
		served bool
	}{
		"everybody":        {Access{}, true},
		"allowed":          {Access{Allow: []netip.Prefix{prefix("127.0.0.0/8")}}, true},
		"not allowed":      {Access{Allow: []netip.Prefix{prefix("192.0.2.0/24")}}, false},
		"denied":           {Access{Deny: []netip.Prefix{prefix("127.0.0.1/32")}}, false},
		"deny wins":        {Access{Allow: []netip.Prefix{prefix("127.0.0.1/32")}, Deny: []netip.Prefix{prefix("127.0.0.0/8")}}, false},
		"another's denial": {Access{Deny: []netip.Prefix{prefix("192.0.2.0/24")}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := serveWith(t, nil, &tt.access, nil).dial(t)
			if tt.served {
				expectLine(t, c, "+OK")
			} else {
				expectEnd(t, c)
			}
		})
	}
}

// failingListener says for a while that there are no descriptors left.
type failingListener struct {
	net.Listener
	mu    sync.Mutex
	fails int
}

func (l *failingListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestServerSurvivesAcceptErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveWith(t, &failingListener{Listener: l, fails: 4}, &Access{}, nil)
	s.greeted(t)
	s.logs.waitFor(t, "accepting a client", "too many open files", "retry_in=40ms")
}

// A session that panics ends alone.
func TestServerSurvivesPanics(t *testing.T) {
	s := serve(t, func(_ *Settings, o *Options) {
		o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) { panic("broken directory") })
	})
	other := s.greeted(t)
	c := s.greeted(t)
	if err := c.Send([]byte("USER alice\r\nPASS hunter2\r\n")); err != nil {
		t.Fatal(err)
	}
	expectLine(t, c, "+OK")
	expectEnd(t, c)
	s.logs.waitFor(t, "session panicked", "broken directory")
	if strings.Contains(s.logs.String(), "hunter2") {
		t.Error("the password is in the log")
	}
	if reply, err := other.Cmd("QUIT"); err != nil || reply != "+OK Bye" {
		t.Errorf("another session: %q, %v", reply, err)
	}
	for deadline := time.Now().Add(5 * time.Second); s.Sessions() > 1 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := s.Sessions(); got > 1 {
		t.Errorf("%d sessions are open", got)
	}
}

func TestServerShutdown(t *testing.T) {
	t.Run("waits", func(t *testing.T) {
		s := serve(t, nil)
		c := s.greeted(t)
		cut := make(chan int, 1)
		go func() { cut <- s.Shutdown(context.Background()) }()
		time.Sleep(50 * time.Millisecond)
		if _, err := net.Dial("tcp", s.address); err == nil {
			t.Error("a draining server takes new clients")
		}
		if reply, err := c.Cmd("QUIT"); err != nil || reply != "+OK Bye" {
			t.Errorf("%q, %v", reply, err)
		}
		if n := <-cut; n != 0 {
			t.Errorf("%d sessions were cut", n)
		}
	})
	t.Run("cuts in every state, without a word", func(t *testing.T) {
		hold := pop3test.NewBackend(t, func(c *pop3test.Conn) { // never greets
			_ = c.Quiet(3 * time.Second)
		})
		s := serve(t, func(set *Settings, o *Options) {
			set.FailureDelay = time.Minute
			o.Directory = locatorFunc(at(hold.Addr()))
		})
		idle, judged, delayed := s.greeted(t), s.greeted(t), s.greeted(t)
		for c, user := range map[*pop3test.Client]string{judged: "alice", delayed: "nobody"} {
			if err := c.Send([]byte("USER " + user + "\r\nPASS x\r\n")); err != nil {
				t.Fatal(err)
			}
			expectLine(t, c, "+OK")
		}
		begin := time.Now()
		if n := s.cutOff(); n != 3 {
			t.Errorf("%d sessions were cut, want 3", n)
		}
		for _, c := range []*pop3test.Client{idle, judged, delayed} {
			expectEnd(t, c)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// at is a directory in which everybody but nobody lives at one address.
func at(address string) func(directory.Query) (directory.Route, error) {
	target := &backend.Target{Name: "b1", Addresses: []string{address}}
	return func(q directory.Query) (directory.Route, error) {
		if q.User == "nobody" {
			return directory.Route{}, directory.ErrUnknown
		}
		return directory.Route{Mailbox: q.User + "@example.com", Entry: q.User + "@example.com", Login: q.User, Backend: target}, nil
	}
}

// 64 MB without a newline: closed early, and memory stays flat.
func TestServerEndlessLine(t *testing.T) {
	s := serve(t, nil)
	c := s.greeted(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	block := bytes.Repeat([]byte("x"), 64<<10)
	sent := 0
	for ; sent < 64<<20; sent += len(block) {
		if _, err := c.Raw().Write(block); err != nil {
			break
		}
	}
	if sent >= 64<<20 {
		t.Error("all of it was taken")
	}
	s.logs.waitFor(t, "line too long")
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc) - int64(before.TotalAlloc); grown > 4<<20 {
		t.Errorf("%d octets were allocated for it", grown)
	}
}

// A client that reads nothing holds its session until the login deadline, and a bounded
// number of octets.
func TestServerClientThatReadsNothing(t *testing.T) {
	s := serve(t, func(set *Settings, _ *Options) { set.Login = time.Second })
	c := s.dial(t)
	go func() {
		capas := bytes.Repeat([]byte("CAPA\r\n"), 10000)
		for {
			if _, err := c.Raw().Write(capas); err != nil {
				return
			}
		}
	}()
	s.logs.waitFor(t, "msg=end")
}

// A reload changes the rules for new sessions only.
func TestReconfigure(t *testing.T) {
	s := serve(t, nil)
	old := s.greeted(t)
	set := testSettings(t)
	set.Plaintext = PlaintextNever
	s.Reconfigure(set)
	for c, want := range map[*pop3test.Client]string{old: "+OK", s.greeted(t): "-ERR"} {
		if reply, err := c.Cmd("USER alice"); err != nil || !strings.HasPrefix(reply, want) {
			t.Errorf("%q, %v; want %s", reply, err, want)
		}
	}
}

// Descriptors and goroutines return to where they were.
func TestServerLeavesNothingBehind(t *testing.T) {
	guest := pop3test.NewBackend(t, func(c *pop3test.Conn) {
		judge(c, func(user, _ string) string {
			if user == "bob" {
				return "-ERR no"
			}
			return "+OK in"
		})
		_, _ = io.Copy(io.Discard, c.Raw())
	})
	s := serve(t, func(set *Settings, o *Options) {
		set.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // from penalties
		o.Directory = locatorFunc(at(guest.Addr()))
	})
	before := runtime.NumGoroutine()
	for i := range 60 {
		c := s.greeted(t)
		user := []string{"alice", "bob", "nobody"}[i%3]
		_ = c.Send(fmt.Appendf(nil, "USER %s\r\nPASS x\r\n", user))
		expectLine(t, c, "+OK")
		if user == "alice" {
			expectLine(t, c, "+OK in")
		}
		c.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); s.Sessions() > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	if s.Sessions() > 0 || s.census.Sessions() > 0 || runtime.NumGoroutine() > before+5 {
		t.Errorf("%d sessions, %d seats, %d goroutines (%d before)", s.Sessions(), s.census.Sessions(), runtime.NumGoroutine(), before)
	}
}
