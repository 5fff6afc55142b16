package proxy

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3/pop3test"
)

const (
	theProxy    = "10.0.0.5"
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
)

func everywhere() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}

func only(addr string) []netip.Prefix {
	a := netip.MustParseAddr(addr)
	return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
}

// headerFor is a header of version 1.
func headerFor(client string) string {
	return "PROXY TCP4 " + client + " 192.0.2.9 1234 110\r\n"
}

// headerV2 is one of version 2, for an IPv4 client.
func headerV2(command byte, client, tlvs string) string {
	a, server := netip.MustParseAddr(client).As4(), [4]byte{192, 0, 2, 9}
	block := string(a[:]) + string(server[:]) + "\x04\xd2\x00\x6e" + tlvs
	return signatureV2 + string([]byte{command, 0x11}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(block)))) + block
}

const (
	byProxy  = 0x21
	byItself = 0x20
	// overTLS is the TLV of a client that came over TLS 1.3, and bareTLS of one that did not.
	overTLS = "\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"
	bareTLS = "\x20\x00\x05\x00\x00\x00\x00\x01"
)

// behindProxy connects from the proxy and sends a header.
func (e *edge) behindProxy(t *testing.T, header string) *pop3test.Client {
	t.Helper()
	c := e.client(t, theProxy)
	if err := c.Send([]byte(header)); err != nil {
		t.Fatal(err)
	}
	return c
}

// A header of somebody who isn't listed is no header but a bad command, and changes nothing.
func TestEdgeProxyHeaderFromAnUnlistedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{Proxies: only(theProxy)}, keepsIn, nil)
		c := e.greeted(t, someClient)
		says(t, c, strings.TrimSuffix(headerFor("203.0.113.1"), "\r\n"), "-ERR Unknown command")
		enters(t, c, "alice", rightPassword, "+OK in")
		if line := e.logs.waitFor(t, "msg=login"); !strings.Contains(line, "client="+someClient+":") || strings.Contains(line, "via=") {
			t.Error(line)
		}
		v2 := e.greeted(t, someClient)
		if err := v2.Send([]byte(headerV2(byProxy, "203.0.113.1", ""))); err != nil {
			t.Fatal(err)
		}
		for range maxBadCommands { // it has as many LF
			expectLine(t, v2, "-ERR")
		}
	})
}

// Required where it is believed: without a whole one the connection is closed without a word.
func TestEdgeBrokenProxyHeader(t *testing.T) {
	for name, tt := range map[string]struct {
		sent  string
		after time.Duration
	}{
		"none":              {"", 10 * time.Second},
		"cut in the middle": {"PROXY TCP4 203.0.113.1 19", 10 * time.Second},
		"version 2, cut":    {headerV2(byProxy, "203.0.113.1", "")[:20], 10 * time.Second},
		"a command":         {"QUIT\r\n", 0},
		"oversized":         {"PROXY UNKNOWN " + strings.Repeat("x", 200), 0},
		"version 2, huge":   {signatureV2 + "\x21\x11\xff\xff", 0},
		"another family":    {"PROXY TCP5 1 2 3 4\r\n", 0},
		"TLS":               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := edgeWith(t, &Access{Proxies: only(theProxy)}, keepsIn, nil)
				c, begin := e.behindProxy(t, tt.sent), time.Now()
				expectEnd(t, c)
				if took := time.Since(begin); took != tt.after {
					t.Errorf("closed after %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// A second header is a client's own words, and counts as such.
func TestEdgeProxyHeaderTwice(t *testing.T) {
	for _, first := range []string{headerFor("203.0.113.1"), headerV2(byProxy, "203.0.113.1", "")} {
		synctest.Test(t, func(t *testing.T) {
			e := edgeWith(t, &Access{Proxies: only(theProxy)}, keepsIn, nil)
			c := e.behindProxy(t, first+headerFor("203.0.113.2"))
			expectLine(t, c, "+OK")
			expectLine(t, c, "-ERR Unknown command")
			enters(t, c, "alice", rightPassword, "+OK in")
			if line := e.logs.waitFor(t, "msg=login"); !strings.Contains(line, "client=203.0.113.1:1234") || !strings.Contains(line, "via=10.0.0.5:") {
				t.Error(line)
			}
		})
	}
}

// The proxy's own health checks are nobody's sessions: uncounted, and no line in the log.
func TestEdgeLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{Proxies: only(theProxy), Deny: only(theProxy)}, keepsIn, func(set *Settings, _ *Options) {
			set.Limits.PerAddress, set.ConnectionsPerMinute = 1, 1
		})
		for range 5 {
			c := e.behindProxy(t, headerV2(byItself, "203.0.113.1", ""))
			expectLine(t, c, "+OK")
			defer says(t, c, "QUIT", "+OK")
		}
		if n := e.census.Sessions(); n != 0 {
			t.Errorf("%d sessions are counted", n)
		}
		c := e.behindProxy(t, headerV2(byItself, "203.0.113.1", ""))
		expectLine(t, c, "+OK")
		says(t, c, "QUIT", "+OK")
		expectEnd(t, c)
		synctest.Wait()
		if log := e.logs.String(); log != "" {
			t.Errorf("log: %s", log)
		}
	})
}

