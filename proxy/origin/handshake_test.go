package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// headed sends a header in one segment with the first octets of the connection.
type headed struct {
	net.Conn
	header string
}

func (c *headed) Write(p []byte) (int, error) {
	if c.header == "" {
		return c.Conn.Write(p)
	}
	all := append([]byte(c.header), p...)
	c.header = ""
	n, err := c.Conn.Write(all)
	return max(0, n-(len(all)-len(p))), err
}

// TestHandshakeBehindHeader: who reads no more than Room needs nothing between the
// socket and the TLS handshake, although both came in one segment.
func TestHandshakeBehindHeader(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			failed := make(chan error, 1)
			go func() {
				client := tls.Client(&headed{far, s.header}, &tls.Config{InsecureSkipVerify: true})
				failed <- client.HandshakeContext(t.Context())
			}()
			r, buf := NewHeaderReader(), make([]byte, 512)
			for r.Room() > 0 {
				n, err := near.Read(buf[:min(len(buf), r.Room())])
				if err != nil || r.Input(buf[:n]) != n {
					t.Fatalf("%d octets, error %v, not all the header's", n, err)
				}
			}
			if _, _, err := r.Result(); err != nil {
				t.Fatal(err)
			}
			if err := tls.Server(near, config).HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func certificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
