// What the tests of the directory's faults share: two guests, gateways before them, and the places that
// these ask.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/pop3/maildrop"
	"postern/pop3/pop3test"
)

// faultPatience is for what has to come on a machine that is busy with other tests.
const faultPatience = 60 * time.Second

// needServers skips a test where the real servers were not asked for. Where they were, each
// that is missing fails the test.
func needServers(t testing.TB) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs Consul, databases, OpenLDAP and mail servers: `make test` installs them and sets POSTERN_REAL=1")
	}
	if os.Getuid() != 0 {
		t.Fatal("the servers run as users of their own, so this test must be run as root")
	}
}

// shortDir is a folder of a test whose path is short, since a socket's name holds 107 octets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// faultGuests starts guest-01 and guest-02. Both have a mailbox of each user at example.com, whose message says
// where it lies.
func faultGuests(t testing.TB, users ...string) map[string]string {
	t.Helper()
	passwords := make(map[string]string)
	for _, user := range users {
		passwords[user+"@example.com"] = "secret"
	}
	return map[string]string{"guest-01": faultGuest(t, "guest-01", passwords), "guest-02": faultGuest(t, "guest-02", passwords)}
}

func faultGuest(t testing.TB, name string, passwords map[string]string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guest := maildrop.New(maildrop.Options{Name: name, Logger: slog.New(slog.DiscardHandler)})
	for user, password := range passwords {
		local, _, _ := strings.Cut(user, "@")
		body := []byte("Subject: of " + local + " on " + name + "\r\n\r\nHello.\r\n")
		if err := guest.AddMailbox(user, password, maildrop.Message{UID: "1", Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = guest.Serve(l) }()
	t.Cleanup(guest.Close)
	return l.Addr().String()
}

// asker is a gateway, as a process, whose directory asks elsewhere.
type asker struct {
	*process
	t      testing.TB
	dir    string
	socket string
}

// newAsker configures a gateway. directory is the section's keys behind default_domain and state, two spaces
// deep; more are further sections. A guest's address may be followed by further keys of the backend.
func newAsker(t testing.TB, guests map[string]string, directory string, more ...string) *asker {
	t.Helper()
	a := &asker{t: t, dir: shortDir(t)}
	a.socket = filepath.Join(a.dir, "socket")
	must(t, os.WriteFile(a.config(), fmt.Appendf(nil, `listeners: [{address: "127.0.0.1:0", name: pop}]
auth: {failure_delay: 10ms, max_failures: 100}
limits: {exempt: [127.0.0.0/8]}
log: {level: debug}
admin: {socket: %q}
backends:
  static:
    - {name: guest-01, address: %s}
    - {name: guest-02, address: %s}
%s
directory:
  default_domain: example.com
  state: %q
%s
`, a.socket, guests["guest-01"], guests["guest-02"], strings.Join(more, "\n"), filepath.Join(a.dir, "state"), directory), 0o600))
	return a
}

// addDirectory appends keys to the section directory, which is the last one.
func (a *asker) addDirectory(keys string) {
	a.t.Helper()
	text, err := os.ReadFile(a.config())
	must(a.t, err, os.WriteFile(a.config(), append(text, keys...), 0o600))
}

// startAsker configures it and starts it.
func startAsker(t testing.TB, guests map[string]string, directory string, more ...string) *asker {
	t.Helper()
	a := newAsker(t, guests, directory, more...)
	a.start()
	return a
}

func (a *asker) config() string { return filepath.Join(a.dir, "postern.yaml") }

// start starts the gateway, with what it saved if it ran before.
func (a *asker) start() {
	a.t.Helper()
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], "serve", "--config", a.config())
	p.cmd.Env = append(os.Environ(), asPostern+"=1")
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	must(a.t, err)
	must(a.t, p.cmd.Start())
	go p.read(stderr)
	a.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	a.process = p
	p.address = listening.FindStringSubmatch(a.record("msg=listening", "listener=pop"))[1]
	a.record("msg=serving")
}

