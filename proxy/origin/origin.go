package origin

import (
	"net/netip"

	"postern/pop3"
)

// Origin is what a PROXY header says of a connection.
type Origin struct {
	// Client and Server are the two ends of the connection that the peer took; an IPv4
	// address is never in its IPv6 form. Both are invalid where the header names no
	// address (Local, and version 1's UNKNOWN): the socket's own ends hold then.
	Client, Server netip.AddrPort

	// Local says that the peer speaks for itself, as its health checks do
	// (version 2's LOCAL), and for no client.
	Local bool

	// TLS is nil unless the client's connection to the peer was encrypted. Only
	// version 2 can tell.
	TLS *TLS

	ServerName string // the name the client asked for (SNI)
	ALPN       string // the protocol that both agreed on
	UniqueID   string // the peer's own name for the connection
}

// TLS is what the peer says of the client's encryption. Its texts, like all those
// of an Origin, are cut to a bound and have a question mark for each octet that a
// log can't show: they are for records, never to be compared with anything.
type TLS struct {
	Version, Cipher string // as the peer writes them, such as "TLSv1.3"
	ClientCN        string // of the client's certificate; empty without one
	Verified        bool   // there is a client's certificate, and the peer found it good
}

// maxText holds every name that a DNS or a TLS message can carry.
const maxText = 255

func text(value string) string { return pop3.Printable(value, maxText) }