// With TLS behind it, not one octet of the handshake is taken for the header.
func TestEdgeProxyHeaderBeforeTLS(t *testing.T) {
	for name, header := range map[string]string{
		"v1": headerFor("203.0.113.1"), "v2": headerV2(byProxy, "203.0.113.1", ""), "v2, with TLVs": headerV2(byProxy, "203.0.113.1", overTLS),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, trusting := tlsFront(t, nil)
				e := edgeWith(t, &Access{Proxies: only(theProxy), TLS: server, Implicit: true}, keepsIn, nil)
				socket := e.socket(t, theProxy)
				if _, err := socket.Write([]byte(header)); err != nil {
					t.Fatal(err)
				}
				c := over(t, socket, trusting)
				expectLine(t, c, "+OK")
				enters(t, c, "alice", rightPassword, "+OK in")
				e.logs.waitFor(t, "msg=login", "client=203.0.113.1:1234", "via=10.0.0.5:", "tls=1.3")
			})
		})
	}
}

// The limits and the listener's rules are for the client that is named, not for who
// stands between.
func TestEdgeNamedClientIsTheOneThatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{Proxies: only(theProxy), Deny: only("203.0.113.66")}, keepsIn, func(set *Settings, _ *Options) {
			set.Limits.PerAddress = 2
		})
		for _, client := range []string{"203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.3"} {
			expectLine(t, e.behindProxy(t, headerFor(client)), "+OK")
		}
		full := e.behindProxy(t, headerFor("203.0.113.1"))
		expectLine(t, full, "-ERR [SYS/TEMP] Too many connections")
		expectEnd(t, full)
		e.logs.waitFor(t, "client refused", "client=203.0.113.1:1234", "from this address")
		denied := e.behindProxy(t, headerFor("203.0.113.66"))
		expectEnd(t, denied) // without a word, as without a proxy
	})
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{Proxies: only(theProxy), Allow: only("203.0.113.1")}, keepsIn, nil)
		expectLine(t, e.behindProxy(t, headerFor("203.0.113.1")), "+OK")
		expectEnd(t, e.behindProxy(t, headerFor("203.0.113.2")))
		expectEnd(t, e.client(t, "203.0.113.2"))
	})
}

