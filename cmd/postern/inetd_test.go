package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/configs"
)

// inetdServer starts a gateway for each client, as inetd does.
type inetdServer struct {
	net.Listener
	site *site
	args []string
	ends chan error // how each ended
}

func (s *site) inetd(args ...string) *inetdServer {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := &inetdServer{Listener: l, site: s, args: args, ends: make(chan error, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server.serve(conn.(*net.TCPConn))
		}
	}()
	s.t.Cleanup(func() { l.Close(); <-done })
	return server
}

// serve gives the client's socket to a process as all three standard descriptors.
func (s *inetdServer) serve(conn *net.TCPConn) {
	cmd := s.site.inetdCommand(s.args...)
	socket, err := conn.File()
	if err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, socket, socket
		err = cmd.Start()
		socket.Close()
	}
	conn.Close()
	if err != nil {
		s.ends <- err
		return
	}
	s.site.t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() { s.ends <- cmd.Wait() }()
}

func (s *site) inetdCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"serve", "--inetd", "--config", filepath.Join(s.dir, "postern.yaml")}, args...)...)
	cmd.Env = append(os.Environ(), asPostern+"=1")
	return cmd
}

// process has the methods of a client for it.
func (s *inetdServer) process() *process { return &process{address: s.Addr().String()} }

// status is the exit status of the process that ended next.
func (s *inetdServer) status(t *testing.T) int {
	t.Helper()
	select {
	case err := <-s.ends:
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			return exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return 0
	case <-time.After(20 * time.Second):
		t.Fatal("no process ended")
	}
	return -1
}

func TestInetd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := s.inetd()
	p := server.process()
	for user, want := range map[string]string{"alice": "alice on guest-01", "bob@example.com": "bob on guest-02"} {
		p.expect(t, user, want)
		if status := server.status(t); status != 0 {
			t.Errorf("exit %d", status)
		}
	}
	t.Log("the map is read for each client")
	s.write("mailboxes.map", "mover guest-02\n")
	p.expect(t, "mover", "mover on guest-02")
	p.expect(t, "alice", "PASS: -ERR [AUTH]")
	t.Log("one that can't be read is nobody's wrong password")
	s.write("mailboxes.map", "mover guest-02\nbob\n")
	p.expect(t, "mover", "PASS: -ERR [SYS/TEMP]")
}

func TestInetdEndsWithItsSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("timeouts: {login: 1s}\n")
	server := s.inetd()
	for name, end := range map[string]func(*testing.T, *process){
		"QUIT": func(t *testing.T, p *process) {
			c := p.dial(t)
			if reply, err := c.Cmd("QUIT"); err != nil || !strings.HasPrefix(reply, "+OK") {
				t.Errorf("%q, %v", reply, err)
			}
			if err := c.End(); !errors.Is(err, io.EOF) {
				t.Errorf("after QUIT: %v", err)
			}
		},
		"the client's going away": func(t *testing.T, p *process) { p.dial(t).Close() },
		"the login's time": func(t *testing.T, p *process) {
			if err := p.dial(t).End(); !errors.Is(err, io.EOF) {
				t.Errorf("after the time to log in: %v", err)
			}
		},
	} {
		end(t, server.process())
		if status := server.status(t); status != 0 {
			t.Errorf("%s: exit %d", name, status)
		}
	}
}

func TestInetdTakesAListenersSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.listen(`{address: "127.0.0.1:0", name: pop}, {address: "127.0.0.1:0", name: other, default_domain: example.org}`)
	s.write("mailboxes.map", "alice guest-01\ncarol@example.org guest-02 login=bob@example.com\n")
	s.inetd("--listener", "other").process().expect(t, "carol", "bob on guest-02")
	s.inetd().process().expect(t, "carol", "PASS: -ERR [AUTH]")
}

// What is wrong must not be told to whoever connects.
func TestInetdTellsTheClientNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("colour: blue\n")
	for name, server := range map[string]*inetdServer{"configuration": s.inetd(), "listener": newSite(t).inetd("--listener", "none")} {
		conn, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		heard, err := io.ReadAll(conn)
		conn.Close()
		if status := server.status(t); len(heard) > 0 || err != nil || status != 2 {
			t.Errorf("broken %s: exit %d, the client hears %q, %v", name, status, heard, err)
		}
	}
}

func TestInetdWithoutAClient(t *testing.T) {
	t.Parallel()
	out, err := newSite(t).inetdCommand().CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "standard input") {
		t.Errorf("%v: %s", err, out)
	}
}

// A signal to end gives the session timeouts.drain, like any other.
func TestInetdDrains(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure("timeouts: {drain: 1s}\n")
	client, passed := connection(t)
	cmd := s.inetdCommand()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = passed, passed, passed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	passed.Close()
	greeting := make([]byte, 3)
	if _, err := io.ReadFull(client, greeting); err != nil || string(greeting) != "+OK" {
		t.Fatalf("%q, %v", greeting, err)
	}
	began := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if took := time.Since(began); took < time.Second || took > 10*time.Second {
		t.Errorf("the session had %v, want a second", took)
	}
}

func TestSyslogRecords(t *testing.T) {
	r := newReports(t) // a datagram socket, as /dev/log is
	level := new(slog.LevelVar)
	log := dialSyslog("unixgram", r.name).logger(configs.FormatText, level)
	log.Debug("unheard")
	log = log.With("session", "a-1")
	log.Info("login", "result", "ok")
	log.Warn("slow")
	log.Error("broken")
	level.Set(slog.LevelDebug)
	log.WithGroup("g").Debug("detail", "k", "v")
	for _, pattern := range []string{ // facility mail is 2; 8*2 and the severity
		`<22>.* postern\[\d+\]: time=\S+ level=INFO msg=login session=a-1 result=ok\n`,
		`<20>.* postern\[\d+\]: time=\S+ level=WARN msg=slow session=a-1\n`,
		`<19>.* postern\[\d+\]: time=\S+ level=ERROR msg=broken session=a-1\n`,
		`<23>.* postern\[\d+\]: time=\S+ level=DEBUG msg=detail session=a-1 g.k=v\n`,
	} {
		r.expect(pattern)
	}
	dialSyslog("unixgram", r.name+".none").logger(configs.FormatText, level).Error("nobody listens") // is no fault
}
