package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"postern/pop3"
)

// MaxXCLIENTLine is how long the command may be, in octets, line end included. It
// is longer than other commands may be (pop3.MaxCommandLine), because Dovecot adds fields
// of its own, FORWARD above all.
const MaxXCLIENTLine = 2048

// maxSession is Dovecot's own bound for the id of a session.
const maxSession = 64

// ErrLoop says that the session has come through too many proxies: two of them
// may each believe that the other one owns the mailbox.
var ErrLoop = errors.New("proxies loop")

var (
	errLength = errors.New("too long")
	errValue  = errors.New("bad value")
)

// XClient is what a trusted proxy says of the client it speaks for.
type XClient struct {
	Client    netip.AddrPort // not valid: it didn't say; port 0: it didn't say which
	Session   string         // the proxy's id of the session, at most 64 printable octets
	TTL       int            // 1 or more, with HasTTL; the next server gets one less
	HasTTL    bool
	Encrypted bool // the client's connection to the proxy is; from Dovecot 2.4 on
}

// ParseXCLIENT reads the argument of Dovecot's XCLIENT command, such as
//
//	ADDR=192.0.2.1 PORT=1234 SESSION=pX3H5Gzz TTL=4
//
// Keys are taken in any case, values have no encoding, and words that aren't known are
// passed over, as Dovecot does (pop3-login, cmd_xclient); of a key that comes twice the
// last one holds. An error means that nothing of the command holds, ErrLoop
// that the login must not go on.
//
// Dovecot says "+OK Updated" to a peer that it trusts, "-ERR Invalid parameters" to one
// that sends a bad value, and "+OK You are not from trusted IP - ignoring" to all
// others. It sends the command itself only to a server whose greeting
// begins with "+OK [XCLIENT] ", and USER or AUTH behind it without waiting.
func ParseXCLIENT(arg []byte) (XClient, error) {
	if len(arg) > MaxXCLIENTLine {
		return XClient{}, fmt.Errorf("XCLIENT: %w", errLength)
	}
	var x XClient
	for word := range strings.SplitSeq(string(arg), " ") {
		key, value, _ := strings.Cut(word, "=")
		if err := x.set(strings.ToUpper(key), value); err != nil {
			return XClient{}, fmt.Errorf("XCLIENT %q: %w", pop3.Printable(word, maxText), err)
		}
	}
	if !x.Client.Addr().IsValid() {
		x.Client = netip.AddrPort{} // a port of nobody
	}
	return x, nil
}

func (x *XClient) set(key, value string) (err error) {
	switch key {
	case "ADDR":
		var address netip.Addr
		address, err = parseAddress(value)
		x.Client = netip.AddrPortFrom(address, x.Client.Port())
	case "PORT":
		var port uint16
		port, err = parsePort(value)
		x.Client = netip.AddrPortFrom(x.Client.Addr(), port)
	case "SESSION":
		err = x.setSession(value)
	case "TTL":
		x.TTL, err = parseTTL(value)
		x.HasTTL = true
	case "CLIENT-TRANSPORT":
		x.Encrypted = strings.HasPrefix(value, "TLS")
	}
	return err
}

// parseAddress takes IPv6 in brackets too, as Dovecot does. An address with a
// zone is nobody's outside the machine that wrote it.
func parseAddress(value string) (netip.Addr, error) {
	if n := len(value); n > 2 && value[0] == '[' && value[n-1] == ']' && strings.Contains(value, ":") {
		value = value[1 : n-1]
	}
	address, err := netip.ParseAddr(value)
	if err != nil || address.Zone() != "" {
		return netip.Addr{}, errValue
	}
	return address.Unmap(), nil
}

func parsePort(value string) (uint16, error) {
	port, err := strconv.ParseUint(value, 10, 16) // refuses signs
	if err != nil || port == 0 {
		return 0, errValue
	}
	return uint16(port), nil
}

// setSession passes over an id that is too long, as Dovecot does: the session has
// one of its own.
func (x *XClient) setSession(value string) error {
	if len(value) > maxSession {
		return nil
	}
	if pop3.Printable(value, maxSession) != value {
		return errValue
	}
	x.Session = value
	return nil
}

// parseTTL refuses 0, which Dovecot takes as long as it has not to go to a further
// server for that session. Who calls always has.
func parseTTL(value string) (int, error) {
	number, negative := strings.CutPrefix(value, "-")
	ttl, err := strconv.ParseUint(number, 10, 31)
	switch {
	case err != nil:
		return 0, errValue
	case negative || ttl == 0:
		return 0, ErrLoop
	}
	return int(ttl), nil
}
