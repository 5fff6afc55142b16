// What the servers' refusals become.

package main_test

import (
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// TestRealLockIsInUse opens a mailbox twice. What the client must hear is
// [IN-USE], or it asks its user for another password.
func TestRealLockIsInUse(t *testing.T) {
	needReal(t)
	t.Parallel()
	servers := startServers(t, mailboxes("alice", "bob"))
	gateway := startGateway(t, servers)
	for _, server := range servers {
		if !server.OneSession {
			continue
		}
		t.Run(server.Name+"/held by a session past the gateway", func(t *testing.T) {
			t.Parallel()
			mailbox := server.mailboxes[0]
			holder := dial(t, server.address)
			if err := holder.Login(mailbox.Login, mailbox.Password); err != nil {
				t.Fatal(err)
			}
			expectLocked(t, gateway, mailbox, holder)
		})
		t.Run(server.Name+"/held by a session of the gateway", func(t *testing.T) {
			t.Parallel()
			mailbox := server.mailboxes[1]
			expectLocked(t, gateway, mailbox, loginSoon(t, gateway, mailbox))
		})
	}
}

// expectLocked is refused while holder has the mailbox, and let in, by the same
// session, when holder has left.
func expectLocked(t *testing.T, gateway string, mailbox realtest.Mailbox, holder *realtest.Terminal) {
	t.Helper()
	terminal := dial(t, gateway)
	expectRefusal(t, terminal, mailbox, mailbox.Password, "-ERR [IN-USE] ")
	if count, err := holder.Count(); err != nil || count != len(mailbox.Messages) {
		t.Errorf("the holder sees %d messages, want %d (%v)", count, len(mailbox.Messages), err)
	}
	quit(t, holder)
	time.Sleep(500 * time.Millisecond) // mbox servers let go late
	fetchAndQuit(t, terminal, mailbox)
}

// TestRealWrongPassword mistypes a password at each server. The refusal has to
// be the one that an unknown mailbox gets, and the session has to survive it,
// also where the server hangs up.
func TestRealWrongPassword(t *testing.T) {
	needReal(t)
	t.Parallel()
	servers := startServers(t, mailboxes("alice"))
	gateway := startGateway(t, servers)
	unknown := realtest.Mailbox{Address: "nobody@example.com"}
	want := expectRefusal(t, dial(t, gateway), unknown, "secret", "-ERR [AUTH] ")
	for _, server := range servers {
		t.Run(server.Name, func(t *testing.T) {
			t.Parallel()
			mailbox := server.mailboxes[0]
			terminal := dial(t, gateway)
			if got := expectRefusal(t, terminal, mailbox, "wrong", "-ERR [AUTH] "); got != want {
				t.Errorf("a wrong password is refused with %q, an unknown mailbox with %q", got, want)
			}
			fetchAndQuit(t, terminal, mailbox)
		})
	}
}

// fetchAndQuit logs in and fetches everything.
func fetchAndQuit(t *testing.T, terminal *realtest.Terminal, mailbox realtest.Mailbox) {
	t.Helper()
	if err := terminal.Login(mailbox.Address, mailbox.Password); err != nil {
		t.Fatal(err)
	}
	got, err := terminal.RetrieveAll()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, mailbox.Messages)
	quit(t, terminal)
}

// expectRefusal logs in and returns the refusal, which begins with prefix.
func expectRefusal(t *testing.T, terminal *realtest.Terminal, mailbox realtest.Mailbox, password, prefix string) string {
	t.Helper()
	if _, err := terminal.Must("USER " + mailbox.Address); err != nil {
		t.Fatal(err)
	}
	answer, err := terminal.Command("PASS " + password)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(answer, prefix) {
		t.Fatalf("PASS is answered with %q, want %q and a text", answer, prefix)
	}
	return answer
}

// mailboxes are short ones of the given names, on each server.
func mailboxes(names ...string) func(realtest.Server) []realtest.Mailbox {
	return func(s realtest.Server) []realtest.Mailbox {
		made := make([]realtest.Mailbox, len(names))
		for i, name := range names {
			address := addressAt(s, name)
			made[i] = newMailbox(s, address, realtest.TaggedMessages(address, 2, 1000))
		}
		return made
	}
}
