package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"postern/pop3/pop3test"
)

func TestServerRecords(t *testing.T) {
	guest := pop3test.NewBackend(t, func(c *pop3test.Conn) {
		judge(c, func(string, string) string { return "+OK in" })
		if line, err := c.Line(); err == nil && line == "QUIT" {
			_ = c.SendLine("+OK Bye")
		}
	})
	s := serve(t, func(_ *Settings, o *Options) { o.Directory = locatorFunc(at(guest.Addr())) })
	c := s.greeted(t)
	for _, line := range []string{"USER alice", "PASS hunter2", "QUIT"} {
		if reply, err := c.Cmd(line); err != nil || !strings.HasPrefix(reply, "+OK") {
			t.Fatalf("%s: %q, %v", line, reply, err)
		}
	}
	expectEnd(t, c)
	c.Close()
	login := s.logs.waitFor(t, "msg=login", "result=ok")
	end := s.logs.waitFor(t, "msg=end")
	client := "client=" + c.Raw().LocalAddr().String()
	for _, key := range []string{client, "listener=test", "mailbox=alice@example.com", "backend=b1", "step=pass", "locate_time=", "connect_time=", "greeting_time=", "login_time="} {
		if !strings.Contains(login, key) {
			t.Errorf("no %s in %s", key, login)
		}
	}
	for _, key := range []string{client, "mailbox=alice@example.com", "backend=b1", "result=ok", "to_client=9", "to_backend=6", "ended_by=backend", "reason=fin", "duration="} {
		if !strings.Contains(end, key) {
			t.Errorf("no %s in %s", key, end)
		}
	}
	id := func(record string) string {
		_, rest, _ := strings.Cut(record, "session=")
		word, _, _ := strings.Cut(rest, " ")
		return word
	}
	if id(login) == "" || id(login) != id(end) {
		t.Errorf("session %q and %q", id(login), id(end))
	}
}

// The canary: a password is in no log at any level, wherever it was typed.
func TestNoSecretInAnyLog(t *testing.T) {
	const canary = "c4n4ryC4N4RY"
	guest := pop3test.NewBackend(t, func(c *pop3test.Conn) {
		judge(c, func(_, password string) string { return "-ERR no such password: " + password })
	})
	s := serve(t, func(set *Settings, o *Options) {
		set.MaxFailures = 100
		o.Directory = locatorFunc(at(guest.Addr()))
	})
	for _, lines := range [][]string{
		{"USER alice", "PASS " + canary},
		{"USER " + canary, "PASS x"},
		{"USER nobody", "PASS " + canary},
		{"USER alice", "PASS " + canary + "\x01"},
		{"PASS " + canary},
		{canary},
		{"AUTH " + canary},
		{"USER " + canary + strings.Repeat("x", 300)},
		{"GET /" + canary + " HTTP/1.0"},
	} {
		c := s.greeted(t)
		for _, line := range lines {
			if _, err := c.Cmd(line); err != nil {
				break
			}
		}
		c.Close()
	}
	s.logs.waitFor(t, "reason=http")
	s.cutOff()
	logs := s.logs.String()
	if !strings.Contains(logs, "msg=login") || !strings.Contains(logs, "level=DEBUG") {
		t.Fatalf("hardly anything was logged:\n%s", logs)
	}
	// "alice" as user of the canary's owner is known here; at() knows every name but nobody, so
	// USER canary is a mailbox of the directory and may be logged as one.
	for line := range strings.SplitSeq(logs, "\n") {
		if strings.Contains(line, canary) && !strings.Contains(line, "mailbox="+canary+"@example.com") {
			t.Errorf("the canary is in %s", line)
		}
	}
}

func TestUnknownUsersInRecords(t *testing.T) {
	for style, want := range map[UnknownUsers]string{HashUnknown: "user_hash=", PlainUnknown: "user=nobody", OmitUnknown: ""} {
		s := serve(t, func(set *Settings, _ *Options) { set.Records.UnknownUsers = style })
		c := s.greeted(t)
		for _, line := range []string{"USER nobody", "PASS x"} {
			if _, err := c.Cmd(line); err != nil {
				t.Fatal(err)
			}
		}
		record := s.logs.waitFor(t, "msg=login", `result="unknown mailbox"`, "code=AUTH", want)
		if style != PlainUnknown && strings.Contains(record, "nobody") {
			t.Errorf("the name is in %s", record)
		}
		if style == OmitUnknown && strings.Contains(record, "user") {
			t.Errorf("something of the user is in %s", record)
		}
	}
}

func TestClientTextStyles(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.77:1024":      "192.0.2.0/24",
		"[2001:db8:1:2::3]:99": "2001:db8:1::/48",
	} {
		ap := netip.MustParseAddrPort(client)
		if got := clientText(ap, PrefixClient); got != want {
			t.Errorf("%s: %s, want %s", client, got, want)
		}
		if got := clientText(ap, FullClient); got != client {
			t.Errorf("%s: %s", client, got)
		}
	}
}
