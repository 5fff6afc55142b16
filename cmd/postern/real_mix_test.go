// Many sessions at once, each of which must see its own mailbox only.

package main_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"postern/cmd/postern/realtest"
)

const (
	mixedSessions = 300 // with a mailbox each: no two may see the same lines
	mixedMessages = 3
)

// TestRealSessionsDoNotMix has 300 sessions logged in at the same time, then
// lets all fetch at the same time. Each line says whose it is.
func TestRealSessionsDoNotMix(t *testing.T) {
	needReal(t)
	servers := startServers(t, func(s realtest.Server) []realtest.Mailbox {
		mailboxes := make([]realtest.Mailbox, mixedSessions/len(realtest.Servers()))
		for i := range mailboxes {
			address := addressAt(s, fmt.Sprintf("user%02d", i))
			mailboxes[i] = newMailbox(s, address, realtest.TaggedMessages(address, mixedMessages, 40_000+997*i))
		}
		return mailboxes
	})
	gateway := startGateway(t, servers, "limits: {sessions: 1000, sessions_per_address: 1000}")

	var wg sync.WaitGroup
	var loggedIn sync.WaitGroup
	loggedIn.Add(mixedSessions)
	for i := range mixedSessions {
		server := servers[i%len(servers)]
		mailbox := server.mailboxes[i/len(servers)]
		wg.Go(func() {
			if err := mixedSession(t, gateway, mailbox, &loggedIn); err != nil {
				t.Errorf("session %d, %s: %v", i, mailbox.Address, err)
			}
		})
	}
	wg.Wait()
}

// mixedSession logs in, waits until all others have, or have failed to, and
// fetches everything.
func mixedSession(t *testing.T, gateway string, mailbox realtest.Mailbox, loggedIn *sync.WaitGroup) error {
	terminal, err := realtest.DialTerminal(t.Context(), gateway)
	if err != nil {
		loggedIn.Done()
		return err
	}
	defer terminal.Close()
	err = terminal.Login(mailbox.Address, mailbox.Password)
	loggedIn.Done()
	if err != nil {
		return err
	}
	loggedIn.Wait()
	messages, err := terminal.RetrieveAll()
	if err != nil {
		return err
	}
	for i, message := range messages {
		if err := onlyOwn(message, realtest.Tag(mailbox.Address, i+1)); err != nil {
			return err
		}
		if want := mailbox.Messages[i].Wire(); !bytes.Equal(message, want) {
			return fmt.Errorf("message %d has %d octets and is not the one delivered, of %d", i+1, len(message), len(want))
		}
	}
	if len(messages) != len(mailbox.Messages) {
		return fmt.Errorf("%d messages, want %d", len(messages), len(mailbox.Messages))
	}
	return terminal.Quit()
}

// onlyOwn finds a body line without the tag: somebody else's.
func onlyOwn(message []byte, tag string) error {
	_, body, found := strings.Cut(string(message), "\r\n\r\n")
	if !found || body == "" {
		return fmt.Errorf("no body behind %q", tag)
	}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, tag) {
			return fmt.Errorf("a line %q in the session of %q", line, tag)
		}
	}
	return nil
}
