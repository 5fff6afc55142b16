package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
	"postern/pop3/pop3test"
)

// loginsSoon logs alice in until the gateway does what is wanted, and says what it did last.
func (p *process) loginsSoon(t *testing.T, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = p.tryAlice(t); strings.Contains(got, want) {
			return
		}
	}
	t.Fatalf("alice hears %q, want %q\n%s", got, want, p.log())
}

// tryAlice is "ok" or what she heard. A guest may let go of her maildrop a moment after her last session.
func (p *process) tryAlice(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		c := pop3test.NewClient(conn)
		err = c.Login("alice", "secret")
		if err == nil {
			_, err = c.Cmd("QUIT")
		}
		_ = c.Close()
		switch {
		case err == nil:
			return "ok"
		case !strings.Contains(err.Error(), "[IN-USE]") || time.Now().After(deadline):
			return err.Error()
		}
	}
}

// TestRealCatalogue: the backends of a gateway are the instances of a service. What Consul says of their health
// refuses nobody; what it no longer lists takes nobody; and when it is gone, everything goes on.
func TestRealCatalogue(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("with Consul itself only where POSTERN_REAL is set")
	}
	consul, err := realtest.StartConsul(t, "")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	register := func(name string) {
		host, port, _ := net.SplitHostPort(s.guests[name])
		consulCLI(t, consul, "services", "register", "-name=pop3", "-id="+name, "-address="+host, "-port="+port, "-meta=guest="+name)
	}
	register("guest-01")
	register("guest-02")
	s.write("postern.yaml", fmt.Sprintf(`listeners: [{address: "127.0.0.1:0", name: pop}]
directory:
  default_domain: example.com
  state: state
  sources: [{type: file, path: mailboxes.map}]
backends:
  health: {down_interval: 200ms}
  consul: {address: %q, service: pop3}
admin: {socket: admin.sock}
auth: {failure_delay: 50ms}
`, consul.Address))
	p := s.start()
	p.loginsSoon(t, "ok")

	for _, id := range []string{"guest-01", "guest-02"} { // all checks critical, the guests healthy
		consulCLI(t, consul, "maint", "-enable", "-service="+id)
	}
	p.waitFor(t, "backend=guest-01", "state=half-open")
	for range 20 {
		if got := p.tryAlice(t); got != "ok" {
			t.Fatalf("a rumour refused alice: %s", got)
		}
	}
	consulCLI(t, consul, "services", "deregister", "-id=guest-01")
	p.loginsSoon(t, "[SYS/TEMP]")
	register("guest-01")
	p.loginsSoon(t, "ok")

	consul.Kill()
	p.loginsSoon(t, "ok")
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, 10*time.Second); status != 0 {
		t.Errorf("exit %d", status)
	}
	p = s.start() // without Consul: the list that was kept
	p.loginsSoon(t, "ok")
}

func consulCLI(t *testing.T, consul *realtest.Consul, args ...string) {
	t.Helper()
	if out, err := consul.CLI(args...); err != nil {
		t.Fatalf("consul %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
