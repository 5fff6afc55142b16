package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// command is postern serve of this site, not yet started. With files they are what
// systemd passes, with these names.
func (s *site) command(names string, files ...*os.File) *exec.Cmd {
	// LISTEN_PID is the process's own number, which only the process itself knows.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", os.Args[0], "serve", "--config", filepath.Join(s.dir, "postern.yaml"))
	cmd.Env = append(os.Environ(), asPostern+"=1")
	if files != nil {
		cmd.ExtraFiles = files
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+names)
	}
	return cmd
}

// run starts a command that becomes a postern.
func (s *site) run(cmd *exec.Cmd) *process {
	s.t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout = &p.stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go p.read(stderr)
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return p
}

// socket is a listening socket and its address, as systemd would open it.
func socket(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	t.Cleanup(func() { _ = f.Close() })
	return f, l.Addr().String()
}

func (s *site) listen(listeners string) {
	s.t.Helper()
	s.write("postern.yaml", strings.Replace(read(s.t, s, "postern.yaml"), `[{address: "127.0.0.1:0", name: pop}]`, "["+listeners+"]", 1))
}

func TestServeTakesSocketsOfSystemd(t *testing.T) {
	t.Parallel()
	named, namedAt := socket(t)
	first, firstAt := socket(t)
	second, secondAt := socket(t)
	s := newSite(t)
	// "pair" is the name of two sockets, as of one unit, so that it says nothing.
	s.listen(`{address: "127.0.0.1:1", name: pop}, {address: "` + secondAt + `", name: pair}, {address: "` + firstAt + `", name: b}, {address: "127.0.0.1:0", name: own}`)
	p := s.run(s.command("pop:pair:pair", named, first, second))
	for listener, want := range map[string]string{"pop": namedAt, "pair": secondAt, "b": firstAt, "own": ""} {
		record := p.waitFor(t, "msg=listening", "listener="+listener+" ")
		p.address = listening.FindStringSubmatch(record)[1]
		if want != "" && p.address != want {
			t.Errorf("%s listens on %s, want %s", listener, p.address, want)
		}
		p.expect(t, "alice", "alice on guest-01")
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, 10*time.Second); status != 0 {
		t.Errorf("exit %d:\n%s", status, p.log())
	}
}

func TestServeRefusesSocketsThatNobodyWants(t *testing.T) {
	t.Parallel()
	wanted, _ := socket(t)
	stray, strayAt := socket(t)
	s := newSite(t)
	p := s.run(s.command("pop:imap", wanted, stray))
	if status := p.exit(t, 10*time.Second); status != 2 || !strings.Contains(p.log(), `"imap" (`+strayAt+`)`) || strings.Contains(p.log(), `"pop"`) {
		t.Errorf("exit %d:\n%s", status, p.log())
	}
}

func TestServeRefusesAClientsSocket(t *testing.T) {
	t.Parallel()
	_, accepted := connection(t)
	s := newSite(t)
	p := s.run(s.command("pop", accepted))
	if status := p.exit(t, 10*time.Second); status != 2 || !strings.Contains(p.log(), "Accept=yes") {
		t.Errorf("exit %d:\n%s", status, p.log())
	}
}

// connection is a client and the other end of its connection, as inetd would pass it.
func connection(t *testing.T) (client net.Conn, passed *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if passed, err = accepted.(*net.TCPConn).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { passed.Close() })
	return client, passed
}

// reports is a service manager's end of NOTIFY_SOCKET.
type reports struct {
	t    *testing.T
	conn *net.UnixConn
	name string
}

func newReports(t *testing.T) reports {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir may be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return reports{t, conn, name}
}

// next returns the next message that isn't a mere status.
func (r reports) next(within time.Duration) string {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(within))
	for buf := make([]byte, 1024); ; {
		n, err := r.conn.Read(buf)
		if err != nil {
			r.t.Fatal(err)
		}
		if text := string(buf[:n]); !strings.HasPrefix(text, "STATUS=") {
			return text
		}
	}
}

func (r reports) expect(pattern string) []string {
	r.t.Helper()
	text := r.next(20 * time.Second)
	found := regexp.MustCompile("^(?:" + pattern + ")$").FindStringSubmatch(text)
	if found == nil {
		r.t.Fatalf("heard %q, want %s", text, pattern)
	}
	return found
}

