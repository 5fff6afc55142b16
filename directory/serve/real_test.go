package serve

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/backend"
	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/pop3"
)

func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs real mail servers: `make test` installs them and sets POSTERN_REAL=1")
	}
	if os.Getuid() != 0 {
		t.Fatal("Postfix and Dovecot change their user, so this test must be run as root")
	}
}

// realSite is two Dovecots with a user each, and a directory that knows them.
type realSite struct {
	*site
	guests []*realtest.Guest
}

func startSite(t *testing.T) *realSite {
	t.Helper()
	users := []string{"alice@example.com", "bob@example.com"}
	var mailboxes [][]realtest.Mailbox
	for _, user := range users {
		mailboxes = append(mailboxes, []realtest.Mailbox{{Address: user, Login: user, Password: "secret"}})
	}
	guests, err := realtest.StartGuests(t, mailboxes...)
	if err != nil {
		t.Fatal(err)
	}
	r := &realSite{site: newSite(), guests: guests}
	for i, user := range users {
		target := &backend.Target{Name: fmt.Sprintf("guest-0%d", i+1), Addresses: []string{guests[i].POP3}}
		r.routes[user] = directory.Route{Mailbox: user, Login: user, Backend: target}
	}
	r.routes["erin@example.com"] = directory.Route{Mailbox: "erin@example.com", Backend: r.routes[users[0]].Backend, State: directory.Moving}
	r.routes["gone@example.com"] = directory.Route{Mailbox: "gone@example.com", Backend: r.routes[users[0]].Backend}
	r.routes["lost@example.com"] = directory.Route{Mailbox: "lost@example.com", Login: "lost@example.com", Backend: r.routes[users[0]].Backend}
	return r
}

// ports are the guests' own.
func (r *realSite) ports(t *backend.Target, protocol string) (uint16, bool) {
	number, err := strconv.Atoi(strings.TrimPrefix(t.Name, "guest-0"))
	if err != nil || number > len(r.guests) {
		return 0, false
	}
	guest := r.guests[number-1]
	address, known := map[string]string{"lmtp": guest.LMTP, "imap": guest.IMAP}[protocol]
	if !known {
		return 0, false
	}
	_, text, _ := net.SplitHostPort(address)
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err == nil
}

// setDown takes a name's answer away, as a directory that is down does.
func (r *realSite) setDown(user string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs[user] = err
}

// TestRealPostfix has a Postfix ask by a Unix socket and by TCP: as postmap, who may be written
// to, and where the message goes.
func TestRealPostfix(t *testing.T) {
	needReal(t)
	site := startSite(t)
	transport, err := NewTransport("lmtp:inet:{host}:{lmtp}", site.ports)
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewSocketmap(SocketmapOptions{Locate: site.locate, Transport: transport, Allow: loopback})
	if err != nil {
		t.Fatal(err)
	}
	dial, _ := started(t, m.Serve)
	inet := dial().RemoteAddr().String()
	dir, err := os.MkdirTemp("/tmp", "pt") // Postfix isn't root when it connects, and finds no way into t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	unix := filepath.Join(dir, "s")
	l, err := ListenUnix(unix)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, unix} { // as an operator would, for Postfix's group
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = m.Serve(t.Context(), l) })
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	for name, table := range map[string]string{"inet": "socketmap:inet:" + inet, "unix": "socketmap:unix:" + unix} {
		t.Run(name, func(t *testing.T) {
			p, err := realtest.StartPostfix(t, "virtual_mailbox_domains = example.com",
				"virtual_mailbox_maps = "+table+":mailbox", "transport_maps = "+table+":transport")
			if err != nil {
				t.Fatal(err)
			}
			t.Run("postmap", func(t *testing.T) { postmaps(t, p, table, site) })
			t.Run("smtp", func(t *testing.T) { recipients(t, p, site) })
			t.Run("delivery", func(t *testing.T) { delivers(t, p, site, name) })
		})
	}
}

// postmaps asks all at once, since postmap takes some seconds to say that something is wrong.
func postmaps(t *testing.T, p *realtest.Postfix, table string, site *realSite) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for key, want := range map[string]string{
		"backend bob@example.com":     "guest-02",
		"mailbox alice@example.com":   "alice@example.com",
		"transport bob@example.com":   "lmtp:inet:" + site.guests[1].LMTP,
		"transport erin@example.com":  "error",
		"transport down@example.com":  "error",
		"mailbox down@example.com":    "error",
		"mailbox nobody@example.com":  "",
		"transport example.com":       "",
		"transport a b c@example.com": "",
		"nothing alice@example.com":   "error",
	} {
		name, key, _ := strings.Cut(key, " ")
		asking.Go(func() {
			got, err := p.Lookup(table+":"+name, key)
			if (want == "error") != (err != nil) || err == nil && got != want {
				t.Errorf("%s %s: %q, %v, want %q", name, key, got, err, want)
			}
		})
	}
}

// recipients asks an SMTP server whom it would take mail for.
func recipients(t *testing.T, p *realtest.Postfix, site *realSite) {
	for user, want := range map[string]int{
		"alice@example.com": 250, "bob@example.com": 250, "nobody@example.com": 550, "down@example.com": 451,
		"judged@example.com": 451, "erin@example.com": 451, "alice@example.org": 554,
	} {
		if got := offer(t, p.Address, user); got != want {
			t.Errorf("%s: %d, want %d", user, got, want)
		}
	}
	site.setDown("gone@example.com", errors.New("no connection"))
	if got := offer(t, p.Address, "gone@example.com"); got != 451 {
		t.Errorf("a directory that is down: %d, want 451", got)
	}
	site.setDown("gone@example.com", nil)
	for deadline := time.Now().Add(90 * time.Second); offer(t, p.Address, "gone@example.com") != 250; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) { // Postfix's programs remember a failure for a while, each by itself
			t.Fatal("Postfix doesn't notice that the directory is back")
		}
	}
}

