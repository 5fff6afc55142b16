package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/pop3/maildrop"
	"postern/pop3/pop3test"
)

// process is a postern of its own, as an operator runs it.
type process struct {
	cmd     *exec.Cmd
	address string // of its first listener
	stdout  bytes.Buffer

	mu   sync.Mutex
	logs strings.Builder
	done chan struct{}
}

// site is a folder with a configuration, and the guests that it names.
type site struct {
	t      *testing.T
	dir    string
	guests map[string]string // name: address
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), guests: make(map[string]string)}
	for name, user := range map[string]string{"guest-01": "alice", "guest-02": "bob"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		guest := maildrop.New(maildrop.Options{Name: name, Logger: slog.New(slog.DiscardHandler)})
		for _, u := range []string{user, "mover"} {
			body := []byte("Subject: of " + u + " on " + name + "\r\n\r\nHello.\r\n")
			if err := guest.AddMailbox(u+"@example.com", "secret", maildrop.Message{UID: "1", Body: body}); err != nil {
				t.Fatal(err)
			}
		}
		go func() { _ = guest.Serve(l) }()
		t.Cleanup(guest.Close)
		s.guests[name] = l.Addr().String()
	}
	s.write("mailboxes.map", "alice guest-01\nbob guest-02\nmover guest-01\n")
	s.configure("")
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	// By rename, as careful editors do.
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) configure(more string) {
	s.t.Helper()
	s.write("postern.yaml", fmt.Sprintf(`listeners: [{address: "127.0.0.1:0", name: pop}]
directory:
  default_domain: example.com
  sources: [{type: file, path: mailboxes.map}]
  state: state
backends:
  static:
    - {name: guest-01, address: %q}
    - {name: guest-02, address: %q}
%s`, s.guests["guest-01"], s.guests["guest-02"], more))
}

var listening = regexp.MustCompile(`msg=listening .*address=(\S+)`)

func (s *site) start() *process {
	s.t.Helper()
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], "serve", "--config", filepath.Join(s.dir, "postern.yaml"))
	p.cmd.Env = append(os.Environ(), asPostern+"=1")
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go p.read(stderr)
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	p.address = listening.FindStringSubmatch(p.waitFor(s.t, "msg=listening"))[1]
	p.waitFor(s.t, "msg=serving")
	return p
}

func (p *process) read(r io.Reader) {
	defer close(p.done)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.logs.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logs.String()
}

// waitFor waits for a record and returns it.
func (p *process) waitFor(t *testing.T, words ...string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for line := range strings.SplitSeq(p.log(), "\n") {
			all := line != ""
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return line
			}
		}
	}
	t.Fatalf("no record with %q in\n%s", words, p.log())
	return ""
}