// record waits for a record with all the words.
func (a *asker) record(words ...string) string {
	a.t.Helper()
	for deadline := time.Now().Add(faultPatience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(a.log()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return line
			}
		}
	}
	a.t.Fatalf("no record with %q in\n%s", words, tailOf(a.log()))
	return ""
}

// end ends the gateway in good order, so that it can be started again.
func (a *asker) end() {
	a.t.Helper()
	must(a.t, a.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-a.done:
	case <-time.After(faultPatience):
		a.t.Fatalf("still running:\n%s", tailOf(a.log()))
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Fatalf("%v:\n%s", err, tailOf(a.log()))
	}
}

// try logs in and returns what the client hears: "alice on guest-01" where its first message lies
// there, else the reply. It may be called from any goroutine.
func (a *asker) try(user, password string) string {
	c, err := pop3test.Dial(a.address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetTimeout(faultPatience)
	if greeting, err := c.Line(); err != nil {
		return fmt.Sprintf("greeting: %q, %v", greeting, err)
	}
	for _, line := range []string{"USER " + user, "PASS " + password, "RETR 1"} {
		reply, err := c.Cmd(line)
		if err != nil {
			return fmt.Sprintf("%.4s: %v", line, err)
		}
		if !strings.HasPrefix(reply, "+OK") {
			return reply
		}
	}
	body, err := c.Multiline()
	if err != nil {
		return err.Error()
	}
	if _, err := c.Cmd("QUIT"); err != nil {
		return err.Error()
	}
	_ = c.End() // then the guest has let go of the mailbox
	subject, _, _ := strings.Cut(string(body), "\r\n")
	return strings.TrimPrefix(subject, "Subject: of ")
}

// What a client hears where somebody is at fault, and who.
const (
	temporary = "-ERR [SYS/TEMP]"
	denied    = "-ERR [AUTH]"
)

// hears expects an answer now.
func (a *asker) hears(user, want string) {
	a.t.Helper()
	if got := a.try(user, "secret"); !strings.HasPrefix(got, want) {
		a.t.Errorf("%.300q hears %q, want %q\n%s", user, got, want, tailOf(a.log()))
	}
}

// soon expects an answer before long. Until then the client may hear of a temporary fault, or find what was there before,
// but never of a wrong password unless that is what is waited for.
func (a *asker) soon(user, want string) {
	a.t.Helper()
	for deadline := time.Now().Add(faultPatience); ; time.Sleep(50 * time.Millisecond) {
		got := a.try(user, "secret")
		if strings.HasPrefix(got, want) {
			return
		}
		if strings.HasPrefix(got, denied) || time.Now().After(deadline) {
			a.t.Fatalf("%s hears %q, want %q\n%s", user, got, want, tailOf(a.log()))
		}
	}
}

func tailOf(log string) string { return log[max(0, len(log)-6000):] }

// get asks the gateway's admin socket.
func (a *asker) get(path string) (status int, body string) {
	a.t.Helper()
	return a.ask(http.MethodGet, path)
}

func (a *asker) ask(method, path string) (status int, body string) {
	a.t.Helper()
	r, err := newRemote(a.socket)
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), faultPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	response, err := r.client.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// shows waits until a page has a text.
func (a *asker) shows(path, want string) {
	a.t.Helper()
	for deadline := time.Now().Add(faultPatience); ; time.Sleep(50 * time.Millisecond) {
		_, body := a.get(path)
		if strings.Contains(body, want) {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%s never shows %q:\n%s\n%s", path, want, body, tailOf(a.log()))
		}
	}
}

// within fails where something took longer than it may while another thing is slow.
func within(t *testing.T, limit time.Duration, what string, do func()) {
	t.Helper()
	began := time.Now()
	if do(); time.Since(began) > limit {
		t.Errorf("%s took %v, at most %v is right", what, time.Since(began), limit)
	}
}

// must is for what the test itself has to manage.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
