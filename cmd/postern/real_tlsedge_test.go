// What tools that look at TLS itself say of the gateway.

package main_test

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
	"postern/proxy/tls/tlstest"
)

// overTLS is each way to the gateway.
var overTLS = []realtest.SecureClient{{Name: "implicit"}, {Name: "STLS", STLS: true}}

// TestRealScan lets sslscan look for weak protocols, ciphers and keys. The listener
// that lets TLS 1.0 in shows that it would find some.
func TestRealScan(t *testing.T) {
	needReal(t)
	t.Parallel()
	gateway := newSecureGateway(t).start(t, nil)
	for _, way := range overTLS {
		if found := scan(t, gateway.account(t, way, realtest.Mailbox{})); len(found) > 0 {
			t.Errorf("%s: sslscan finds %q", way.Name, found)
		}
	}
	gateway.implicit = gateway.old
	found := scan(t, gateway.account(t, overTLS[0], realtest.Mailbox{}))
	for _, want := range []string{"tls 1.0 is enabled: true", "TLSv1.2 takes ECDHE-ECDSA-AES128-SHA (acceptable)"} {
		if !slices.Contains(found, want) {
			t.Errorf("sslscan finds %q on a weak listener, want %q too", found, want)
		}
	}
}

func scan(t *testing.T, account realtest.Secured) []string {
	t.Helper()
	found, err := account.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found.Findings()
}

// TestRealNoCompressionNoRenegotiation tries what sslscan can't.
func TestRealNoCompressionNoRenegotiation(t *testing.T) {
	needReal(t)
	t.Parallel()
	gateway := newSecureGateway(t).start(t, nil)
	for _, way := range overTLS {
		account := gateway.account(t, way, realtest.Mailbox{})
		if method, err := account.Compression(t.Context()); err != nil || method != 0 {
			t.Errorf("%s: compression by method %d (%v)", way.Name, method, err)
		}
		err := account.Renegotiate(t.Context())
		if err == nil || !strings.Contains(err.Error(), "RENEGOTIATING") || !strings.Contains(err.Error(), "SSL alert") {
			t.Errorf("%s: asked for a new handshake, s_client ends with %v", way.Name, err)
		}
	}
}

// TestRealResumption: a client comes back to a gateway that shares the ticket keys, and
// to one that doesn't.
func TestRealResumption(t *testing.T) {
	needReal(t)
	t.Parallel()
	gateway := newSecureGateway(t)
	shared, other := ticketKeys(t), ticketKeys(t)
	first, second := gateway.start(t, nil, shared), gateway.start(t, nil, shared)
	stranger := gateway.start(t, nil, other)
	for _, way := range overTLS {
		for _, version := range []string{"1_2", "1_3"} {
			t.Run(way.Name+"/"+version, func(t *testing.T) {
				session := filepath.Join(t.TempDir(), "session")
				visit := func(g secureGateway, want string, args ...string) {
					t.Helper()
					account := g.account(t, way, realtest.Mailbox{})
					said, err := account.Handshake(t.Context(), append(args, "-tls"+version)...)
					want += ", TLSv" + strings.ReplaceAll(version, "_", ".") + ","
					if err != nil || !strings.Contains(said, want) {
						t.Errorf("want %q: %v\n%s", want, err, said)
					}
				}
				visit(first, "New", "-sess_out", session)
				visit(second, "Reused", "-sess_in", session)
				visit(stranger, "New", "-sess_in", session)
			})
		}
	}
}

// ticketKeys is a setting with a new file of one key.
func ticketKeys(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "  ticket_keys: " + path
}

// TestRealRenewal puts a new certificate in place while a session runs. Every handshake
// of that time succeeds, and the session goes on.
func TestRealRenewal(t *testing.T) {
	needReal(t)
	t.Parallel()
	servers := startDovecots(t, mailboxes("alice"))
	gateway := newSecureGateway(t).start(t, servers)
	way, mailbox := overTLS[1], servers[0].mailboxes[0]
	account := gateway.account(t, way, mailbox)
	terminal, err := realtest.DialOpenSSL(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := terminal.Login(mailbox.Address, mailbox.Password); err != nil {
		t.Fatal(err)
	}
	if name := certificate(t, account); name != "first" {
		t.Fatalf("the certificate is %q", name)
	}

	gateway.issue(t, "ecdsa", tlstest.Leaf{Names: names, Subject: "second"})
	if err := gateway.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); certificate(t, account) != "second"; {
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not shown")
		}
	}
	got, err := terminal.RetrieveAll()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, mailbox.Messages)
	quit(t, terminal)
}

// certificate is the common name of the one that a new handshake shows.
func certificate(t *testing.T, account realtest.Secured) string {
	t.Helper()
	said, err := account.Handshake(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(said, "\nsubject=CN = ")
	name, _, _ = strings.Cut(name, "\n")
	return name
}
