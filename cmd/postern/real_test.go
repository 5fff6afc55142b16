// Real mail servers behind the gateway, real mail clients in front of it.

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// TestRealServers fetches without the gateway: where it fails, look at the
// servers and not at the gateway.
func TestRealServers(t *testing.T) {
	needReal(t)
	servers := startServers(t, func(s realtest.Server) []realtest.Mailbox {
		address := addressAt(s, "direct")
		return []realtest.Mailbox{newMailbox(s, address, realtest.HardMessages(address))}
	})
	for _, server := range servers {
		t.Run(server.Name, func(t *testing.T) {
			mailbox := server.mailboxes[0]
			account := newAccount(t, server.address, mailbox.Login, mailbox.Password)
			got, err := realtest.FetchTerminal(t.Context(), account)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, mailbox.Messages)
		})
	}
}

// TestRealClientsFetchEverything lets each client fetch a mailbox of its own
// from each server.
func TestRealClientsFetchEverything(t *testing.T) {
	needReal(t)
	servers := startServers(t, func(s realtest.Server) []realtest.Mailbox {
		var mailboxes []realtest.Mailbox
		for _, client := range realtest.Clients() {
			address := addressAt(s, client.Name)
			mailboxes = append(mailboxes, newMailbox(s, address, realtest.HardMessages(address)))
		}
		return mailboxes
	})
	gateway := startGateway(t, servers)
	for _, server := range servers {
		for i, client := range realtest.Clients() {
			t.Run(server.Name+"/"+client.Name, func(t *testing.T) {
				t.Parallel()
				fetchEverything(t, gateway, client, server.mailboxes[i])
			})
		}
	}
}

// fetchEverything compares what a client got, and then what the server still
// has: a client's DELE and QUIT must have reached it, and nothing else.
func fetchEverything(t *testing.T, gateway string, client realtest.Client, mailbox realtest.Mailbox) {
	account := newAccount(t, gateway, mailbox.Address, mailbox.Password)
	got, err := client.Fetch(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, mailbox.Messages)

	want := len(mailbox.Messages)
	if client.Deletes {
		want = 0
	}
	terminal := loginSoon(t, gateway, mailbox)
	if left, err := terminal.Count(); err != nil || left != want {
		t.Errorf("the server has %d messages left, want %d (%v)", left, want, err)
	}
	quit(t, terminal)
}

// compare expects each message exactly once, in any order.
func compare(t *testing.T, got [][]byte, want []realtest.Message) {
	t.Helper()
	sums := make([]string, len(got))
	for i, message := range got {
		sums[i] = realtest.Sum(message)
	}
	for _, message := range want {
		i := slices.Index(sums, realtest.Sum(message.Wire()))
		if i < 0 {
			t.Errorf("message %q is not among those fetched%s", message.Name, nearest(got, message))
			continue
		}
		sums[i] = ""
	}
	if len(got) != len(want) {
		t.Errorf("fetched %d messages, want %d", len(got), len(want))
	}
}

// nearest says where the fetched message of the same subject departs.
func nearest(got [][]byte, want realtest.Message) string {
	subject := "\r\nSubject: " + want.Name + "\r\n"
	for _, message := range got {
		if !strings.Contains(string(message), subject) {
			continue
		}
		wire, i := want.Wire(), 0
		for i < min(len(wire), len(message)) && wire[i] == message[i] {
			i++
		}
		return fmt.Sprintf(": %d octets instead of %d, at %d\n %.80q\ninstead of\n %.80q",
			len(message), len(wire), i, message[i:], wire[i:])
	}
	return ", nor is its subject"
}

// loginSoon logs in through the gateway. Servers let go of a mailbox some time
// after they have answered QUIT; until then [IN-USE] is the right answer.
func loginSoon(t *testing.T, gateway string, mailbox realtest.Mailbox) *realtest.Terminal {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		terminal := dial(t, gateway)
		err := terminal.Login(mailbox.Address, mailbox.Password)
		if err == nil {
			return terminal
		}
		if !strings.Contains(terminal.Transcript(), "-ERR [IN-USE]") || time.Now().After(deadline) {
			t.Fatal(err)
		}
		quit(t, terminal)
	}
}