// offer returns the code of an SMTP server's answer to RCPT.
func offer(t *testing.T, address, recipient string) int {
	t.Helper()
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("sender@example.net"); err != nil {
		t.Fatal(err)
	}
	err = c.Rcpt(recipient)
	if said, refused := err.(*textproto.Error); refused {
		return said.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return 250
}

// delivers sends each user a message, and fetches it from the guest that owns the mailbox.
func delivers(t *testing.T, p *realtest.Postfix, site *realSite, name string) {
	for i, user := range []string{"alice@example.com", "bob@example.com"} {
		text := fmt.Sprintf("Subject: to %s by %s\r\n\r\nhello\r\n", user, name)
		if err := smtp.SendMail(p.Address, nil, "sender@example.net", []string{user}, []byte(text)); err != nil {
			t.Fatal(err)
		}
		account, err := realtest.NewAccount(t, site.guests[i].POP3, user, "secret")
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(60 * time.Second)
		for arrived := false; !arrived; time.Sleep(100 * time.Millisecond) {
			messages, err := realtest.FetchCurl(t.Context(), account)
			for _, m := range messages {
				arrived = arrived || strings.Contains(string(m), "Subject: to "+user+" by "+name)
			}
			if !arrived && time.Now().After(deadline) {
				log, _ := os.ReadFile(p.Log)
				t.Fatalf("no message for %s: %v\n%s", user, err, log)
			}
		}
	}
}

// TestRealNginx has a real nginx before real Dovecots, and sends IMAP and POP3 sessions where the
// directory says.
func TestRealNginx(t *testing.T) {
	needReal(t)
	site := startSite(t)
	a, err := NewAuthHTTP(AuthHTTPOptions{Locate: site.locate, Ports: site.ports, Allow: loopback, Key: pop3.NewSecret([]byte("shared")), Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	dial, _ := started(t, a.Serve)
	service := dial().RemoteAddr().String()
	addresses, err := realtest.StartNginx(t, realtest.Nginx{Service: service + "/auth", ServiceKey: "shared", Protocols: []string{"imap", "pop3"}})
	if err != nil {
		t.Fatal(err)
	}
	strangers, err := realtest.StartNginx(t, realtest.Nginx{Service: service + "/auth", ServiceKey: "guess", Protocols: []string{"pop3"}})
	if err != nil {
		t.Fatal(err)
	}
	plain := func(user, password string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	}
	imap := func(user, password string) string {
		return conversation(t, addresses["imap"], "* OK", "a LOGIN "+user+" "+password, "b STATUS INBOX (MESSAGES)", "c LOGOUT")
	}
	for _, user := range []string{"alice@example.com", "bob@example.com"} {
		if got := imap(user, "secret"); !strings.Contains(got, "a OK") || !strings.Contains(got, "* STATUS INBOX (MESSAGES 0)") {
			t.Errorf("imap, %s: %s", user, got)
		}
		if got := imap(user, "wrong"); !strings.Contains(got, "a NO [AUTHENTICATIONFAILED]") || strings.Contains(got, "a OK") {
			t.Errorf("imap, %s, wrong password: %s", user, got)
		}
		if got := conversation(t, addresses["pop3"], "+OK", "USER "+user, "PASS secret", "STAT", "QUIT"); strings.Count(got, "+OK") != 5 {
			t.Errorf("pop3, %s: %s", user, got)
		}
		if got := conversation(t, addresses["pop3"], "+OK", "AUTH PLAIN "+plain(user, "wrong")); !strings.Contains(got, "-ERR [AUTH]") {
			t.Errorf("pop3, %s, wrong password: %s", user, got)
		}
	}
	for user, want := range map[string]string{
		"nobody@example.com": "a NO [AUTHENTICATIONFAILED] Invalid login or password",
		"erin@example.com":   "a NO [UNAVAILABLE]",
		"down@example.com":   "a NO [UNAVAILABLE]",
		"lost@example.com":   "a NO [AUTHENTICATIONFAILED]", // the guest doesn't know it
	} {
		if got := imap(user, "secret"); !strings.Contains(got, want) {
			t.Errorf("imap, %s: %s", user, got)
		}
	}
	for user, want := range map[string]string{"nobody": "-ERR [AUTH]", "erin@example.com": "-ERR [SYS/TEMP]"} {
		if got := conversation(t, addresses["pop3"], "+OK", "USER "+user, "PASS secret"); !strings.Contains(got, want) {
			t.Errorf("pop3, %s: %s", user, got)
		}
	}
	if got := conversation(t, strangers["pop3"], "+OK", "USER alice@example.com", "PASS secret"); !strings.Contains(got, "-ERR internal server error") {
		t.Errorf("an nginx with a wrong key: %s", got)
	}
}

// conversation sends a line after each answer, and returns all that was said.
func conversation(t *testing.T, address, greeting string, lines ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	in := bufio.NewReader(c)
	said := ""
	read := func(ends ...string) bool {
		for {
			line, err := in.ReadString('\n')
			said += line
			for _, end := range ends {
				if strings.HasPrefix(line, end) {
					return true
				}
			}
			if err != nil {
				return false
			}
		}
	}
	if !read(greeting) {
		return said
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
			return said
		}
		if !read("+OK", "-ERR", line[:1]+" OK", line[:1]+" NO", line[:1]+" BAD") {
			return said
		}
	}
	return said
}
