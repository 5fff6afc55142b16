package ldap

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
	"postern/pop3"
)

const (
	defaultTimeout     = 6 * time.Second
	defaultConnections = 4
	defaultInterval    = time.Minute
	defaultAddress     = "mail"
)

// Options are what a Resolver or a Source is made of.
type Options struct {
	URLs     []string // ldap://, ldaps:// or ldapi://; tried in this order
	StartTLS bool     // on ldap://; a server that can't is not used
	TLS      TLS

	BindDN       string // empty: anonymous
	BindPassword pop3.Secret

	Base   string
	Scope  string // sub, one or base; empty: sub
	Filter string // a Resolver's holds {address}, {local} or {domain}; a Source's may be empty: all with a backend

	Backend string // the attributes' names
	Login   string // empty: none
	State   string // empty: none

	Timeout time.Duration // of a question with all that it needs, failover included; 0: 6 s

	// Of a Resolver only.
	MaxConnections int // 0: 4

	// Of a Source only.
	Address       string        // the attribute with the addresses, each value one; empty: mail
	DefaultDomain string        // for bare names; empty: they stay bare
	Interval      time.Duration // between two searches where the server can't tell of changes; 0: 1 min
	Paged         bool          // search each Interval even where it can
}

// TLS says whom to trust, and as whom to appear. The files are read once.
type TLS struct {
	CA                 string // a PEM file; empty: the system's
	Cert, Key          string // PEM files of a client certificate; empty: none
	ServerName         string // empty: the URL's host
	InsecureSkipVerify bool
}

// config returns the settings of crypto/tls but for the server's name.
func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// search is what is asked for, but for the filter.
type search struct {
	base       string
	scope      int
	attributes attributes
}

func (o Options) search() (search, error) {
	s := search{
		base:       o.Base,
		attributes: attributes{backend: o.Backend, login: o.Login, state: o.State},
	}
	switch o.Scope {
	case "", "sub":
		s.scope = ldap.ScopeWholeSubtree
	case "one":
		s.scope = ldap.ScopeSingleLevel
	case "base":
		s.scope = ldap.ScopeBaseObject
	default:
		return s, fmt.Errorf("scope %.40q: want sub, one or base", o.Scope)
	}
	if o.Backend == "" {
		return s, errors.New("no attribute for the backend")
	}
	if _, err := ldap.ParseDN(o.Base); err != nil {
		return s, fmt.Errorf("base %.160q is no distinguished name", o.Base)
	}
	for _, name := range []string{o.Backend, o.Login, o.State, o.Address} {
		if !isAttribute(name) {
			return s, fmt.Errorf("%.40q is no attribute's name", name)
		}
	}
	return s, nil
}

// isAttribute allows what RFC 4512, section 2.5, allows, and the empty name. Others, such as * for
// all attributes, would be a request for much more than is needed.
func isAttribute(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-;.") == ""
}

// domain returns the canonical default domain.
func (o Options) domain() (string, error) {
	if o.DefaultDomain == "" {
		return "", nil
	}
	domain, err := directory.Domain(o.DefaultDomain)
	if err != nil {
		return "", fmt.Errorf("default domain %q: %w", o.DefaultDomain, err)
	}
	return domain, nil
}

// request asks for the entries that a filter matches, with no more than the attributes that count.
// Aliases are not followed: where they lead, another subtree's owner decides.
func (s search) request(filter string, limit int, controls ...ldap.Control) *ldap.SearchRequest {
	return &ldap.SearchRequest{
		BaseDN: s.base, Scope: s.scope, DerefAliases: ldap.NeverDerefAliases,
		SizeLimit: limit, EnforceSizeLimit: true,
		Filter: filter, Attributes: s.attributes.names(), Controls: controls,
	}
}

func (o Options) timeout() time.Duration { return cmp.Or(o.Timeout, defaultTimeout) }