func (p *process) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the process to end and returns its status.
func (p *process) exit(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("still running after %v:\n%s", within, p.log())
	}
	_ = p.cmd.Wait()
	if p.stdout.Len() > 0 {
		t.Errorf("serve wrote to standard output: %s", p.stdout.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) connect(t *testing.T) *pop3test.Client {
	t.Helper()
	c, err := pop3test.Dial(p.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dial connects and reads the greeting.
func (p *process) dial(t *testing.T) *pop3test.Client {
	t.Helper()
	c := p.connect(t)
	if line, err := c.Line(); err != nil || !strings.HasPrefix(line, "+OK") {
		t.Fatalf("greeting %q, %v", line, err)
	}
	return c
}

// fetch logs a user in and returns where its first message says that it lives.
func (p *process) fetch(t *testing.T, user string) string {
	t.Helper()
	c := p.dial(t)
	for _, cmd := range []string{"USER " + user, "PASS secret", "RETR 1"} {
		if reply, err := c.Cmd(cmd); err != nil || !strings.HasPrefix(reply, "+OK") {
			return fmt.Sprintf("%s: %s %v", strings.Fields(cmd)[0], reply, err)
		}
	}
	body, err := c.Multiline()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cmd("QUIT"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	subject, _, _ := strings.Cut(string(body), "\r\n")
	return strings.TrimPrefix(subject, "Subject: of ")
}

func (p *process) expect(t *testing.T, user, want string) {
	t.Helper()
	if got := p.fetch(t, user); !strings.HasPrefix(got, want) {
		t.Fatalf("%s finds %q, want %q\n%s", user, got, want, p.log())
	}
}

// eventually is expect for what a watch has to notice first.
func (p *process) eventually(t *testing.T, user, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if strings.HasPrefix(p.fetch(t, user), want) {
			return
		}
	}
	p.expect(t, user, want)
}

func TestServe(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	p.expect(t, "alice", "alice on guest-01")
	p.expect(t, "bob@example.com", "bob on guest-02")
	p.expect(t, "mover", "mover on guest-01")

	t.Log("a moved mailbox is noticed without being told")
	s.write("mailboxes.map", "alice guest-01\nbob guest-02\nmover guest-02\n")
	p.eventually(t, "mover", "mover on guest-02")

	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, 10*time.Second); status != 0 {
		t.Errorf("exit %d after a drain:\n%s", status, p.log())
	}
}

func TestServeReload(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start()
	running := p.dial(t)

	t.Log("a broken configuration is refused, with its place, and the old one serves")
	s.configure("colour: blue\n")
	p.signal(t, syscall.SIGHUP)
	p.waitFor(t, "reload refused", "postern.yaml:10:1", "colour")
	p.expect(t, "alice", "alice on guest-01")

	t.Log("a key that can't change is named")
	s.configure("log: {format: json}\n")
	p.signal(t, syscall.SIGHUP)
	p.waitFor(t, "reload refused", "log.format")
	p.expect(t, "alice", "alice on guest-01")

	t.Log("a broken map is refused with its line, whole, and does not hold back the configuration")
	s.configure("auth: {plaintext: never}\n")
	s.write("mailboxes.map", "alice guest-02\nbob\n")
	p.signal(t, syscall.SIGHUP)
	p.waitFor(t, "mailboxes.map:2")
	p.waitFor(t, "msg=reloaded")
	p.expect(t, "alice", "USER: -ERR")

	t.Log("sessions keep what they began with; the new state is whole")
	if reply, err := running.Cmd("USER alice"); err != nil || !strings.HasPrefix(reply, "+OK") {
		t.Errorf("the running session hears %q, %v", reply, err)
	}
	s.write("mailboxes.map", "alice guest-01\nbob guest-02\nmover guest-02\n")
	s.configure("")
	p.signal(t, syscall.SIGHUP)
	p.eventually(t, "mover", "mover on guest-02")

	t.Log("sources that can't be read are refused, and the old ones serve")
	s.write("postern.yaml", strings.ReplaceAll(read(t, s, "postern.yaml"), "mailboxes.map", "missing.map"))
	p.signal(t, syscall.SIGHUP)
	p.waitFor(t, "reload refused", "missing.map")
	p.expect(t, "alice", "alice on guest-01")
	s.configure("")

	t.Log("another set of sources takes over as a whole")
	s.write("other.map", "bob guest-02\n")
	s.write("postern.yaml", strings.ReplaceAll(read(t, s, "postern.yaml"), "mailboxes.map", "other.map"))
	p.signal(t, syscall.SIGHUP)
	p.eventually(t, "alice", "PASS: -ERR [AUTH]")
	p.expect(t, "bob", "bob on guest-02")
}

func read(t *testing.T, s *site, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestServeDrain(t *testing.T) {
	t.Parallel()
	t.Run("running sessions end by themselves", func(t *testing.T) {
		t.Parallel()
		p := newSite(t).start()
		c := p.connect(t)
		if err := c.Login("alice", "secret"); err != nil {
			t.Fatal(err)
		}
		p.signal(t, syscall.SIGTERM)
		p.waitFor(t, "msg=draining")
		time.Sleep(100 * time.Millisecond)
		if _, err := net.Dial("tcp", p.address); err == nil {
			t.Error("a draining gateway takes new clients")
		}
		if reply, err := c.Cmd("STAT"); err != nil || !strings.HasPrefix(reply, "+OK 1") {
			t.Errorf("the running session hears %q, %v", reply, err)
		}
		if _, err := c.Cmd("QUIT"); err != nil {
			t.Error(err)
		}
		c.Close()
		if status := p.exit(t, 5*time.Second); status != 0 {
			t.Errorf("exit %d", status)
		}
		p.waitFor(t, "msg=drained", "sessions_cut=0")
	})
	t.Run("drain_delay keeps the door open", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		s.configure("timeouts: {drain_delay: 2s}\n")
		p := s.start()
		p.signal(t, syscall.SIGTERM)
		p.waitFor(t, "msg=draining")
		p.expect(t, "alice", "alice on guest-01")
		if status := p.exit(t, 10*time.Second); status != 0 {
			t.Errorf("exit %d", status)
		}
	})
	for name, end := range map[string]func(*process){
		"the deadline ends what is left": func(*process) {},
		"so does a second signal":        func(p *process) { p.signal(t, syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			drain := "1s"
			if strings.Contains(name, "second") {
				drain = "5m"
			}
			s.configure("timeouts: {drain: " + drain + "}\n")
			p := s.start()
			c := p.connect(t)
			if err := c.Login("alice", "secret"); err != nil {
				t.Fatal(err)
			}
			p.signal(t, syscall.SIGTERM)
			p.waitFor(t, "msg=draining")
			end(p)
			if status := p.exit(t, 5*time.Second); status != 0 {
				t.Errorf("exit %d", status)
			}
			if err := c.End(); err == nil || !strings.Contains(err.Error(), "-ERR [SYS/TEMP] The session is ended") {
				t.Errorf("the session heard %v", err)
			}
			p.waitFor(t, "msg=drained", "sessions_cut=1")
			p.waitFor(t, "msg=end", "ended_by=gateway", "reason=shutdown")
		})
	}
}

func TestServeFaultsAtStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for name, tt := range map[string]struct {
		change func(*site)
		status int
		says   string
	}{
		"broken configuration": {func(s *site) { s.configure("colour: blue\n") }, 2, "postern.yaml:10:1"},
		"broken map":           {func(s *site) { s.write("mailboxes.map", "x\n") }, 2, "mailboxes.map:1"},
		"no map":               {func(s *site) { _ = os.Remove(filepath.Join(s.dir, "mailboxes.map")) }, 2, "mailboxes.map"},
		"address in use": {func(s *site) {
			s.write("postern.yaml", strings.Replace(read(t, s, "postern.yaml"), "127.0.0.1:0", taken.Addr().String(), 1))
		}, 1, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			tt.change(s)
			cmd := exec.Command(os.Args[0], "serve", "--config", filepath.Join(s.dir, "postern.yaml"))
			cmd.Env = append(os.Environ(), asPostern+"=1")
			out, err := cmd.CombinedOutput()
			exit := new(exec.ExitError)
			if !errors.As(err, &exit) || exit.ExitCode() != tt.status || !strings.Contains(string(out), tt.says) {
				t.Errorf("%v, want exit %d with %q:\n%s", err, tt.status, tt.says, out)
			}
		})
	}
}
