// Clients that don't wait for answers.

package main_test

import (
	"strings"
	"testing"

	"postern/cmd/postern/realtest"
)

// exchange is a line and what its answer begins with.
type exchange struct{ line, answer string }

// TestRealPipelined says a whole session in one segment. Courier loses what
// comes behind PASS before it has answered, and popa3d knows no PIPELINING at
// all: the gateway has to hold back what was said too early.
func TestRealPipelined(t *testing.T) {
	needReal(t)
	t.Parallel()
	servers := startServers(t, mailboxes("alice"))
	gateway := startGateway(t, servers)
	for _, server := range servers {
		t.Run(server.Name, func(t *testing.T) {
			t.Parallel()
			mailbox := server.mailboxes[0]
			expectExchanges(t, dial(t, gateway),
				exchange{"USER " + mailbox.Address, "+OK"},
				exchange{"PASS " + mailbox.Password, "+OK"},
				exchange{"STAT", "+OK 2 "},
				exchange{"NOOP", "+OK"},
				exchange{"UIDL 1", "+OK 1 "},
				exchange{"LIST 2", "+OK 2 "},
				exchange{"QUIT", "+OK"})
		})
	}
}

// TestRealSecondUser is refused at one server, and lets another user in at the
// next with what it said behind the first login: nothing of the first attempt
// may remain, and nothing of the second be lost.
func TestRealSecondUser(t *testing.T) {
	needReal(t)
	t.Parallel()
	servers := startServers(t, mailboxes("alice"))
	gateway := startGateway(t, servers)
	for i, first := range servers {
		second := servers[(i+1)%len(servers)]
		t.Run(first.Name+" then "+second.Name, func(t *testing.T) {
			t.Parallel()
			mailbox := second.mailboxes[0]
			expectExchanges(t, dial(t, gateway),
				exchange{"USER " + first.mailboxes[0].Address, "+OK"},
				exchange{"PASS wrong", "-ERR [AUTH] "},
				exchange{"USER " + mailbox.Address, "+OK"},
				exchange{"PASS " + mailbox.Password, "+OK"},
				exchange{"STAT", "+OK 2 "},
				exchange{"QUIT", "+OK"})
		})
	}
}

// expectExchanges says everything in one segment and expects the answers, and
// the end.
func expectExchanges(t *testing.T, terminal *realtest.Terminal, exchanges ...exchange) {
	t.Helper()
	lines := make([]string, len(exchanges))
	for i, e := range exchanges {
		lines[i] = e.line
	}
	answers, err := terminal.Pipeline(lines...)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range exchanges {
		if !strings.HasPrefix(answers[i], e.answer) {
			t.Errorf("%q is answered with %q, want %q", e.line, answers[i], e.answer)
		}
	}
	if err := terminal.End(); err != nil {
		t.Error(err)
	}
}
