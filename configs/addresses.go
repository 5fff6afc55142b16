package configs

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// pop3Port is where a POP3 server listens, RFC 1939 section 3.
const pop3Port = "110"

// ListenAddress is HOST:PORT for a listener. An empty host means every address;
// port 0 lets the system choose.
type ListenAddress string

// UnmarshalText takes what net.Listen can bind.
func (a *ListenAddress) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	if err != nil || !isPort(port) || host != "" && !isHost(host) {
		return errors.New(`want HOST:PORT such as 127.0.0.1:110, "[::]:110" or :110`)
	}
	*a = ListenAddress(text)
	return nil
}

// canonical returns one spelling for all that mean the same address.
func (a ListenAddress) canonical() string {
	host, port, _ := net.SplitHostPort(string(a))
	if host == "" {
		host = "::"
	}
	return joinHostPort(host, port)
}

// anyPort reports whether the system chooses the port.
func (a ListenAddress) anyPort() bool {
	_, port, _ := net.SplitHostPort(string(a))
	n, _ := strconv.Atoi(port)
	return n == 0
}

// BackendAddress is HOST:PORT of a backend in its canonical spelling: lower case,
// IPv6 in brackets, always with a port.
type BackendAddress string

// UnmarshalText takes HOST:PORT, HOST, [IPV6]:PORT, [IPV6] and IPV6; without a
// port it is 110.
func (a *BackendAddress) UnmarshalText(text []byte) error {
	host, port := splitBackend(string(text))
	if !isHost(host) || !isPort(port) || strings.Trim(port, "0") == "" {
		return errors.New(`want HOST:PORT such as 192.0.2.7:110 or "[2001:db8::7]:110"; without :PORT it is 110`)
	}
	*a = BackendAddress(joinHostPort(host, port))
	return nil
}

func splitBackend(text string) (host, port string) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, pop3Port
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		return strings.TrimSuffix(inner, "]"), pop3Port
	}
	if !strings.Contains(text, ":") {
		return text, pop3Port
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", ""
	}
	return host, port
}

// joinHostPort writes host and port, which were checked, in one canonical form.
func joinHostPort(host, port string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(strings.ToLower(host), strconv.Itoa(n))
}

func isPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// isHost reports whether host is an IP address or looks like a host's name. Where
// the last label is a number it is a mistyped IPv4 address, since no top-level
// domain is one (RFC 3696, section 2).
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, isNoHost) {
			return false
		}
	}
	_, err := strconv.ParseUint(labels[len(labels)-1], 10, 64)
	return err != nil && len(host) <= 254
}

func isNoHost(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && (r < '0' || r > '9') && r != '-' && r != '_'
}

// parsePrefix takes a network or a single address. Host bits are cleared. An
// IPv4-mapped one becomes IPv4, since that is how a client's address is compared.
func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		prefix, err = parseSingle(text)
	}
	if addr := prefix.Addr(); err == nil && addr.Is4In6() {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	if err != nil || !prefix.IsValid() {
		return netip.Prefix{}, errors.New(`want a network such as 192.0.2.0/24 or "2001:db8::/32", or one address`)
	}
	return prefix.Masked(), nil
}

// parseSingle takes an address without a zone: a prefix can't have one.
func parseSingle(text string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, errors.New("no address without a zone")
	}
	return addr.Prefix(addr.BitLen())
}
