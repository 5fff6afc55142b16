// Package tlstest makes certificates for tests: self-signed ones, and an authority
// that signs others. Keys are ECDSA P-256, which takes no time; an RSA key is made
// where one is asked for.
//
// It knows nothing of how the gateway reads and serves them.
package tlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Leaf is a certificate to be made.
type Leaf struct {
	Names               []string // host names and addresses
	Emails              []string
	Subject             string    // its common name; empty: none
	NotBefore, NotAfter time.Time // zero: an hour ago, in 90 days
	Client              bool      // it is for a client, not for a server
	RSA                 bool      // with an RSA key of 2048 bits
}

// Issue makes a self-signed certificate for a server. A client trusts it that has
// it among its roots.
func Issue(t testing.TB, names ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	return Leaf{Names: names}.sign(t, nil, nil)
}

// SelfSigned is [Issue] for a certificate with wishes.
func SelfSigned(t testing.TB, l Leaf) (certPEM, keyPEM []byte) {
	t.Helper()
	return l.sign(t, nil, nil)
}

// CA is an authority.
type CA struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewCA makes an authority of that name.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	key := newKey(t, false)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.ParseCertificate(signed(t, template, template, key.Public(), key))
	if err != nil {
		t.Fatal(err)
	}
	return &CA{certificate, key}
}

// PEM is the authority's certificate.
func (ca *CA) PEM() []byte { return certificatePEM(ca.certificate.Raw) }

// Pool holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	return pool
}

// Issue makes a certificate for a server, signed by the authority.
func (ca *CA) Issue(t testing.TB, names ...string) (certPEM, keyPEM []byte) {
	t.Helper()
	return Leaf{Names: names}.sign(t, ca.certificate, ca.key)
}

// Sign is Issue for a certificate with wishes.
func (ca *CA) Sign(t testing.TB, l Leaf) (certPEM, keyPEM []byte) {
	t.Helper()
	return l.sign(t, ca.certificate, ca.key)
}

// Write puts a pair into a folder, as NAME.pem and NAME.key, the way certificates are
// renewed: each file under another name first, then renamed.
func Write(t testing.TB, dir, name string, certPEM, keyPEM []byte) (certPath, keyPath string) {
	t.Helper()
	certPath, keyPath = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	WriteFile(t, certPath, certPEM)
	WriteFile(t, keyPath, keyPEM)
	return certPath, keyPath
}

// WriteFile replaces one file as [Write] does. Its mode is 0600.
func WriteFile(t testing.TB, path string, text []byte) {
	t.Helper()
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(hidden, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, path); err != nil {
		t.Fatal(err)
	}
}

// KeyPair is a pair as crypto/tls has it.
func KeyPair(t testing.TB, certPEM, keyPEM []byte) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// Pool makes roots of certificates.
func Pool(t testing.TB, certPEM ...[]byte) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for _, text := range certPEM {
		if !pool.AppendCertsFromPEM(text) {
			t.Fatal("no certificate to trust")
		}
	}
	return pool
}

// sign makes the certificate; without a parent it signs itself.
func (l Leaf) sign(t testing.TB, parent *x509.Certificate, signer crypto.Signer) (certPEM, keyPEM []byte) {
	t.Helper()
	key, template := newKey(t, l.RSA), l.template()
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certificatePEM(signed(t, template, parent, key.Public(), signer)),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (l Leaf) template() *x509.Certificate {
	template := &x509.Certificate{
		Subject:        pkix.Name{CommonName: l.Subject},
		EmailAddresses: l.Emails,
		NotBefore:      l.NotBefore, NotAfter: l.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if l.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().AddDate(0, 0, 90)
	}
	for _, name := range l.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

func newKey(t testing.TB, wantRSA bool) (key crypto.Signer) {
	t.Helper()
	var err error
	if wantRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) []byte {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func certificatePEM(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}