// Where a password may travel unencrypted: the socket's peer and the named client are
// both this machine's, or the client's way to the proxy is encrypted.
func TestEdgePlaintext(t *testing.T) {
	const here, away = "127.0.0.1", someClient
	for name, tt := range map[string]struct {
		peer, header string
		rule         Plaintext
		allowed      bool
	}{
		"loopback, no proxy":             {here, "", PlaintextLoopback, true},
		"loopback by IPv6":               {"::1", "", PlaintextLoopback, true},
		"far away, no proxy":             {away, "", PlaintextLoopback, false},
		"local proxy, local client":      {here, headerFor("127.0.0.2"), PlaintextLoopback, true},
		"local proxy, far client":        {here, headerFor(away), PlaintextLoopback, false},
		"far proxy, local client":        {theProxy, headerFor(here), PlaintextLoopback, false},
		"local proxy, unknown client":    {here, "PROXY UNKNOWN\r\n", PlaintextLoopback, false},
		"local proxy for itself":         {here, headerV2(byItself, away, ""), PlaintextLoopback, true},
		"far proxy for itself":           {theProxy, headerV2(byItself, here, ""), PlaintextLoopback, false},
		"far client over TLS":            {theProxy, headerV2(byProxy, away, overTLS), PlaintextLoopback, true},
		"far client, TLV says no TLS":    {theProxy, headerV2(byProxy, away, bareTLS), PlaintextLoopback, false},
		"for itself, TLV is thrown away": {theProxy, headerV2(byItself, away, overTLS), PlaintextLoopback, false},
		"never, from here":               {here, "", PlaintextNever, false},
		"never, but over TLS":            {theProxy, headerV2(byProxy, away, overTLS), PlaintextNever, true},
		"always, from far away":          {away, "", PlaintextAlways, true},
		"always, unknown client":         {theProxy, "PROXY UNKNOWN\r\n", PlaintextAlways, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				access := &Access{}
				if tt.header != "" {
					access.Proxies = everywhere()
				}
				e := edgeWith(t, access, keepsIn, func(set *Settings, _ *Options) { set.Plaintext = tt.rule })
				c := e.client(t, tt.peer)
				_ = c.Send([]byte(tt.header))
				expectLine(t, c, "+OK")
				if list := capabilities(t, c); strings.Contains(list, "USER") != tt.allowed || strings.Contains(list, "SASL") != tt.allowed {
					t.Errorf("CAPA: %q", list)
				}
				want := map[bool]string{true: "+OK", false: "-ERR Passwords are taken over TLS only"}[tt.allowed]
				says(t, c, "USER alice", want)
			})
		})
	}
}

// XCLIENT exists only for peers that are listed.
func TestEdgeXCLIENT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{XCLIENT: only(theProxy), Deny: only("203.0.113.66")}, keepsIn, func(set *Settings, _ *Options) {
			set.Limits.PerAddress, set.Limits.Exempt = 2, only(theProxy)
		})
		stranger := e.client(t, someClient)
		expectLine(t, stranger, "+OK postern ready")
		says(t, stranger, "XCLIENT ADDR=203.0.113.1 PORT=1234", "-ERR Unknown command")
		enters(t, stranger, "alice", rightPassword, "+OK in")
		e.logs.waitFor(t, "msg=login", "client="+someClient+":")

		c := e.client(t, theProxy)
		expectLine(t, c, "+OK [XCLIENT] ")
		says(t, c, "XCLIENT ADDR=nonsense", "-ERR Invalid parameters")
		says(t, c, "XCLIENT ADDR=203.0.113.1 PORT=1234 SESSION=abc TTL=4", "+OK Updated")
		enters(t, c, "alice", rightPassword, "+OK in")
		e.logs.waitFor(t, "msg=login", "client=203.0.113.1:1234", "proxy_session=abc", "via=10.0.0.5:")

		for _, tt := range []struct{ client, answer string }{
			{"203.0.113.1", "+OK Updated"}, {"203.0.113.1", "-ERR [SYS/TEMP] Too many connections"}, {"203.0.113.66", ""},
		} { // one command, one answer
			c := e.greeted(t, theProxy)
			_ = c.SendLine(fmt.Sprintf("XCLIENT ADDR=%s PORT=1234", tt.client))
			if tt.answer != "" {
				expectLine(t, c, tt.answer)
			}
			if tt.answer != "+OK Updated" {
				expectEnd(t, c)
			}
		}
		loop := e.greeted(t, theProxy)
		says(t, loop, "XCLIENT ADDR=203.0.113.1 TTL=0", "-ERR [SYS/TEMP] Proxies loop")
		expectEnd(t, loop)
	})
}
