package tls

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
)

// maxNames bounds how many of a client certificate's names are told.
const maxNames = 8

// State is what records, metrics and the status say of a connection's TLS. Texts
// of the client's are printable ASCII of at most 256 octets.
type State struct {
	Version       string // 1.2, 1.3: as min_version spells it
	CipherSuite   string
	KeyExchange   string // as curves spells it; empty: a version below 1.3 without one
	ServerName    string // that the client asked for; empty: it asked for none
	ClientSubject string // of its verified certificate; empty: it gave none
	ClientCommon  string // the common name in that
	ClientNames   string // of the same: mail addresses, hosts, URIs; by comma
	Resumed       bool
}

// StateOf reads the facts off a connection whose handshake is complete.
func StateOf(c tls.ConnectionState) State {
	s := State{
		Version:     versionName(c.Version),
		CipherSuite: tls.CipherSuiteName(c.CipherSuite),
		KeyExchange: curveName(c.CurveID),
		ServerName:  printable(c.ServerName),
		Resumed:     c.DidResume,
	}
	if len(c.VerifiedChains) > 0 && len(c.PeerCertificates) > 0 {
		leaf := c.PeerCertificates[0]
		s.ClientSubject = printable(leaf.Subject.String())
		s.ClientCommon = printable(leaf.Subject.CommonName)
		s.ClientNames = clientNames(leaf)
	}
	return s
}

func clientNames(leaf *x509.Certificate) string {
	all := append(leaf.EmailAddresses[:len(leaf.EmailAddresses):len(leaf.EmailAddresses)], leaf.DNSNames...)
	for _, u := range leaf.URIs {
		all = append(all, u.String())
	}
	return printable(strings.Join(all[:min(len(all), maxNames)], ","))
}
