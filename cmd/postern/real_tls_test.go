// Real mail clients over TLS: from the first octet, and by STLS.

package main_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/cmd/postern/realtest"
	"postern/proxy/tls/tlstest"
)

// secureGateway is postern with a listener for STLS and one for TLS from the first
// octet, and no password taken outside of TLS.
type secureGateway struct {
	dir       string // with its certificates
	authority *tlstest.CA

	process              *realtest.Process
	plain, implicit, old string // addresses; old takes TLS 1.0 too
}

// names are what clients call the gateway.
var names = []string{"localhost", "127.0.0.1"}

// newSecureGateway makes its certificates: for STLS one with an ECDSA key, for
// the other listener one with an RSA key, which has cipher suites of its own. Each has
// a common name: fetchmail 6.4 takes none without.
func newSecureGateway(t *testing.T) secureGateway {
	t.Helper()
	g := secureGateway{dir: t.TempDir(), authority: tlstest.NewCA(t, "the tests")}
	g.issue(t, "ecdsa", tlstest.Leaf{Names: names, Subject: "first"})
	g.issue(t, "rsa", tlstest.Leaf{Names: names, Subject: "rsa", RSA: true})
	return g
}

// issue puts a new certificate with a new key in the place of an old one.
func (g secureGateway) issue(t *testing.T, name string, leaf tlstest.Leaf) {
	t.Helper()
	cert, key := g.authority.Sign(t, leaf)
	tlstest.Write(t, g.dir, name, cert, key)
}

