package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/pop3/pop3test"
)

// The demo's first minute: what it prints is true, each user's mail is there through the one
// port, and Ctrl-C leaves nothing behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "demo", "--address", "127.0.0.1:0", "--tls-address", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), asPostern+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	screen := readScreen(t, out)
	address := found1(t, screen, `gateway\s+(\S+) \(POP3`)
	dir := found1(t, screen, `files\s+(\S+)`)
	users := regexp.MustCompile(`(?m)^  (\S+@example\.com)\s+demo\s+(guest-\d\d)`).FindAllStringSubmatch(screen, -1)
	if len(users) != 6 || !strings.Contains(screen, fmt.Sprintf("curl pop3://%s/ --user alice@example.com:demo", address)) {
		t.Fatalf("the screen says\n%s", screen)
	}
	for _, u := range users {
		fetchDemo(t, address, u[1], u[2])
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("after Ctrl-C: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Ctrl-C does not end it")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", dir, err)
	}
}

func readScreen(t *testing.T, out interface{ Read([]byte) (int, error) }) string {
	t.Helper()
	var screen strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		screen.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Ctrl-C") {
			break
		}
	}
	return screen.String()
}

func found1(t *testing.T, text, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	return match[1]
}

func fetchDemo(t *testing.T, address, user, guest string) {
	t.Helper()
	c, err := pop3test.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(user, demoPassword); err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	for i, m := range demoMail(user, guest) {
		if reply, err := c.Cmd(fmt.Sprintf("RETR %d", i+1)); err != nil || !strings.HasPrefix(reply, "+OK") {
			t.Fatalf("%s: %q, %v", user, reply, err)
		}
		if body, err := c.Multiline(); err != nil || string(body) != string(m.Body) {
			t.Errorf("%s: message %d differs: %d octets, %v", user, i+1, len(body), err)
		}
	}
	if reply, err := c.Cmd("QUIT"); err != nil || !strings.HasPrefix(reply, "+OK") {
		t.Errorf("%s: %q, %v", user, reply, err)
	}
}
