package backend

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"postern/pop3"
)

// TLSMode says when a connection to a backend is encrypted.
type TLSMode uint8

// The modes a configuration may name under a backend's `tls`.
const (
	TLSNone      TLSMode = iota
	TLSByCommand         // behind the greeting, by STLS
	TLSImplicit          // from the first octet
)

var tlsModes = [...]string{TLSNone: "none", TLSByCommand: "stls", TLSImplicit: "implicit"}

// String returns the mode as the configuration spells it.
func (m TLSMode) String() string { return word(tlsModes[:], uint8(m)) }

// ParseTLSMode reads a mode as the configuration spells it.
func ParseTLSMode(s string) (TLSMode, error) {
	if i := slices.Index(tlsModes[:], s); i >= 0 {
		return TLSMode(i), nil
	}
	return 0, fmt.Errorf("tls %q: want none, stls or implicit", s)
}

// Pin is the SHA-256 of a certificate's public key (SubjectPublicKeyInfo).
type Pin [sha256.Size]byte

// TLSOptions are what an operator says of a backend's TLS.
type TLSOptions struct {
	Mode TLSMode
	// Roots are who may sign the backend's certificate. Nil: whom the system trusts.
	Roots *x509.CertPool
	// ServerName is the name the certificate has to be for, and the SNI. Empty: the
	// host of any of the backend's addresses, since all lead to one machine; an
	// IP address has to be in the certificate as such.
	ServerName string
	// InsecureSkipVerify believes any certificate, or with Pins the one whose own
	// key is pinned.
	InsecureSkipVerify bool
	// Pins narrow whom to believe: one key of the verified chain has to be among
	// them. They come on top of the verification, and replace it only together
	// with InsecureSkipVerify.
	Pins       []Pin
	MinVersion uint16 // 0: TLS 1.2; lower for guests of old
}

// ticketsKept is how many sessions a backend can give us to resume. All
// connections to it share one name and so one ticket, the newest.
const ticketsKept = 4

// TLS is one backend's TLS, ready for use. It is shared by all connections to
// it, since its sessions are resumed by the next. It is safe for concurrent use.
type TLS struct {
	options TLSOptions
	hosts   []string // the names a certificate may be for
	config  *tls.Config
}

// NewTLS prepares TLS for the backend at these addresses, HOST:PORT each.
func NewTLS(o TLSOptions, addresses []string) *TLS {
	t := &TLS{options: o}
	if o.ServerName != "" {
		t.hosts = []string{o.ServerName}
	} else {
		for _, address := range addresses {
			if host, _, err := net.SplitHostPort(address); err == nil {
				t.hosts = append(t.hosts, host)
			}
		}
	}
	t.config = &tls.Config{
		ServerName:         t.sni(),
		MinVersion:         cmp.Or(o.MinVersion, tls.VersionTLS12),
		ClientSessionCache: tls.NewLRUClientSessionCache(ticketsKept),
		// verify does it: any of several names may be the one, and what a resumed
		// session goes back to is judged by today's clock and roots.
		InsecureSkipVerify: true,
		VerifyConnection:   t.verify,
	}
	return t
}

// Mode tells when TLS begins; without a TLS, never.
func (t *TLS) Mode() TLSMode {
	if t == nil {
		return TLSNone
	}
	return t.options.Mode
}

// sni is the first host that is a name, for crypto/tls sends no address.
func (t *TLS) sni() string {
	for _, host := range t.hosts {
		if _, err := netip.ParseAddr(host); err != nil {
			return host
		}
	}
	if len(t.hosts) > 0 {
		return t.hosts[0] // the key of the sessions to be resumed
	}
	return ""
}

var (
	errNoCertificate = errors.New("the backend showed no certificate")
	errPin           = errors.New("the backend's key is not among the pinned ones")
	errNoName        = errors.New("no name to compare the certificate with")
	errNoTLS         = errors.New("the backend has no TLS configured")
)

// verify judges whom we are talking to, at each handshake, a resumed one too.
func (t *TLS) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	leaf := state.PeerCertificates[0]
	if t.options.InsecureSkipVerify {
		// Nothing but the leaf proves that the peer holds its key: everybody can
		// put a pinned certificate behind one of his own.
		return t.pinned([][]*x509.Certificate{{leaf}})
	}
	between := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: t.options.Roots, Intermediates: between})
	if err != nil {
		return told{err}
	}
	if err := t.named(leaf); err != nil {
		return told{err}
	}
	return t.pinned(chains)
}

func (t *TLS) named(leaf *x509.Certificate) error {
	err := errNoName
	for i, host := range t.hosts {
		fault := leaf.VerifyHostname(host)
		if fault == nil {
			return nil
		}
		if i == 0 {
			err = fault
		}
	}
	return err
}

func (t *TLS) pinned(chains [][]*x509.Certificate) error {
	if len(t.options.Pins) == 0 {
		return nil
	}
	for _, chain := range chains {
		for _, certificate := range chain {
			if slices.Contains(t.options.Pins, PinOf(certificate)) {
				return nil
			}
		}
	}
	return errPin
}

// PinOf is the pin that a certificate has.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// told is an error whose text repeats names out of a peer's certificate: for a log
// it is made printable and cut.
type told struct{ err error }

func (e told) Error() string { return pop3.Printable(e.err.Error(), maxText) }
func (e told) Unwrap() error { return e.err }

// Handshake makes an encrypted connection of a plain one, by the target's rules and
// within the context's time. The plain connection stays the caller's to close if
// there is an error, which is an *Error of the step Secure.
func Handshake(ctx context.Context, plain net.Conn, t Target) (*tls.Conn, error) {
	if t.TLS == nil {
		return nil, &Error{Kind: Unsecured, Step: Secure, Err: errNoTLS}
	}
	_ = plain.SetDeadline(time.Time{}) // of the step before; the context has the time now
	conn := tls.Client(plain, t.TLS.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, &Error{Kind: secureKind(ctx, err), Step: Secure, Err: err}
	}
	return conn, nil
}

// secureKind sorts a failed handshake. A connection that broke says nothing about
// TLS: the backend may be going down.
func secureKind(ctx context.Context, err error) Kind {
	_, broken := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Canceled
	case ctx.Err() != nil || isTimeout(err):
		return TimedOut
	case broken || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed):
		return Closed
	}
	return Unsecured
}