// start starts it in front of servers; it can be started several times, each with ports
// of its own. settings are further keys of the section tls.
func (g secureGateway) start(t *testing.T, servers []runningServer, settings ...string) secureGateway {
	t.Helper()
	g.plain, g.implicit, g.old = freeAddress(t), freeAddress(t), freeAddress(t)
	g.process = servePostern(t, fmt.Sprintf(`listeners:
  - {address: %q, name: pop}
  - {address: %q, name: pops, tls: implicit, certificates: [{cert: %[4]s/rsa.pem, key: %[4]s/rsa.key}]}
  - {address: %[3]q, name: old, tls: implicit, min_version: "1.0"}
tls:
  certificates: [{cert: %[4]s/ecdsa.pem, key: %[4]s/ecdsa.key}]
%[5]s
auth: {plaintext: never, failure_delay: 100ms}
admin: {socket: ""}
%[6]s`, g.plain, g.implicit, g.old, g.dir, strings.Join(settings, "\n"), routes(t, servers)))
	for _, address := range []string{g.plain, g.implicit, g.old} {
		if err := g.process.Answers("tcp", address); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// account is a mailbox as a client's settings have it: the host by its name, or by its
// address.
func (g secureGateway) account(t *testing.T, client realtest.SecureClient, mailbox realtest.Mailbox) realtest.Secured {
	t.Helper()
	address := g.implicit
	if client.STLS {
		address = g.plain
	}
	if client.STLS || client.NameOnly {
		address = strings.Replace(address, "127.0.0.1", "localhost", 1)
	}
	account := newAccount(t, address, mailbox.Address, mailbox.Password)
	secured, err := account.Secure(g.authority.PEM())
	if err != nil {
		t.Fatal(err)
	}
	secured.STLS, secured.SASL = client.STLS, client.SASL
	return secured
}

// startDovecots starts the server that most users have, once with Maildirs and once
// with mbox files.
func startDovecots(t *testing.T, mailboxes func(realtest.Server) []realtest.Mailbox) []runningServer {
	t.Helper()
	return startSome(t, realtest.Servers()[:2], mailboxes)
}

// TestRealSecureClients lets each client fetch a mailbox of its own, by turns from
// one server and from the other.
func TestRealSecureClients(t *testing.T) {
	needReal(t)
	clients := realtest.SecureClients()
	servers := startDovecots(t, func(s realtest.Server) []realtest.Mailbox {
		var mailboxes []realtest.Mailbox
		for i := range (len(clients) + 1) / 2 {
			address := addressAt(s, fmt.Sprintf("user%02d", i))
			mailboxes = append(mailboxes, newMailbox(s, address, realtest.HardMessages(address)))
		}
		return mailboxes
	})
	gateway := newSecureGateway(t).start(t, servers)
	for i, client := range clients {
		server := servers[i%2]
		t.Run(secureName(client), func(t *testing.T) {
			t.Parallel()
			fetchSecurely(t, gateway, server, client, server.mailboxes[i/2])
		})
	}
}

func secureName(c realtest.SecureClient) string {
	return fmt.Sprintf("%s/stls=%v/sasl=%s", c.Name, c.STLS, c.SASL)
}

// fetchSecurely is [fetchEverything] over TLS. First the client meets a gateway that
// it can't trust, which must not learn the password.
func fetchSecurely(t *testing.T, g secureGateway, server runningServer, client realtest.SecureClient, mailbox realtest.Mailbox) {
	stranger := g
	stranger.authority = tlstest.NewCA(t, "somebody else")
	if _, err := client.Fetch(t.Context(), stranger.account(t, client, mailbox)); err == nil {
		t.Error("the client trusts a certificate of somebody else")
	}
	got, err := client.Fetch(t.Context(), g.account(t, client, mailbox))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, mailbox.Messages)
	g.expectLogin(t, client, mailbox)

	want := len(mailbox.Messages)
	if client.Deletes {
		want = 0
	}
	mailbox.Address = mailbox.Login
	terminal := loginSoon(t, server.address, mailbox)
	if left, err := terminal.Count(); err != nil || left != want {
		t.Errorf("the server has %d messages left, want %d (%v)", left, want, err)
	}
	quit(t, terminal)
}

// expectLogin looks at the records of the mailbox's logins: how they came.
func (g secureGateway) expectLogin(t *testing.T, client realtest.SecureClient, mailbox realtest.Mailbox) {
	t.Helper()
	listener := map[bool]string{false: " listener=pops ", true: " listener=pop "}[client.STLS]
	logins := 0
	for line := range strings.Lines(g.process.LogTail(1 << 20)) {
		if !strings.Contains(line, " msg=login ") || !strings.Contains(line, " mailbox="+mailbox.Address+" ") {
			continue
		}
		logins++
		_, mechanism, _ := strings.Cut(line, " mechanism=")
		mechanism, _, _ = strings.Cut(mechanism, " ")
		if !strings.Contains(line, listener) || !strings.Contains(line, " tls=1.3 ") || mechanism != client.Mechanism {
			t.Errorf("want%sTLS 1.3 and mechanism %q: %s", listener, client.Mechanism, line)
		}
	}
	if logins == 0 {
		t.Error("no record of a login")
	}
}

// TestRealPlaintextIsRefused has clients log in without TLS.
func TestRealPlaintextIsRefused(t *testing.T) {
	needReal(t)
	t.Parallel()
	servers := startDovecots(t, mailboxes("alice"))
	gateway := newSecureGateway(t).start(t, servers)
	mailbox := servers[0].mailboxes[0]
	t.Cleanup(func() {
		if log := gateway.process.LogTail(1 << 20); strings.Contains(log, " msg=login ") {
			t.Error("a password was looked at")
		}
	})
	for _, client := range realtest.Clients() {
		t.Run(client.Name, func(t *testing.T) {
			t.Parallel()
			_, err := client.Fetch(t.Context(), newAccount(t, gateway.plain, mailbox.Address, mailbox.Password))
			if err == nil {
				t.Fatal("the client got in")
			}
			want := "Passwords are taken over TLS only"
			switch client.Name {
			case "curl": // it asks CAPA, and sees no way to log in
				want = "curl: (67) Login denied"
			case "fetchmail": // it keeps the text to itself
				want = "Authorization failure"
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the client says %q, want %q", err, want)
			}
		})
	}
}
