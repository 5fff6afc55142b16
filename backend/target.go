package backend

import (
	"fmt"
	"net/netip"
	"slices"

	"postern/pop3"
)

// LoginForm says which form of a mailbox's name a backend gets as its user name.
type LoginForm uint8

// The forms a configuration may name under `login`.
const (
	LoginMailbox LoginForm = iota // the canonical address, alice@example.com
	LoginLocal                    // its local part, alice
	LoginTyped                    // what the client typed, to the octet
)

var loginForms = [...]string{LoginMailbox: "mailbox", LoginLocal: "local", LoginTyped: "typed"}

// String returns the form's name as the configuration spells it.
func (f LoginForm) String() string { return word(loginForms[:], uint8(f)) }

// ParseLoginForm reads a form's name as the configuration spells it.
func ParseLoginForm(s string) (LoginForm, error) {
	if i := slices.Index(loginForms[:], s); i >= 0 {
		return LoginForm(i), nil
	}
	return 0, fmt.Errorf("login form %q: want mailbox, local or typed", s)
}

// ProxyProtocol says in which version of the PROXY protocol a backend is told who
// the client is, before anything else is said.
type ProxyProtocol uint8

// The versions a configuration may name under `proxy_protocol`.
const (
	ProxyNone ProxyProtocol = iota
	ProxyV1
	ProxyV2
)

var proxyProtocols = [...]string{ProxyNone: "none", ProxyV1: "v1", ProxyV2: "v2"}

// String returns the version as the configuration spells it.
func (p ProxyProtocol) String() string { return word(proxyProtocols[:], uint8(p)) }

// ParseProxyProtocol reads a version as the configuration spells it.
func ParseProxyProtocol(s string) (ProxyProtocol, error) {
	if i := slices.Index(proxyProtocols[:], s); i >= 0 {
		return ProxyProtocol(i), nil
	}
	return 0, fmt.Errorf("proxy protocol %q: want none, v1 or v2", s)
}

// Target is what is known of a backend before anybody connects to it. It is a
// plain value: built once from configuration, never changed afterwards, because
// the directory hands the same slices to many sessions.
type Target struct {
	Name      string    // unique, as in logs and metrics
	Addresses []string  // HOST:PORT, several ways to one machine, tried in order; never empty
	Aliases   []string  // further names that a directory may use
	Login     LoginForm // what the backend gets as user name where the directory says nothing

	// Capabilities are what the backend offers, where an operator knows better than
	// the backend's CAPA: it has none but more than TOP and UIDL, or lists what
	// doesn't work, such as an AUTH PLAIN behind which no password is accepted. Nil:
	// the backend is asked. Not changed afterwards.
	Capabilities *pop3.Capabilities

	// How its connection is made and what the backend is told of the client.
	TLS           *TLS // made by NewTLS for this target alone; nil: plain text
	ProxyProtocol ProxyProtocol
	XCLIENT       bool       // it takes Dovecot's XCLIENT from this gateway
	Source        netip.Addr // the address to connect from; invalid: the kernel's choice

	// How much it takes. 0 means no limit, and for the weight 1.
	Weight      int // its share where mailboxes are spread
	MaxSessions int // at once, logged in
	MaxLogins   int // at once, in progress

	// Declared says that an operator named it, in the configuration or in a key that
	// only an operator changes: mailboxes may be spread over such backends only.
	Declared bool
	// Visitor says that nobody named it but a directory's entry, by an address that may be one: no list of
	// backends has it, and it is none the less to be let in.
	Visitor bool
	// Ports are those of the guest's further services, such as "imap", for those who
	// ask the directory on behalf of another proxy.
	Ports map[string]uint16
}

// sameWay tells whether two targets are reached in the same way, so that what one
// offered is what the other offers.
func (t Target) sameWay(o Target) bool {
	return slices.Equal(t.Addresses, o.Addresses) && t.TLS.Mode() == o.TLS.Mode() && t.ProxyProtocol == o.ProxyProtocol
}

// Entry is what a login into this backend is made from. The offer is what the
// Learner knows of it; its zero value, nothing known, is the way into any server.
func (t Target) Entry(user string, c pop3.Credentials, offer pop3.Capabilities, origin Origin) Entry {
	return Entry{
		User:        user,
		Credentials: c,
		AuthPlain:   slices.Contains(offer.SASL, pop3.PLAIN),
		Pipelining:  offer.Pipelining,
		STLS:        t.TLS.Mode() == TLSByCommand,
		XCLIENT:     t.XCLIENT,
		Origin:      origin,
	}
}
