package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/pop3/pop3test"
)

// listingOf is a Consul that lists guest-01 under a name, once its time has come, and has no keys, once theirs has.
func listingOf(t *testing.T, s *site, name string, listed, keys time.Duration) *httptest.Server {
	host, port, _ := net.SplitHostPort(s.guests["guest-01"])
	began := time.Now()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, answer := keys, "[]"
		if strings.HasPrefix(r.URL.Path, "/v1/health/service/") {
			at = listed
			answer = fmt.Sprintf(`[{"Node":{"Node":"n","Address":%q},"Service":{"ID":%q,"Service":"pop3","Address":%[1]q,"Port":%[3]s},"Checks":[]}]`, host, name, port)
		}
		if r.URL.Query().Get("index") != "" {
			at = time.Hour // nothing is new
		}
		w.Header().Set("X-Consul-Index", "10")
		select {
		case <-time.After(time.Until(began.Add(at))):
			_, _ = io.WriteString(w, answer)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return web
}

// A list that comes while the directory is still loading is told to it when it has loaded.
func TestAListThatComesWhileTheDirectoryLoads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := listingOf(t, s, "guest-01", firstList+1500*time.Millisecond, firstList+4*time.Second)
	address := strings.TrimPrefix(web.URL, "http://")
	s.write("postern.yaml", fmt.Sprintf(`listeners: [{address: "127.0.0.1:0", name: pop}]
directory:
  default_domain: example.com
  state: state
  sources: [{type: file, path: mailboxes.map}, {type: consul, address: %q, prefix: postern/directory}]
backends:
  consul: {address: %[1]q, service: pop3}
admin: {socket: admin.sock}
auth: {failure_delay: 50ms}
`, address))
	p := s.start()
	p.loginsSoon(t, "ok")
}

// What was listed serves on through a reload while Consul is away: nobody is refused, and the reload doesn't wait.
func TestAReloadWhileConsulIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	web := listingOf(t, s, "guest-09", 0, 0)
	address := strings.TrimPrefix(web.URL, "http://")
	configure := func(logins int) {
		s.write("postern.yaml", fmt.Sprintf(`listeners: [{address: "127.0.0.1:0", name: pop}]
directory:
  default_domain: example.com
  state: ""
  unknown: hash
  sources: [{type: file, path: mailboxes.map}]
backends:
  static: [{name: guest-02, address: %q, max_logins: %d}]
  consul: {address: %q, service: pop3}
admin: {socket: admin.sock}
auth: {failure_delay: 50ms}
`, s.guests["guest-01"], logins, address))
	}
	s.write("mailboxes.map", "bob guest-09\n")
	configure(20)
	p := s.start()
	p.loginsSoon(t, "ok")
	web.CloseClientConnections()
	web.Close()
	configure(21)
	postern(t, "reload", "--admin", filepath.Join(s.dir, "admin.sock")).check(t, 0, "yes", "")
	for range 10 {
		if got := p.tryAlice(t); got != "ok" {
			t.Fatalf("alice hears %s", got)
		}
	}
}

// slowGuest answers PASS after a while, and everything else at once.
func slowGuest(t *testing.T, slow time.Duration) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "+OK hi\r\n")
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if strings.HasPrefix(line, "PASS") {
						time.Sleep(slow)
					}
					fmt.Fprint(c, "+OK 1 1\r\n")
				}
			}()
		}
	}()
	return l.Addr().String()
}

// beginLogin has alice's password on its way to a guest that takes its time.
func (p *process) beginLogin(t *testing.T) (c *pop3test.Client, ended chan error) {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	c, ended = pop3test.NewClient(conn), make(chan error, 1)
	c.SetTimeout(30 * time.Second)
	t.Cleanup(func() { c.Close() })
	go func() { ended <- c.Login("alice", "secret") }()
	return c, ended
}

// A login that is in progress when its mailbox moves, or when its backend's time is over, becomes no session that
// nobody ends.
func TestWhatChangesDuringALogin(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *site){
		"the mailbox moves": func(_ *testing.T, s *site) { s.write("mailboxes.map", "alice guest-01 state=moving\n") },
		"the backend is drained": func(t *testing.T, s *site) {
			postern(t, "backends", "drain", "guest-01", "--deadline", "0s", "--admin", filepath.Join(s.dir, "admin.sock")).check(t, 0, "guest-01", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.guests["guest-01"] = slowGuest(t, 3*time.Second)
			s.write("mailboxes.map", "alice guest-01\n")
			s.configure("admin: {socket: admin.sock}\n")
			p := s.start()
			c, ended := p.beginLogin(t)
			time.Sleep(time.Second) // the password is on its way
			change(t, s)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if err := c.End(); err == nil || !strings.Contains(err.Error(), "-ERR [SYS/TEMP] The session is ended") {
				t.Errorf("the session hears %v", err)
			}
		})
	}
}
