package main

import (
	"bufio"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// mailSite is a whole one: two Dovecots, a gateway before them, and a Postfix and an nginx that ask it where mail and
// IMAP sessions belong.
type mailSite struct {
	*asker
	guests  []*realtest.Guest
	postfix *realtest.Postfix
	imap    string
}

func startMailSite(t *testing.T) *mailSite {
	t.Helper()
	needServers(t)
	mailboxes := []realtest.Mailbox{
		{Login: "alice@example.com", Password: "secret"}, {Login: "bob@example.com", Password: "secret"},
	}
	guests, err := realtest.StartGuests(t, mailboxes, mailboxes)
	must(t, err)
	backends := make(map[string]string)
	for i, g := range guests {
		backends[fmt.Sprintf("guest-0%d", i+1)] = fmt.Sprintf("%s, ports: {lmtp: %s, imap: %s}", g.POP3, port(g.LMTP), port(g.IMAP))
	}
	s := &mailSite{asker: newAsker(t, backends, ""), guests: guests}
	s.rewrite("a.map", "alice guest-01\nbob guest-02\n")
	s.addDirectory(fmt.Sprintf(`  sources: [{type: file, path: %s}]
  socketmap: [{address: "127.0.0.1:0", transport: "lmtp:inet:{host}:{lmtp}"}]
  auth_http: [{address: "127.0.0.1:0", key: shared}]
`, filepath.Join(s.dir, "a.map")))
	s.start()
	answers := func(protocol string) string {
		_, address, _ := strings.Cut(s.record("msg=answering", "protocol="+protocol), "address=")
		return strings.TrimSpace(address)
	}
	socketmap := "socketmap:inet:" + answers("socketmap")
	s.postfix, err = realtest.StartPostfix(t, "virtual_mailbox_domains = example.com",
		"virtual_mailbox_maps = "+socketmap+":mailbox", "transport_maps = "+socketmap+":transport")
	must(t, err)
	addresses, err := realtest.StartNginx(t, realtest.Nginx{Service: answers("auth_http") + "/auth", ServiceKey: "shared", Protocols: []string{"imap"}})
	must(t, err)
	s.imap = addresses["imap"]
	return s
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// send hands a message to the Postfix.
func (s *mailSite) send(user, subject string) {
	s.t.Helper()
	text := fmt.Sprintf("Subject: %s\r\n\r\nHello.\r\n", subject)
	must(s.t, smtp.SendMail(s.postfix.Address, nil, "sender@example.net", []string{user + "@example.com"}, []byte(text)))
}

// subjects are those of the messages that curl fetches at an address.
func (s *mailSite) subjects(user, address string) string {
	s.t.Helper()
	account, err := realtest.NewAccount(s.t, address, user+"@example.com", "secret")
	must(s.t, err)
	messages, err := realtest.FetchCurl(s.t.Context(), account)
	must(s.t, err)
	var all []string
	for _, m := range messages {
		_, subject, _ := strings.Cut(string(m), "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		all = append(all, subject)
	}
	return strings.Join(all, ", ")
}

// arrives waits until a user finds exactly these messages through the gateway.
func (s *mailSite) arrives(user, subjects string) {
	s.t.Helper()
	for deadline := time.Now().Add(faultPatience); ; time.Sleep(100 * time.Millisecond) {
		got := s.subjects(user, s.address)
		if got == subjects {
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.postfix.Log)
			s.t.Fatalf("%s finds %q, want %q\n%s\n%s", user, got, subjects, tailOf(string(log)), tailOf(s.log()))
		}
	}
}

// TestRealPostfixFullCircle: mail is delivered to the guest whose mailbox POP3 opens and IMAP shows, before and after
// the mailbox moves.
func TestRealPostfixFullCircle(t *testing.T) {
	t.Parallel()
	s := startMailSite(t)
	s.send("alice", "first")
	s.arrives("alice", "first")
	s.lie("alice", "first", "")
	s.counts("alice", 1)

	t.Log("the mailbox is emptied, and moves")
	c := s.session("alice@example.com")
	for _, line := range []string{"DELE 1", "QUIT"} {
		if reply, err := c.Cmd(line); err != nil || !strings.HasPrefix(reply, "+OK") {
			t.Fatalf("%s: %q, %v", line, reply, err)
		}
	}
	set := exec.Command(os.Args[0], "directory", "set", "--config", s.config(), "alice", "guest-02")
	set.Env = append(os.Environ(), asPostern+"=1")
	must(t, told(set))
	eventually(t, "the gateway does not see the move", func() bool {
		_, body := s.get("/api/v1/mailboxes/alice")
		return strings.Contains(body, "guest-02")
	})

	// A message to somebody else comes between: Postfix remembers where the last one went, for half a minute.
	s.send("bob", "between")
	s.arrives("bob", "between")
	s.send("alice", "second")
	s.arrives("alice", "second")
	s.lie("alice", "", "second")
	s.counts("alice", 1)
	if got := converse(t, s.imap, "a LOGIN alice@example.com wrong"); !strings.Contains(got, "a NO") {
		t.Errorf("IMAP with a wrong password: %s", got)
	}
	if got := converse(t, s.imap, "a LOGIN nobody@example.com secret"); !strings.Contains(got, "a NO [AUTHENTICATIONFAILED]") {
		t.Errorf("IMAP of nobody: %s", got)
	}
}

// lie expects where a user's messages are, on each guest.
func (s *mailSite) lie(user string, subjects ...string) {
	s.t.Helper()
	for i, want := range subjects {
		if got := s.subjects(user, s.guests[i].POP3); got != want {
			s.t.Errorf("guest-0%d has %q of %s, want %q", i+1, got, user, want)
		}
	}
}

// counts expects a number of messages by IMAP, through nginx.
func (s *mailSite) counts(user string, messages int) {
	s.t.Helper()
	got := converse(s.t, s.imap, "a LOGIN "+user+"@example.com secret", "b STATUS INBOX (MESSAGES)", "c LOGOUT")
	if want := fmt.Sprintf("* STATUS INBOX (MESSAGES %d)", messages); !strings.Contains(got, want) {
		s.t.Errorf("IMAP says %s, want %s", got, want)
	}
}

// converse sends a line after each answer of an IMAP server, and returns all that was said.
func converse(t testing.TB, address string, lines ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(faultPatience)))
	in, said := bufio.NewReader(c), ""
	for _, line := range append([]string{""}, lines...) {
		tag := "*"
		if line != "" {
			tag = line[:1]
			_, err := fmt.Fprintf(c, "%s\r\n", line)
			must(t, err)
		}
		for {
			answer, err := in.ReadString('\n')
			if said += answer; err != nil {
				return said
			}
			if strings.HasPrefix(answer, tag+" ") {
				break
			}
		}
	}
	return said
}
