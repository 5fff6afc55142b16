package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Access says who may come in by TCP. It is not changed after it was given to a [Server].
type Access struct {
	Tokens []Token
	// Hosts are the names that a Host header may have besides the listening
	// address, without port.
	Hosts []string
}

// check refuses what would leave it open who did something.
func (a *Access) check() error {
	for i, t := range a.Tokens {
		for _, other := range a.Tokens[:i] {
			switch {
			case t.name == other.name:
				return fmt.Errorf("two tokens are called %s", t.name)
			case t.digest == other.digest:
				return fmt.Errorf("tokens %s and %s are the same", other.name, t.name)
			}
		}
	}
	return nil
}

// minToken is how short a secret may be, in octets. Nothing slows guessing down, so
// it has to be hopeless.
const minToken = 16

// Token lets one person or program in. It keeps a digest, so that nothing which prints
// it, and no core file, shows the secret.
type Token struct {
	name   string
	role   Role
	digest [sha256.Size]byte
}

// NewToken makes a token of a secret of at least 16 octets. The name stands in the audit
// log; "socket" is the one who came by the Unix socket.
func NewToken(name string, role Role, secret string) (Token, error) {
	switch {
	case name == "" || name == socketCaller:
		return Token{}, fmt.Errorf("token %q: want another name", name)
	case role < Viewer || role > Operator:
		return Token{}, fmt.Errorf("token %s: it has no role", name)
	case len(secret) < minToken:
		return Token{}, fmt.Errorf("token %s: want at least %d octets", name, minToken)
	}
	return Token{name: name, role: role, digest: sha256.Sum256([]byte(secret))}, nil
}

// caller is who sent a request.
type caller struct {
	name string
	role Role
	from string // the other end of the connection
}

// The names of callers without a token.
const (
	socketCaller = "socket"
	probeCaller  = "probe"
)

// identify finds the token whose secret was presented. It compares digests, so that
// length and content of the secrets don't matter, and looks at every token whatever
// came of those before it: the time tells neither how much was right nor whose it was.
func (a *Access) identify(presented string) (Token, bool) {
	digest := sha256.Sum256([]byte(presented))
	found := -1
	for i := range a.Tokens {
		same := subtle.ConstantTimeCompare(digest[:], a.Tokens[i].digest[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return Token{}, false
	}
	return a.Tokens[found], true
}

// bearer returns the secret that a request presents (RFC 6750, section 2.1).
func bearer(r *http.Request) string {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(secret, " ")
}

var errWrongHost = errors.New("the Host header names another server; admin.hosts takes further names")

// checkHost lets through what was meant for this address. A browser that was tricked into
// resolving a stranger's name to it (DNS rebinding) still sends the stranger's name.
func (a *Access) checkHost(r *http.Request, local netip.AddrPort) error {
	asked := url.URL{Host: r.Host}
	host, port := asked.Hostname(), asked.Port()
	if port == "" { // browsers leave out the usual one
		if port = "80"; r.TLS != nil {
			port = "443"
		}
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && plainAddr(addr) == plainAddr(local.Addr()) && port == strconv.Itoa(int(local.Port())) {
		return nil
	}
	for _, name := range a.Hosts {
		if name != "" && strings.EqualFold(name, host) {
			return nil
		}
	}
	return errWrongHost
}

// plainAddr makes two spellings of one address equal.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
