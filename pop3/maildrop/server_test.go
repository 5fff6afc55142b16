package maildrop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3/maildrop"
	"postern/pop3/pop3test"
)

// client connects to env.
func client(t *testing.T, env pop3test.Env) *pop3test.Client {
	t.Helper()
	raw, err := env.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return pop3test.NewClient(raw)
}

func TestAddMailboxFaults(t *testing.T) {
	s := maildrop.New(maildrop.Options{})
	if err := s.AddMailbox("alice@example.com", "p\u00e4ss w\u00f6rd", maildrop.Message{UID: strings.Repeat("~", 70)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, password string
		uids           []string
		want           string
	}{
		{"", "x", nil, "want a name"},
		{"a\r\nb", "x", nil, "want a name"},
		{"a\x00", "x", nil, "want a name"},
		{strings.Repeat("a", 249), "x", nil, "want a name"},
		{"bob", "a\rb", nil, "can't be sent"},
		{"bob", "a\n", nil, "can't be sent"},
		{"bob", "\x00", nil, "can't be sent"},
		{"bob", strings.Repeat("a", 249), nil, "can't be sent"},
		{"alice@example.com", "x", nil, "the name is taken"},
		{"bob", "x", []string{"1", "2", "1"}, "message 3: unique id 1 is taken"},
		{"bob", "x", []string{"a b"}, "message 1: unique id \"a b\""},
		{"bob", "x", []string{"\u00e4"}, "from '!' to '~'"},
		{"bob", "x", []string{"\x7f"}, "from '!' to '~'"},
		{"bob", "x", []string{"1", strings.Repeat("x", 71)}, "message 2: unique id of 71 octets"},
	} {
		var messages []maildrop.Message
		for _, id := range c.uids {
			messages = append(messages, maildrop.Message{UID: id})
		}
		if err := s.AddMailbox(c.user, c.password, messages...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q %.20q %.20q: got %v, want %q", c.user, c.password, c.uids, err, c.want)
		}
	}
	if err := s.AddMailbox("bob", "x"); err != nil {
		t.Errorf("a refused mailbox left something behind: %v", err)
	}
}

func TestGreetingHoldsNoChallenge(t *testing.T) {
	for name, want := range map[string]string{
		"":                         "+OK POP3 server ready",
		"<1896.697170952@example>": "+OK 1896.697170952@example ready",
		"a\r\n+OK b":               "+OK a??+OK b ready",
	} {
		s := maildrop.New(maildrop.Options{Name: name})
		if line, err := client(t, overPipe(t, s)).Line(); line != want || err != nil {
			t.Errorf("%q: got %q, %v", name, line, err)
		}
	}
}

// letters are the awkward messages: 8-bit, dots, 2 MB, long lines, no final newline.
func letters(user string) [][]byte {
	r := rand.New(rand.NewPCG(1, uint64(len(user))))
	noise := make([]byte, 300_000)
	for i := range noise {
		if noise[i] = byte(r.UintN(256)); noise[i] == '\n' || noise[i] == '\r' {
			noise[i] = '.'
		}
	}
	head := []byte("To: " + user + "\r\n\r\n")
	return [][]byte{
		append(bytes.Clone(head), bytes.Repeat([]byte(".\r\n..\r\n.a\r\n\r\n"), 500)...),
		append(bytes.Clone(head), noise...),
		append(bytes.Clone(head), bytes.Repeat(append(bytes.Repeat([]byte("x"), 70_000), "\r\n"...), 5)...),
		append(bytes.Clone(head), bytes.Repeat([]byte("0123456789abcdef0123456789abcd\r\n"), 1<<16)...),
		nil,
	}
}

// Many at once, each octet right.
func TestMessagesAreUnchanged(t *testing.T) {
	s := maildrop.New(maildrop.Options{})
	const users = 12
	for i := range users {
		user := fmt.Sprintf("user%d@example.com", i)
		var messages []maildrop.Message
		for _, body := range letters(user) {
			messages = append(messages, maildrop.Message{Body: body})
		}
		if err := s.AddMailbox(user, "secret", messages...); err != nil {
			t.Fatal(err)
		}
	}
	env := overLoopback(t, s)
	var wg sync.WaitGroup
	for i := range users {
		wg.Go(func() {
			if err := fetchAll(env, fmt.Sprintf("user%d@example.com", i)); err != nil {
				t.Errorf("user %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func fetchAll(env pop3test.Env, user string) error {
	raw, err := env.Dial()
	if err != nil {
		return err
	}
	defer raw.Close()
	c := pop3test.NewClient(raw)
	c.SetTimeout(time.Minute)
	if err := c.Login(user, "secret"); err != nil {
		return err
	}
	for i, want := range letters(user) {
		if len(want) > 0 && !bytes.HasSuffix(want, []byte("\r\n")) {
			want = append(want, "\r\n"...)
		}
		line, err := c.Cmd(fmt.Sprintf("RETR %d", i+1))
		if err != nil || line != fmt.Sprintf("+OK %d octets", len(want)) {
			return fmt.Errorf("message %d: %q, %w", i+1, line, err)
		}
		got, err := c.Multiline()
		if err != nil || sha256.Sum256(got) != sha256.Sum256(want) {
			return fmt.Errorf("message %d: %d of %d octets or others: %w", i+1, len(got), len(want), err)
		}
	}
	if line, err := c.Cmd("QUIT"); line != "+OK bye" {
		return fmt.Errorf("QUIT: %q, %w", line, err)
	}
	return nil
}

// A client that reads nothing is let go, and its mailbox with it; one that reads
// slowly is served for as long as it takes.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := maildrop.New(maildrop.Options{})
		body := bytes.Repeat([]byte("0123456789abcd\r\n"), 1<<17)
		if err := s.AddMailbox("alice", "secret", maildrop.Message{Body: body}); err != nil {
			t.Fatal(err)
		}
		env := overPipe(t, s)
		stuck := client(t, env)
		if err := errors.Join(stuck.Login("alice", "secret"), stuck.SendLine("RETR 1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Minute)
		if err := client(t, env).Login("alice", "secret"); err == nil || !strings.Contains(err.Error(), "[IN-USE]") {
			t.Errorf("before the time: %v", err)
		}
		time.Sleep(2 * time.Minute)
		slow := client(t, env)
		if err := errors.Join(slow.Login("alice", "secret"), slow.SendLine("RETR 1")); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got := 0
		for piece := make([]byte, 1<<15); got < len(body); {
			time.Sleep(4 * time.Minute)
			_ = slow.Raw().SetReadDeadline(time.Time{})
			n, err := io.ReadFull(slow.Raw(), piece)
			if got += n; err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("after %v and %d octets: %v", time.Since(start), got, err)
			}
		}
		if d := time.Since(start); d < 4*time.Hour {
			t.Errorf("not slow: %v", d)
		}
	})
}

func TestFailureDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := overPipe(t, guest(t, maildrop.Options{FailureDelay: 3 * time.Second}))
		pop3test.Run(t, []byte(strings.Join([]string{
			"S: +OK ...", "C-raw: \"USER alice\\r\\nPASS wrong\\r\\nCAPA\\r\\n\"", "S: +OK ...", "S-quiet 2999ms", "timeout 2ms",
			"S: -ERR [AUTH] ...", "S: +OK Capability ...", "C-close", ""}, "\n")), env)
	})
}

// Close doesn't wait for a delay, and a mailbox that was open loses nothing.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := guest(t, maildrop.Options{FailureDelay: time.Hour})
		env := overPipe(t, s)
		waiting, open := client(t, env), client(t, env)
		_ = waiting.Send([]byte("USER alice\r\nPASS wrong\r\n"))
		if err := open.Login("alice", "secret words"); err != nil {
			t.Fatal(err)
		}
		_, _ = open.Cmd("DELE 1")
		synctest.Wait()
		start := time.Now()
		s.Close()
		s.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		if err := open.End(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
		if _, err := env.Dial(); err == nil {
			t.Error("still listens")
		}
		l, _ := pop3test.ListenPipe("192.0.2.1:110")
		if err := s.Serve(l); err != nil {
			t.Errorf("Serve behind Close: %v", err)
		}
		if _, err := l.Dial(); err == nil {
			t.Error("the listener given to a closed server is open")
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := guest(t, maildrop.Options{})
		env := overPipe(t, s)
		c := client(t, env)
		if err := c.Login("alice", "secret words"); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		if _, err := env.Dial(); err == nil {
			t.Error("still listens")
		}
		if line, err := c.Cmd("STAT"); line != "+OK 3 159" || err != nil {
			t.Errorf("a running session: %q, %v", line, err)
		}
		select {
		case err := <-ended:
			t.Errorf("didn't wait: %v", err)
		default:
		}
		_, _ = c.Cmd("QUIT")
		if err := <-ended; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := guest(t, maildrop.Options{})
		c := client(t, overPipe(t, s))
		if err := c.Login("alice", "secret words"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := c.End(); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
	})
}

// hiccup is a listener whose Accept fails a few times, as without descriptors.
type hiccup struct {
	net.Listener
	failures int
}

func (l *hiccup) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestServeSurvivesAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := pop3test.ListenPipe("192.0.2.1:110")
		serve(t, guest(t, maildrop.Options{}), &hiccup{l, 10})
		start := time.Now()
		c := client(t, pop3test.Env{Dial: l.Dial})
		if line, err := c.Line(); !strings.HasPrefix(line, "+OK") || err != nil {
			t.Errorf("got %q, %v", line, err)
		}
		if d := time.Since(start); d < time.Second || d > 4*time.Second {
			t.Errorf("ten failures took %v", d)
		}
	})
}

func TestServeEndsWithItsListener(t *testing.T) {
	l, _ := pop3test.ListenPipe("192.0.2.1:110")
	_ = l.Close()
	if err := maildrop.New(maildrop.Options{}).Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Neither a password nor what may be one is in the log, at any level.
func TestLogHoldsNoSecrets(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := maildrop.New(maildrop.Options{Logger: logger})
	if err := s.AddMailbox("alice", "canary"); err != nil {
		t.Fatal(err)
	}
	t.Run("session", func(t *testing.T) {
		pop3test.Run(t, []byte("C: USER canary\nS: +OK ...\nS: +OK ...\nC: PASS canary\nS: -ERR [AUTH] ...\nC: PASS canary\nS: -ERR ...\n"+
			"C: canary\nS: -ERR ...\nC: USER alice\nS: +OK ...\nC: PASS canary\nS: +OK ...\nC: QUIT\nS: +OK ...\nS-fin\n"), overLoopback(t, s))
	})
	if out := log.String(); strings.Contains(out, "canary") {
		t.Errorf("leaked:\n%s", out)
	}
	for _, want := range []string{`result=refused mailbox=""`, "result=ok mailbox=alice", "msg=end"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in\n%s", want, log.String())
		}
	}
}
