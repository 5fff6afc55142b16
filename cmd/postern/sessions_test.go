package main

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSessionsCommand(t *testing.T) {
	t.Parallel()
	hostile := fakeSession("b-2", "x\x1b[2J\u202e\t\r\n\u0085y@example.com", "guest-02")
	older := fakeSession("b-1", "bob@example.com", "guest-01")
	older.Since = older.Since.Add(-time.Hour)
	one := startAdmin(t, "gw1", fakeSession("a-1", "alice@example.com", "guest-01"))
	two := startAdmin(t, "gw2", hostile, older)
	both := []string{"--admin", one.socket, "--admin", two.socket}
	t.Run("all", func(t *testing.T) {
		r := postern(t, append([]string{"sessions"}, both...)...)
		r.check(t, 0, "alice@example.com", "")
		rows := lines(r.out)
		want := []string{two.socket, "b-1", "bob@example.com", "guest-01", "192.0.2.1:1001", "1h3m", "relay", "5.0MiB", "1.3", "pop"}
		if len(rows) != 4 || rows[1][0] != one.socket || !slices.Equal(rows[2], want) {
			t.Errorf("%v", rows)
		}
		if strings.ContainsAny(r.out, "\x1b\u202e\t\r\u0085") || !strings.Contains(r.out, "x?[2J?????y@example.com") {
			t.Errorf("the terminal gets %q", r.out)
		}
	})
	t.Run("chosen", func(t *testing.T) {
		r := postern(t, append([]string{"sessions", "--backend", "guest-01", "--mailbox", "BOB@example.com"}, both...)...)
		if rows := lines(r.out); len(rows) != 2 || rows[1][1] != "b-1" {
			t.Errorf("%v", rows)
		}
		postern(t, append([]string{"sessions", "--backend", "nowhere"}, both...)...).check(t, 0, "", "")
		postern(t, append([]string{"sessions", "--address", "nowhere"}, both...)...).check(t, 1, "", "want an IP address")
	})
	t.Run("cut", func(t *testing.T) {
		postern(t, append([]string{"sessions", "--limit", "1"}, both...)...).check(t, 0, "b-1", two.socket+": 1 more sessions")
	})
	t.Run("JSON", func(t *testing.T) {
		all := jsonLines(t, postern(t, append([]string{"sessions", "--json"}, both...)...).out)
		if len(all) != 3 || all[0]["gateway"] != "gw1" || all[2]["mailbox"] != hostile.Mailbox || all[1]["admin"] != two.socket {
			t.Errorf("%v", all)
		}
	})
	t.Run("one is dead", func(t *testing.T) {
		postern(t, "sessions", "--admin", one.socket, "--admin", deadSocket(t)).check(t, 3, "a-1", "connection refused")
	})
}

func TestKickCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		args     []string
		dead     bool // a third gateway
		status   int
		one, two []string // who was kicked there
		out      string
		faults   string
	}{
		{"an id", []string{"b-1"}, false, 0, nil, []string{"b-1"}, "1", ""},
		{"ids of both", []string{"b-1", "a-1"}, false, 0, []string{"a-1"}, []string{"b-1"}, "1", ""},
		{"nobody's id", []string{"b-1", "z-9/../.."}, false, 1, nil, []string{"b-1"}, "1", "there is no session z-9/../.."},
		{"dots", []string{".."}, false, 1, nil, nil, "0", "there is no session .."},
		{"a backend", []string{"--backend", "guest-01"}, false, 0, []string{"a-1"}, []string{"b-1"}, "1", ""},
		{"a mailbox", []string{"--mailbox", "Bob@example.com"}, false, 0, nil, []string{"b-1"}, "1", ""},
		{"an address", []string{"--address", "192.0.2.0/24"}, false, 0, []string{"a-1"}, []string{"b-1", "b-2"}, "2", ""},
		{"both of two", []string{"--address", "192.0.2.1", "--backend", "guest-02"}, false, 0, nil, []string{"b-2"}, "1", ""},
		{"nobody", []string{"--mailbox", "nobody@example.com"}, false, 0, nil, nil, "0", ""},
		{"one is dead", []string{"b-1"}, true, 3, nil, []string{"b-1"}, "1", "connection refused"},
		{"nothing", nil, false, 2, nil, nil, "", "which sessions?"},
		{"an id and a backend", []string{"b-1", "--backend", "guest-01"}, false, 2, nil, nil, "", "not both"},
		{"no address", []string{"--address", "guest-01"}, false, 1, nil, nil, "", "want an IP address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			one := startAdmin(t, "gw1", fakeSession("a-1", "alice@example.com", "guest-01"))
			two := startAdmin(t, "gw2", fakeSession("b-1", "bob@example.com", "guest-01"), fakeSession("b-2", "carol@example.com", "guest-02"))
			args := []string{"sessions", "kick", "--admin", one.socket, "--admin", two.socket}
			if tt.dead {
				args = append(args, "--admin", deadSocket(t))
			}
			r := postern(t, append(args, tt.args...)...)
			r.check(t, tt.status, tt.out, tt.faults)
			if !slices.Equal(one.kicked, tt.one) || !slices.Equal(two.kicked, tt.two) {
				t.Errorf("kicked %v and %v", one.kicked, two.kicked)
			}
		})
	}
}

// --watch shows again and again, survives a gateway that is gone, and ends with Ctrl-C.
func TestSessionsWatch(t *testing.T) {
	t.Parallel()
	g := startAdmin(t, "gw1", fakeSession("a-1", "alice@example.com", "guest-01"))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "sessions", "--watch", "--interval", "100ms", "--admin", g.socket, "--admin", deadSocket(t))
	cmd.Env = append(os.Environ(), asPostern+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timeout.Stop()
	seen, dead := 0, 0
	for text := bufio.NewScanner(out); seen < 3 && text.Scan(); {
		if strings.Contains(text.Text(), "alice@example.com") {
			seen++
		}
		if strings.Contains(text.Text(), "connection refused") {
			dead++
		}
	}
	if seen != 3 || dead < 2 {
		t.Errorf("seen %d times, the dead one %d times", seen, dead)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = bufio.NewReader(out).WriteTo(nowhere{}) }()
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
