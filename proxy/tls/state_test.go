package tls

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"
)

func TestState(t *testing.T) {
	f := front(t, Options{
		Certificates: []Source{written(t, "mail.example.com")}, Listeners: []ListenerOptions{{Name: one, MinVersion: "1.0"}},
	})
	for _, c := range []struct {
		version uint16
		want    State
	}{
		{tls.VersionTLS13, State{Version: "1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", KeyExchange: "P-384", ServerName: "mail.example.com"}},
		{tls.VersionTLS12, State{Version: "1.2", CipherSuite: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", KeyExchange: "P-384", ServerName: "mail.example.com"}},
		{tls.VersionTLS10, State{Version: "1.0", CipherSuite: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", KeyExchange: "P-384", ServerName: "mail.example.com"}},
	} {
		client := trusting("mail.example.com")
		client.MinVersion, client.MaxVersion = tls.VersionTLS10, c.version
		client.CurvePreferences = []tls.CurveID{tls.CurveP384, tls.CurveP256}
		if c.version < tls.VersionTLS13 {
			client.CurvePreferences = client.CurvePreferences[:1]
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}
		o := shake(t, f.Config(one), client)
		got := StateOf(o.server)
		if c.version == tls.VersionTLS13 && strings.HasPrefix(got.CipherSuite, "TLS_") {
			got.CipherSuite, got.KeyExchange = c.want.CipherSuite, c.want.KeyExchange // as the machine likes it
		}
		if got != c.want {
			t.Errorf("%+v\nwant %+v: %v", got, c.want, o.clientErr)
		}
	}
}

// TestForeignTexts: what a client chose is bounded, and can't forge a line.
func TestForeignTexts(t *testing.T) {
	leaf := &x509.Certificate{
		Subject:        pkix.Name{CommonName: "alice\n\x1b[31m é" + strings.Repeat("x", 1000)},
		EmailAddresses: []string{"alice@example.com\r\nforged"},
		DNSNames:       []string{strings.Repeat("d", 1000)},
		URIs:           []*url.URL{{Scheme: "spiffe", Host: "example.com"}},
	}
	s := StateOf(tls.ConnectionState{
		ServerName: "mail\n" + strings.Repeat("y", 60_000), PeerCertificates: []*x509.Certificate{leaf},
		VerifiedChains: [][]*x509.Certificate{{leaf}},
	})
	for _, text := range []string{s.ServerName, s.ClientSubject, s.ClientNames} {
		if len(text) != maxText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || '~' < r }) {
			t.Errorf("%d octets: %q", len(text), text)
		}
	}
	if !strings.HasPrefix(s.ClientNames, "alice@example.com??forged,ddd") {
		t.Errorf("%q", s.ClientNames)
	}
	leaf.EmailAddresses = leaf.EmailAddresses[:0:0]
	leaf.DNSNames = strings.Split(strings.Repeat("d ", 100), " ")
	if names := clientNames(leaf); strings.Count(names, "d") != maxNames {
		t.Errorf("%q", names)
	}
}

// TestUnverifiedIsNobody: only a certificate that was checked names anybody.
func TestUnverifiedIsNobody(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}
	if s := StateOf(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); s.ClientSubject != "" {
		t.Errorf("%q", s.ClientSubject)
	}
}
