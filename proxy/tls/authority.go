package tls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// authority is whose client certificates are believed.
type authority struct {
	pool *x509.CertPool
	id   string // the same for the same certificates, in whatever order
}

func readAuthority(path string) (*authority, error) {
	text, err := readPublic(path)
	if err != nil {
		return nil, err
	}
	a, err := parseAuthority(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return a, nil
}

func parseAuthority(text []byte) (*authority, error) {
	if err := wholePEM(text); err != nil {
		return nil, err
	}
	a := &authority{pool: x509.NewCertPool()}
	var sums [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(sums)+1, errors.New(printable(err.Error())))
		}
		a.pool.AddCert(c)
		sum := sha256.Sum256(c.Raw)
		sums = append(sums, sum[:])
	}
	if sums == nil {
		return nil, errors.New("there is no certificate in it")
	}
	slices.SortFunc(sums, bytes.Compare)
	id := sha256.Sum256(slices.Concat(slices.CompactFunc(sums, bytes.Equal)...))
	a.id = hex.EncodeToString(id[:])
	return a, nil
}
