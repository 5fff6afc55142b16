package tls

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// versions are the protocol's, as configurations and records spell them.
var versions = map[string]uint16{
	"1.0": tls.VersionTLS10,
	"1.1": tls.VersionTLS11,
	"1.2": tls.VersionTLS12,
	"1.3": tls.VersionTLS13,
}

const defaultVersion = "1.2"

// groups are the key exchanges, as configurations and records spell them.
var groups = map[string]tls.CurveID{
	"X25519MLKEM768":     tls.X25519MLKEM768,
	"SecP256r1MLKEM768":  tls.SecP256r1MLKEM768,
	"SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
	"X25519":             tls.X25519,
	"P-256":              tls.CurveP256,
	"P-384":              tls.CurveP384,
	"P-521":              tls.CurveP521,
}

// classical are those that TLS 1.2 knows.
var classical = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// modernSuites are those of TLS 1.2: forward secrecy and authenticated encryption. Those of
// TLS 1.3 can't be chosen and needn't be.
var modernSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// oldSuites are what versions below 1.2 need besides. Without forward secrecy is still nothing.
var oldSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// policy is what of a handshake is the same for all clients of a listener.
type policy struct {
	version   uint16
	curves    []tls.CurveID // nil: Go's own
	protocols []string
}

func newPolicy(o Options, l ListenerOptions) (p policy, faults Faults) {
	var err error
	if p.version, err = parseVersion(o.MinVersion, l.MinVersion); err != nil {
		faults = append(faults, Fault{l.Name, "min_version", err})
	}
	if p.curves, err = parseCurves(o.Curves); err != nil {
		faults = append(faults, Fault{"", "curves", err})
	} else if p.version < tls.VersionTLS13 && p.curves != nil &&
		!slices.ContainsFunc(p.curves, func(c tls.CurveID) bool { return slices.Contains(classical, c) }) {
		err = errors.New("none of these is for TLS 1.2: want X25519, P-256, P-384 or P-521 too, or a min_version of 1.3")
		faults = append(faults, Fault{"", "curves", err})
	}
	p.protocols = l.Protocols
	if p.protocols == nil {
		p.protocols = []string{protocol}
	}
	return p, faults
}

// parseVersion takes a listener's own version before the one for all. Only a listener's
// own may be below 1.2 (RFC 8996 forbids those): a door for what is too old
// has an address of its own.
func parseVersion(forAll, own string) (uint16, error) {
	version, ok := versions[cmp.Or(own, forAll, defaultVersion)]
	if !ok {
		return 0, fmt.Errorf("want 1.0, 1.1, 1.2 or 1.3, not %q", printable(cmp.Or(own, forAll)))
	}
	if own == "" && version < tls.VersionTLS12 {
		return 0, errors.New("want 1.2 or 1.3; what is below can be set for one listener only")
	}
	return version, nil
}

func parseCurves(names []string) (curves []tls.CurveID, err error) {
	for _, name := range names {
		curve, ok := groups[name]
		if !ok {
			return nil, fmt.Errorf("want some of X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, X25519, P-256, P-384, P-521, not %q",
				printable(name))
		}
		curves = append(curves, curve)
	}
	return curves, nil
}

// isOld tells whether the policy lets in what RFC 8996 forbids.
func (p policy) isOld() bool { return p.version < tls.VersionTLS12 }

// config turns the policy into a configuration. The list of protocols makes crypto/tls refuse
// a client that offers others only (ALPACA: a browser that was sent here with a
// request for somebody else), and serve one that offers none.
func (p policy) config() *tls.Config {
	suites := modernSuites
	if p.isOld() {
		suites = slices.Concat(modernSuites, oldSuites)
	}
	return &tls.Config{
		MinVersion:       p.version,
		CipherSuites:     suites,
		CurvePreferences: p.curves,
		NextProtos:       p.protocols,
	}
}

// versionName spells a version as min_version does.
func versionName(version uint16) string {
	for name, v := range versions {
		if v == version {
			return name
		}
	}
	return strings.TrimPrefix(tls.VersionName(version), "TLS ")
}

func curveName(curve tls.CurveID) string {
	for name, c := range groups {
		if c == curve {
			return name
		}
	}
	if curve == 0 {
		return "" // a key exchange without one
	}
	return curve.String()
}