func TestServeReportsToSystemd(t *testing.T) {
	t.Parallel()
	r := newReports(t)
	s := newSite(t)
	cmd := s.command("")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+r.name)
	p := s.run(cmd)
	r.expect("READY=1")
	p.address = listening.FindStringSubmatch(p.waitFor(t, "msg=listening"))[1]
	p.expect(t, "alice", "alice on guest-01") // ready means serving

	for _, more := range []string{"auth: {plaintext: never}\n", "colour: blue\n"} { // a good reload and a refused one
		s.configure(more)
		before := monotonic(t)
		p.signal(t, syscall.SIGHUP)
		at, err := strconv.ParseInt(r.expect(`MONOTONIC_USEC=(\d+)\nRELOADING=1`)[1], 10, 64)
		if err != nil || at < before || at > monotonic(t) {
			t.Errorf("reloading at %d (%v), not before %d and not after now", at, err, before)
		}
		r.expect("READY=1")
	}
	p.waitFor(t, "reload refused")

	p.signal(t, syscall.SIGTERM)
	r.expect(`STOPPING=1\nSTATUS=0 sessions`)
	if status := p.exit(t, 10*time.Second); status != 0 {
		t.Errorf("exit %d:\n%s", status, p.log())
	}
}

// monotonic is the clock that MONOTONIC_USEC is of.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

func TestServeFeedsTheWatchdog(t *testing.T) {
	t.Parallel()
	r := newReports(t)
	s := newSite(t)
	cmd := s.command("")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+r.name, "WATCHDOG_USEC=400000")
	p := s.run(cmd)
	r.expect("READY=1")
	p.address = listening.FindStringSubmatch(p.waitFor(t, "msg=listening"))[1]
	c := p.dial(t)
	fed := func() (text string) {
		buf := make([]byte, 1024)
		_ = r.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := r.conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	for text := fed(); text != "STATUS=1 sessions\nWATCHDOG=1"; text = fed() {
		if text != "STATUS=0 sessions\nWATCHDOG=1" {
			t.Fatalf("heard %q", text)
		}
	}
	// A drain may take longer than the watchdog is patient.
	p.signal(t, syscall.SIGTERM)
	for fed() != "STOPPING=1\nSTATUS=1 sessions" {
		continue
	}
	began := time.Now()
	for range 3 {
		if text := fed(); text != "STATUS=1 sessions\nWATCHDOG=1" {
			t.Errorf("while draining: %q", text)
		}
	}
	if took := time.Since(began); took < 350*time.Millisecond || took > 5*time.Second {
		t.Errorf("three messages took %v, want one each 200ms", took)
	}
	c.Close()
	p.exit(t, 10*time.Second)
}

// The variables are for this process: a child that finds them would report, or take
// descriptors, in its name.
func TestChildrenDoNotInheritWhatSystemdSaid(t *testing.T) {
	variables := map[string]string{
		"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid()),
		"LISTEN_FDS": "1", "LISTEN_FDNAMES": "pop", "LISTEN_PID": "1",
	}
	for name, value := range variables {
		t.Setenv(name, value)
	}
	n := newNotifier()
	if n == nil || n.socket.Name != "/nowhere" || n.watchdog != time.Second {
		t.Errorf("read as %+v", n)
	}
	if passed := inheritedSockets(); passed != nil {
		t.Errorf("descriptors for process 1 are taken: %v", passed)
	}
	for name := range variables {
		if value, there := os.LookupEnv(name); there {
			t.Errorf("%s=%s is left", name, value)
		}
	}
	if newNotifier() != nil {
		t.Error("a notifier without a socket")
	}
}

// TestRealSocketActivation starts the gateway with systemd's own tool.
func TestRealSocketActivation(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("with systemd-socket-activate only where POSTERN_REAL is set")
	}
	t.Parallel()
	free, first := socket(t)
	_ = free.Close()
	free, second := socket(t)
	_ = free.Close()
	s := newSite(t)
	s.listen(`{address: "127.0.0.1:1", name: pop}, {address: "127.0.0.1:2", name: other}`)
	p := s.run(exec.Command("systemd-socket-activate", "--listen="+first, "--listen="+second, "--fdname=pop:other", "--setenv="+asPostern+"=1",
		os.Args[0], "serve", "--config", filepath.Join(s.dir, "postern.yaml")))
	p.waitFor(t, "Listening on "+second)
	p.address = first // the first connection starts it
	p.expect(t, "alice", "alice on guest-01")
	p.waitFor(t, "msg=listening", "listener=other", "address="+second)
	p.address = second
	p.expect(t, "bob", "bob on guest-02")
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, 10*time.Second); status != 0 {
		t.Errorf("exit %d:\n%s", status, p.log())
	}
}

// TestRealUnits has systemd read the units. A key that it doesn't know is only a warning.
func TestRealUnits(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("with systemd-analyze only where POSTERN_REAL is set")
	}
	t.Parallel()
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"postern.service", "postern.socket"} {
		text, err := os.ReadFile(filepath.Join("../../deploy/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// The binary and its user are installed elsewhere.
		text = []byte(strings.NewReplacer("/usr/local/bin/postern", "/bin/true", "User=postern", "", "Group=postern", "").Replace(string(text)))
		unit := filepath.Join(dir, name)
		if err := os.WriteFile(unit, text, 0o600); err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify"}, units...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v:\n%s", err, out)
	}
}
