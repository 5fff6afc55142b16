package tls

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"
)

// maxName is the longest a host name can be, in octets (RFC 1035, section 2.3.4).
const maxName = 253

// table is which certificate goes with which name. It is never changed, so that
// a handshake needs no lock; and it doesn't remember what clients ask for.
type table struct {
	exact    map[string][]*tls.Certificate
	wild     map[string][]*tls.Certificate // by what follows "*."
	fallback []*tls.Certificate            // never empty
	infos    []Info
}

// newTable takes certificates in their order: the first is the default, and of several
// for one name the earlier is preferred.
func newTable(certificates []*tls.Certificate) *table {
	t := &table{exact: map[string][]*tls.Certificate{}, wild: map[string][]*tls.Certificate{}}
	for _, c := range certificates {
		for _, name := range c.Leaf.DNSNames {
			byName, name := t.row(name)
			if !slices.Contains(byName[name], c) {
				byName[name] = append(byName[name], c)
			}
		}
	}
	t.fallback = t.alternatives(certificates[0])
	return t
}

// row is where a certificate's name stands.
func (t *table) row(name string) (byName map[string][]*tls.Certificate, key string) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if parent, ok := strings.CutPrefix(name, "*."); ok {
		return t.wild, parent
	}
	return t.exact, name
}

// alternatives are a certificate and those behind it for the same name: an RSA
// certificate beside an ECDSA one, for clients that know only the former.
func (t *table) alternatives(first *tls.Certificate) []*tls.Certificate {
	if names := first.Leaf.DNSNames; len(names) > 0 {
		byName, name := t.row(names[0])
		return byName[name]
	}
	return []*tls.Certificate{first}
}

// choose answers a client. One that asks for no name, or for one nobody has, gets the
// default: old mail clients send none, and others connect to an alias. Whether
// the name will do is the client's to decide.
func (t *table) choose(hello *tls.ClientHelloInfo, now time.Time) *tls.Certificate {
	return suitable(t.candidates(hello.ServerName), hello, now)
}

func (t *table) candidates(name string) []*tls.Certificate {
	if name == "" || len(name) > maxName {
		return t.fallback
	}
	name = strings.ToLower(name)
	if found := t.exact[name]; found != nil {
		return found
	}
	if label, parent, ok := strings.Cut(name, "."); ok && label != "" { // a star stands for one label (RFC 6125)
		if found := t.wild[parent]; found != nil {
			return found
		}
	}
	return t.fallback
}

// suitable picks the first that the client can use and that is valid now; failing
// that, that it can use at all; failing that, the first, for the alert that says why.
func suitable(candidates []*tls.Certificate, hello *tls.ClientHelloInfo, now time.Time) *tls.Certificate {
	if len(candidates) == 1 {
		return candidates[0]
	}
	nameless := *hello // the default need not fit the name
	nameless.ServerName = ""
	var usable *tls.Certificate
	for _, c := range candidates {
		switch {
		case nameless.SupportsCertificate(c) != nil:
		case validity(c.Leaf, now) == nil:
			return c
		case usable == nil:
			usable = c
		}
	}
	if usable != nil {
		return usable
	}
	return candidates[0]
}
