package tls

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// place is where a certificate and its key lie.
type place struct {
	source    int // of the options' list
	cert, key string
	named     bool // by the options; else found in a folder
}

// content is what lay there.
type content struct {
	cert, key []byte
	sum       [sha256.Size]byte
}

// read reads both files.
func (p place) read() (content, error) {
	cert, err := readPublic(p.cert)
	if err != nil {
		return content{}, err
	}
	key, err := readSecret(p.key)
	if err != nil {
		return content{}, err
	}
	sum := sha256.New()
	for _, text := range [][]byte{cert, key} {
		part := sha256.Sum256(text)
		sum.Write(part[:])
	}
	c := content{cert: cert, key: key}
	sum.Sum(c.sum[:0])
	return c, nil
}

// parse makes the pair of it. The standard library's texts are static but for the types
// of PEM blocks, hence cut.
func (p place) parse(c content) (*tls.Certificate, error) {
	if err := wholePEM(c.cert); err != nil {
		return nil, fmt.Errorf("reading %s: %w", p.cert, err)
	}
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil && bytes.Contains(c.key, []byte("ENCRYPTED")) {
		return nil, fmt.Errorf("reading %s: the key is encrypted, and nobody is here to type its passphrase", p.key)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.cert, p.key, errors.New(printable(err.Error())))
	}
	return &pair, nil
}

// validity says what speaks against a certificate at a time; nil: nothing.
func validity(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it expired on %s", leaf.NotAfter.UTC().Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s", leaf.NotBefore.UTC().Format(time.DateTime))
	}
	return nil
}
