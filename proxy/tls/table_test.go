package tls

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"postern/proxy/tls/tlstest"
)

func TestChoiceByName(t *testing.T) {
	f := front(t, Options{Certificates: []Source{
		written(t, "default.example.com", "192.0.2.1"),
		written(t, "Mail.Example.ORG", "pop.example.org"),
		written(t, "*.example.net"),
		written(t, "special.example.net"),
		written(t, "*.Upper.Example.NET."),
	}})
	for name, want := range map[string]string{
		"":                         "default.example.com",
		"default.example.com":      "default.example.com",
		"unknown.example.com":      "default.example.com",
		"192.0.2.1":                "default.example.com", // crypto/tls clients send no address
		"mail.example.org":         "Mail.Example.ORG",
		"MAIL.EXAMPLE.org":         "Mail.Example.ORG",
		"pop.example.org":          "Mail.Example.ORG",
		"any.example.net":          "*.example.net",
		"ANY.example.NET":          "*.example.net",
		"special.example.net":      "special.example.net",
		"SPECIAL.example.net":      "special.example.net",
		"two.labels.example.net":   "default.example.com",
		"example.net":              "default.example.com",
		"a.upper.example.net":      "*.Upper.Example.NET.",
		"mail.example.org.invalid": "default.example.com",
	} {
		if got := served(t, f, name); got != want {
			t.Errorf("%q gets %s, want %s", name, got, want)
		}
	}
}

// TestStrangeNames: what the network can send and no host is called.
func TestStrangeNames(t *testing.T) {
	table := front(t, Options{Certificates: []Source{written(t, "default.example.com"), written(t, "*.example.net")}}).stores[0].current.Load()
	for _, name := range []string{".", "..", ".example.net", "*.", "\x00", strings.Repeat("a.", 30_000), strings.Repeat("a", 300) + ".example.net", "é.example.com"} {
		hello := &tls.ClientHelloInfo{ServerName: name}
		if c := table.choose(hello, time.Now()); c.Leaf.DNSNames[0] != "default.example.com" {
			t.Errorf("%.20q gets %s", name, c.Leaf.DNSNames[0])
		}
	}
}

// TestChoosingKeepsNothing: strangers choose the names.
func TestChoosingKeepsNothing(t *testing.T) {
	table := front(t, Options{Certificates: []Source{written(t, "default.example.com"), written(t, "*.example.net")}}).stores[0].current.Load()
	for _, name := range []string{"unknown.example.com", "any.example.net"} {
		hello, now := &tls.ClientHelloInfo{ServerName: name}, time.Now()
		if n := testing.AllocsPerRun(100, func() { table.choose(hello, now) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestTwoKindsOfKey: beside an ECDSA certificate there is one for clients that know RSA only.
func TestTwoKindsOfKey(t *testing.T) {
	cert, key := tlstest.SelfSigned(t, tlstest.Leaf{Names: []string{"mail.example.com"}, RSA: true})
	f := front(t, Options{Certificates: []Source{written(t, "mail.example.com"), placed(t, cert, key)}})
	for _, name := range []string{"mail.example.com", "", "unknown.example.com"} {
		for suite, want := range map[uint16]string{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDSA",
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:   "RSA",
		} {
			client := trusting(name)
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{suite}
			o := shake(t, f.Config(one), client)
			if o.clientErr != nil || o.client.PeerCertificates[0].PublicKeyAlgorithm.String() != want {
				t.Errorf("%q wants %s: %v", name, want, o.clientErr)
			}
		}
	}
}

// TestValidBeforeExpired: somebody puts the new certificate beside the old one.
func TestValidBeforeExpired(t *testing.T) {
	old, oldKey := tlstest.SelfSigned(t, tlstest.Leaf{
		Names: []string{"mail.example.com", "old.example.com"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	})
	cert, key := tlstest.Issue(t, "mail.example.com")
	f := front(t, Options{Certificates: []Source{placed(t, old, oldKey), placed(t, cert, key)}})
	o := shake(t, f.Config(one), &tls.Config{ServerName: "mail.example.com", RootCAs: tlstest.Pool(t, cert)})
	if o.clientErr != nil {
		t.Error(o.clientErr)
	}
}

// TestListenersOwnCertificates: they go over those of all.
func TestListenersOwnCertificates(t *testing.T) {
	f := front(t, Options{
		Certificates: []Source{written(t, "shared.example.com")},
		Listeners: []ListenerOptions{
			{Name: "pop"},
			{Name: "own", Certificates: []Source{written(t, "own.example.com")}},
		},
	})
	for listener, want := range map[string]string{"pop": "shared.example.com", "own": "own.example.com"} {
		if got := shake(t, f.Config(listener), trusting("shared.example.com")).leaf(t); got != want {
			t.Errorf("%s shows %s, want %s", listener, got, want)
		}
	}
}
