package tls

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"postern/proxy/tls/tlstest"
)

// BenchmarkHandshake is a whole handshake of TLS 1.3 over a pipe, both sides in this
// process, by key exchange: the hybrid one is what Go's clients and browsers of today negotiate.
func BenchmarkHandshake(b *testing.B) {
	for name, curve := range map[string]tls.CurveID{"X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768} {
		b.Run("kex="+name, func(b *testing.B) {
			server, roots := benchConfig(b)
			client := &tls.Config{RootCAs: roots, ServerName: "pop.example.com", CurvePreferences: []tls.CurveID{curve}}
			b.ReportAllocs()
			for b.Loop() {
				near, far := net.Pipe()
				done := make(chan error, 1)
				go func() { done <- tls.Server(far, server).Handshake() }()
				if err := tls.Client(near, client).Handshake(); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				near.Close()
				far.Close()
			}
		})
	}
}

func benchConfig(b *testing.B) (*tls.Config, *x509.CertPool) {
	b.Helper()
	certificate, key := tlstest.Issue(b, "pop.example.com")
	certPath, keyPath := tlstest.Write(b, b.TempDir(), "cert", certificate, key)
	front, err := New(Options{
		Certificates: []Source{{Cert: certPath, Key: keyPath}}, Listeners: []ListenerOptions{{Name: "pops"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return front.Config("pops"), tlstest.Pool(b, certificate)
}
