package tls

import (
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"postern/proxy/tls/tlstest"
)

// guarded is a front whose one listener asks for client certificates.
func guarded(t *testing.T, authority *tlstest.CA, required bool, keys string) *Front {
	t.Helper()
	return front(t, Options{
		Certificates: []Source{written(t, "mail.example.com")}, TicketKeys: keys,
		Listeners: []ListenerOptions{{
			Name: one, ClientCA: inTemp(t, "ca.pem", string(authority.PEM())), ClientRequired: required,
		}},
	})
}

// carrying is a client that keeps its tickets and shows a certificate.
func carrying(t *testing.T, version uint16, cert, key []byte) *tls.Config {
	t.Helper()
	client := returning("mail.example.com", version)
	if cert != nil {
		pair := tlstest.KeyPair(t, cert, key)
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return client
}

func client(t *testing.T, ca *tlstest.CA, subject string) (cert, key []byte) {
	t.Helper()
	return ca.Sign(t, tlstest.Leaf{Subject: subject, Client: true, Emails: []string{subject + "@example.com"}})
}

func TestClientCertificates(t *testing.T) {
	ours, theirs := tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "ours") // the same name
	for _, required := range []bool{false, true} {
		f := guarded(t, ours, required, "")
		for name, version := range tlsVersions {
			alice, aliceKey := client(t, ours, "alice")
			mallory, malloryKey := client(t, theirs, "alice")
			server, serverKey := ours.Issue(t, "mail.example.com")
			alone, aloneKey := tlstest.SelfSigned(t, tlstest.Leaf{Subject: "alice", Client: true})
			late, lateKey := ours.Sign(t, tlstest.Leaf{Subject: "alice", Client: true, NotAfter: time.Now().Add(-time.Minute)})
			for who, c := range map[string]struct {
				cert, key []byte
				served    bool
				subject   string
			}{
				"nobody":               {nil, nil, !required, ""},
				"alice":                {alice, aliceKey, true, "CN=alice"},
				"a stranger":           {mallory, malloryKey, false, ""},
				"a server":             {server, serverKey, false, ""},
				"one who is late":      {late, lateKey, false, ""},
				"one who signed alone": {alone, aloneKey, false, ""},
			} {
				o := shake(t, f.Config(one), carrying(t, version, c.cert, c.key))
				if (o.clientErr == nil) != c.served || StateOf(o.server).ClientSubject != c.subject {
					t.Errorf("required %v, %s, %s: %v, %v, %q", required, name, who, o.clientErr, o.serverErr, StateOf(o.server).ClientSubject)
				}
			}
		}
	}
}

// TestResumedClientCertificates: the certificate comes along, and only under the same policy.
func TestResumedClientCertificates(t *testing.T) {
	ours, theirs := tlstest.NewCA(t, "ours"), tlstest.NewCA(t, "theirs")
	keys := inTemp(t, "keys", hexKey(1))
	cert, key := client(t, ours, "alice")
	elsewhere := map[string]*tls.Config{
		"offered":   guarded(t, ours, false, keys).Config(one),
		"others":    guarded(t, theirs, false, keys).Config(one),
		"others'":   guarded(t, theirs, true, keys).Config(one),
		"not asked": front(t, Options{Certificates: []Source{written(t, "mail.example.com")}, TicketKeys: keys}).Config(one),
	}
	here, twin := guarded(t, ours, true, keys).Config(one), guarded(t, ours, true, keys).Config(one)
	for name, version := range tlsVersions {
		for _, at := range []*tls.Config{here, twin} {
			alice := carrying(t, version, cert, key)
			resumes(t, here, alice)
			o := shake(t, at, alice)
			if s := StateOf(o.server); !s.Resumed || s.ClientSubject != "CN=alice" || s.ClientNames != "alice@example.com" {
				t.Errorf("%s: %+v, %v", name, s, o.clientErr)
			}
		}
		for policy, config := range elsewhere {
			alice := carrying(t, version, cert, key)
			resumes(t, here, alice)
			if o := shake(t, config, alice); o.server.DidResume {
				t.Errorf("%s: a session of the required policy resumes where they are %s", name, policy)
			}
		}
		nobody := carrying(t, version, nil, nil)
		resumes(t, elsewhere["offered"], nobody)
		if o := shake(t, here, nobody); o.clientErr == nil {
			t.Errorf("%s: a session without a certificate resumes where one is required", name)
		}
	}
}

// TestAuthoritiesChange: at a reload, with what a bad file does; sessions of those
// who are no longer believed are not resumed.
func TestAuthoritiesChange(t *testing.T) {
	first, second := tlstest.NewCA(t, "first"), tlstest.NewCA(t, "second")
	path, log := inTemp(t, "ca.pem", string(first.PEM())), &lines{}
	f := front(t, Options{
		Certificates: []Source{written(t, "mail.example.com")}, Logger: log.logger(),
		Listeners: []ListenerOptions{{Name: one, ClientCA: path, ClientRequired: true}},
	})
	cert, key := client(t, first, "alice")
	for name, version := range tlsVersions {
		mustWrite(t, path, string(first.PEM()))
		if err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		alice := carrying(t, version, cert, key)
		resumes(t, f.Config(one), alice)
		log.take()
		for _, bad := range []string{"no certificate", string(first.PEM()[:100])} {
			mustWrite(t, path, bad)
			if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "listener pops: client_ca: ") || !resumes(t, f.Config(one), alice) {
				t.Errorf("%s: with a bad file: %v", name, err)
			}
			log.wantRecord(t, "level=WARN", "the old ones stay", path)
		}
		mustWrite(t, path, string(second.PEM()))
		if err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		log.wantRecord(t, "level=INFO", "authorities", "listener=pops")
		if o := shake(t, f.Config(one), alice); o.clientErr == nil {
			t.Errorf("%s: who is no longer believed is served, resumed: %v", name, o.server.DidResume)
		}
		bob, bobKey := client(t, second, "bob")
		if o := shake(t, f.Config(one), carrying(t, version, bob, bobKey)); StateOf(o.server).ClientSubject != "CN=bob" {
			t.Errorf("%s: %v, %v", name, o.clientErr, o.serverErr)
		}
	}
}

func TestAuthorityFiles(t *testing.T) {
	a, b := tlstest.NewCA(t, "a").PEM(), tlstest.NewCA(t, "b").PEM()
	_, key := tlstest.Issue(t, "mail.example.com")
	both, err := parseAuthority([]byte(string(a) + "text\n" + string(b) + string(a)))
	if err != nil {
		t.Fatal(err)
	}
	if other, err := parseAuthority([]byte(string(b) + string(a))); err != nil || other.id != both.id {
		t.Errorf("in another order it is another: %v", err)
	}
	if alone, err := parseAuthority(a); err != nil || alone.id == both.id {
		t.Errorf("one is the same as two: %v", err)
	}
	for _, bad := range []string{"", string(key), string(a) + string(b[:len(b)/2]), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := parseAuthority([]byte(bad)); err == nil {
			t.Errorf("good: %q", bad)
		}
	}
	if _, err := readAuthority("/nowhere/ca.pem"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
