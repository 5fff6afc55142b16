package backend

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"postern/pop3"
)

// Origin is who a session's client is, for backends that believe the gateway: in
// the PROXY header ahead of the connection, or by XCLIENT ahead of the login. Its
// zero value is the gateway itself, which speaks for no client.
type Origin struct {
	Client netip.AddrPort // invalid: nobody knows
	Local  netip.AddrPort // where the client connected to
	TLS    ClientTLS
	// Session is the gateway's name for the session, for the backend's log.
	Session string
	// TTL is what the proxy before this one allowed, by its XCLIENT; 0: none told.
	TTL int
}

// ClientTLS is the encryption between the client and the gateway.
type ClientTLS struct {
	Version    string // "TLS 1.3"; empty: not encrypted
	Cipher     string
	ServerName string // that the client asked for (SNI)
	CommonName string // of the client's certificate; empty: it showed none
	Verified   bool   // and that certificate was found good
}

// proxies is through how many proxies a session may come, as in Dovecot.
const proxies = 5

// ttl is what the next server is told; 0: this gateway may not pass the session on.
func (o Origin) ttl() int {
	if o.TTL == 0 {
		return proxies - 1
	}
	return max(o.TTL, 1) - 1
}

// The bounds of texts that go to a backend, in octets.
const (
	maxSessionID = 64  // Dovecot passes over a longer one
	maxUniqueID  = 128 // of the PROXY protocol, version 2
	maxTLSText   = 255
)

// appendXCLIENT writes the command as Dovecot's own proxy does. Its values have no
// encoding, so what doesn't fit is left out: an address is written by us, and the
// session's name, which an earlier proxy may have given, has to be one word.
//
// CLIENT-TRANSPORT is of Dovecot 2.4; older ones pass over it.
func (o Origin) appendXCLIENT(dst []byte) []byte {
	dst = append(dst, "XCLIENT"...)
	if o.Client.IsValid() {
		dst = o.Client.Addr().Unmap().WithZone("").AppendTo(append(dst, " ADDR="...))
		if port := o.Client.Port(); port != 0 {
			dst = strconv.AppendUint(append(dst, " PORT="...), uint64(port), 10)
		}
	}
	if isWord(o.Session) {
		dst = append(append(dst, " SESSION="...), o.Session...)
	}
	dst = strconv.AppendInt(append(dst, " TTL="...), int64(o.ttl()), 10)
	if o.TLS.Version != "" {
		dst = append(dst, " CLIENT-TRANSPORT=TLS"...)
	}
	return append(dst, "\r\n"...)
}

func isWord(s string) bool {
	return s != "" && len(s) <= maxSessionID && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// appendHeader writes the PROXY header. Where no client is known, the gateway
// speaks for itself (UNKNOWN, LOCAL), and the backend takes the socket's addresses.
func (o Origin) appendHeader(dst []byte, version ProxyProtocol) ([]byte, error) {
	h := proxyproto.Header{Version: byte(version), Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if o.Client.IsValid() {
		h.Command = proxyproto.PROXY
		h.TransportProtocol, h.SourceAddr, h.DestinationAddr = o.ends()
		if version == ProxyV2 {
			if err := o.setTLVs(&h); err != nil {
				return nil, err
			}
		}
	}
	var b bytes.Buffer
	if _, err := h.WriteTo(&b); err != nil {
		return nil, err
	}
	return append(dst, b.Bytes()...), nil
}

// ends are the two addresses in one family, the client's: backends compare it
// with their own lists, where an IPv4 client in IPv6 form would be another one. So
// a listener's IPv4 address is mapped for an IPv6 client, and its IPv6 address left
// unsaid, 0.0.0.0, for an IPv4 client.
func (o Origin) ends() (family proxyproto.AddressFamilyAndProtocol, source, destination *net.TCPAddr) {
	client, local := o.Client.Addr().Unmap(), o.Local.Addr().Unmap()
	family = proxyproto.TCPv6
	if client.Is4() {
		family = proxyproto.TCPv4
	}
	switch {
	case client.Is4() && !local.Is4():
		local = netip.IPv4Unspecified()
	case !client.Is4() && !local.IsValid():
		local = netip.IPv6Unspecified()
	}
	return family, tcpAddr(client, o.Client.Port()), tcpAddr(local, o.Local.Port())
}

func tcpAddr(a netip.Addr, port uint16) *net.TCPAddr {
	return &net.TCPAddr{IP: a.AsSlice(), Port: int(port)}
}

// setTLVs says what addresses don't: the session's name and the client's TLS, in
// the form of HAProxy, which invented them.
func (o Origin) setTLVs(h *proxyproto.Header) error {
	var tlvs []proxyproto.TLV
	add := func(kind proxyproto.PP2Type, value string) {
		if value != "" {
			tlvs = append(tlvs, proxyproto.TLV{Type: kind, Value: []byte(value)})
		}
	}
	add(proxyproto.PP2_TYPE_AUTHORITY, pop3.Printable(o.TLS.ServerName, maxTLSText))
	add(proxyproto.PP2_TYPE_UNIQUE_ID, o.Session[:min(len(o.Session), maxUniqueID)])
	if o.TLS.Version != "" {
		ssl, err := o.TLS.tlv()
		if err != nil {
			return err
		}
		tlvs = append(tlvs, ssl)
	}
	return h.SetTLVs(tlvs)
}

func (t ClientTLS) tlv() (proxyproto.TLV, error) {
	ssl := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL}
	add := func(kind proxyproto.PP2Type, value string) {
		if value != "" {
			ssl.TLV = append(ssl.TLV, proxyproto.TLV{Type: kind, Value: []byte(value)})
		}
	}
	add(proxyproto.PP2_SUBTYPE_SSL_VERSION, pop3.Printable(strings.Replace(t.Version, "TLS ", "TLSv", 1), maxTLSText))
	if t.CommonName != "" {
		ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_CONN | tlvparse.PP2_BITFIELD_CLIENT_CERT_SESS
		add(proxyproto.PP2_SUBTYPE_SSL_CN, strings.ToValidUTF8(t.CommonName[:min(len(t.CommonName), maxTLSText)], "?"))
		if !t.Verified {
			ssl.Verify = 1
		}
	}
	add(proxyproto.PP2_SUBTYPE_SSL_CIPHER, pop3.Printable(t.Cipher, maxTLSText))
	return ssl.Marshal()
}
