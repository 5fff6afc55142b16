package configs

import (
	"errors"
	"fmt"
)

// TLS says how clients are met with TLS, on every listener that says nothing else.
type TLS struct {
	// Certificates are chosen by the name that a client asks for (SNI); the first
	// is for clients that ask for none, or for one that is not here. None at all:
	// no STLS.
	Certificates []Certificate    `yaml:"certificates"`
	MinVersion   ModernTLSVersion `yaml:"min_version" default:"1.2"`
	// Curves are the key exchanges that are taken; which is preferred is for Go to
	// choose. Empty: all of Go's.
	Curves []Curve `yaml:"curves"`
	// TicketKeys is a file that gateways share, so that a client resumes on any of
	// them. Empty: each gateway makes keys of its own.
	TicketKeys Path `yaml:"ticket_keys,optional"`
}

// Certificate is one pair, or a folder of pairs: NAME.pem with NAME.key. It is
// either Cert and Key, or Dir alone.
type Certificate struct {
	Cert Path `yaml:"cert,optional"`
	Key  Path `yaml:"key,optional"`
	Dir  Path `yaml:"dir,optional"`
}

// CertificatesFor returns what clients of l are shown: its own certificates, or
// else those of the section tls. None: no TLS there.
func (c *Config) CertificatesFor(l Listener) []Certificate {
	if len(l.Certificates) > 0 {
		return l.Certificates
	}
	return c.TLS.Certificates
}

// MinVersionFor returns the oldest version of TLS that clients of l may speak.
func (c *Config) MinVersionFor(l Listener) TLSVersion {
	if l.MinVersion != "" {
		return l.MinVersion
	}
	return TLSVersion(c.TLS.MinVersion)
}

// ListenerTLS says when TLS begins on a listener.
type ListenerTLS string

// ListenerImplicit begins with the first octet (RFC 8314, section 3.3).
const ListenerImplicit ListenerTLS = "implicit"

func (ListenerTLS) choices() []string { return words(ListenerImplicit) }

// ClientAuth says whether a client must have a certificate.
type ClientAuth string

// The choices of a listener's client_auth: a certificate is asked for, and checked
// if there is one; or nobody gets in without.
const (
	ClientAuthOffer   ClientAuth = "offer"
	ClientAuthRequire ClientAuth = "require"
)

func (ClientAuth) choices() []string { return words(ClientAuthOffer, ClientAuthRequire) }

// TLSVersion is a version of TLS, for a listener.
type TLSVersion string

// The choices of a listener's min_version. RFC 8996 deprecates the first two.
const (
	TLS10 TLSVersion = "1.0"
	TLS11 TLSVersion = "1.1"
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

func (TLSVersion) choices() []string { return words(TLS10, TLS11, TLS12, TLS13) }

// ModernTLSVersion is a version of TLS without known weakness, for all listeners.
type ModernTLSVersion string

// UnmarshalText takes 1.2 and 1.3. That old clients must not weaken everybody else
// is said here, because whoever writes 1.0 has such clients.
func (v *ModernTLSVersion) UnmarshalText(text []byte) error {
	switch TLSVersion(text) {
	case TLS12, TLS13:
		*v = ModernTLSVersion(text)
		return nil
	case TLS10, TLS11:
		return errors.New("want 1.2 or 1.3; older ones only on a listener of its own, by the key min_version there")
	}
	return errors.New("want 1.2 or 1.3")
}

// Curve is a key exchange of TLS.
type Curve string

// The choices of tls.curves. The first is the hybrid post-quantum one, which is
// for TLS 1.3 only.
const (
	CurveX25519MLKEM768 Curve = "X25519MLKEM768"
	CurveX25519         Curve = "X25519"
	CurveP256           Curve = "P-256"
	CurveP384           Curve = "P-384"
	CurveP521           Curve = "P-521"
)

func (Curve) choices() []string {
	return words(CurveX25519MLKEM768, CurveX25519, CurveP256, CurveP384, CurveP521)
}

// checkTLS holds certificates against those who need them.
func checkTLS(c *Config, r *report) {
	checkCertificates(c.TLS.Certificates, "tls.certificates", r)
	seen := claims{}
	for i, curve := range c.TLS.Curves {
		seen.once(string(curve), fmt.Sprintf("tls.curves[%d]", i), r)
	}
	for i, l := range c.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		checkCertificates(l.Certificates, path+".certificates", r)
		if len(c.CertificatesFor(l)) == 0 && !r.hasFault("tls.certificates") && !r.hasFault(path+".certificates") {
			checkWithoutTLS(l, path, r)
		}
		if l.ClientAuth == ClientAuthRequire && l.ClientCA == "" && !r.hasFault(path+".client_ca") {
			r.fault(path+".client_auth", `client_auth: "require": want client_ca too, the authorities to believe`)
		}
	}
}

// checkWithoutTLS finds what a listener without certificates can't have.
func checkWithoutTLS(l Listener, path string, r *report) {
	if l.TLS != "" {
		r.fault(path+".tls", "tls: "+r.text(path+".tls")+": want certificates too, in this listener or in the section tls")
	}
	if l.ClientCA != "" {
		r.fault(path+".client_ca", "client_ca: "+r.text(path+".client_ca")+": want certificates too, in this listener or in the section tls")
	}
}

// checkCertificates: each entry is a pair or a folder.
func checkCertificates(list []Certificate, path string, r *report) {
	for i, c := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		isPair := c.Cert != "" && c.Key != "" && c.Dir == ""
		isFolder := c.Cert == "" && c.Key == "" && c.Dir != ""
		refused := r.hasFault(at+".cert") || r.hasFault(at+".key") || r.hasFault(at+".dir")
		if !isPair && !isFolder && !refused {
			r.fault(at, "certificates: want cert and key, or dir alone, in each entry")
		}
	}
}
