package backend

import (
	"net/netip"
	"strings"
	"testing"

	"postern/pop3"
)

var (
	client4 = netip.MustParseAddrPort("192.0.2.7:4711")
	local4  = netip.MustParseAddrPort("198.51.100.1:995")
	client6 = netip.MustParseAddrPort("[2001:db8::7]:4712")
	local6  = netip.MustParseAddrPort("[2001:db8::1]:110")
	mapped4 = netip.MustParseAddrPort("[::ffff:192.0.2.7]:4711")
)

func TestOriginXCLIENT(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Origin
		want string
	}{
		{"all", Origin{Client: client4, Session: "pX3H5Gzz"}, "XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=pX3H5Gzz TTL=4"},
		{"IPv6", Origin{Client: client6, Session: "a"}, "XCLIENT ADDR=2001:db8::7 PORT=4712 SESSION=a TTL=4"},
		{"a mapped address", Origin{Client: mapped4}, "XCLIENT ADDR=192.0.2.7 PORT=4711 TTL=4"},
		{"a zone", Origin{Client: netip.MustParseAddrPort("[fe80::1%eth0]:1")}, "XCLIENT ADDR=fe80::1 PORT=1 TTL=4"},
		{"no port", Origin{Client: netip.AddrPortFrom(client4.Addr(), 0)}, "XCLIENT ADDR=192.0.2.7 TTL=4"},
		{"nobody", Origin{Local: local4}, "XCLIENT TTL=4"},
		{"behind a proxy", Origin{Client: client4, TTL: 3}, "XCLIENT ADDR=192.0.2.7 PORT=4711 TTL=2"},
		{"encrypted", Origin{Client: client4, TLS: ClientTLS{Version: "TLS 1.3"}}, "XCLIENT ADDR=192.0.2.7 PORT=4711 TTL=4 CLIENT-TRANSPORT=TLS"},
		{"two words", Origin{Client: client4, Session: "a TTL=9"}, "XCLIENT ADDR=192.0.2.7 PORT=4711 TTL=4"},
		{"two lines", Origin{Client: client4, Session: "a\r\nDELE 1"}, "XCLIENT ADDR=192.0.2.7 PORT=4711 TTL=4"},
		{"8-bit", Origin{Client: client4, Session: "\xe4"}, "XCLIENT ADDR=192.0.2.7 PORT=4711 TTL=4"},
		{"the longest name", Origin{Session: strings.Repeat("s", 64)}, "XCLIENT SESSION=" + strings.Repeat("s", 64) + " TTL=4"},
		{"too long a name", Origin{Session: strings.Repeat("s", 65)}, "XCLIENT TTL=4"},
	} {
		if got := string(c.o.appendXCLIENT(nil)); got != c.want+"\r\n" {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// FuzzOriginXCLIENT: whatever an earlier proxy named a session, the command is one
// line of few words, with room for USER and PASS in the same segment.
func FuzzOriginXCLIENT(f *testing.F) {
	f.Add("pX3H5Gzz", "TLS 1.3", 4)
	f.Add("a\r\nQUIT", "\r\n", 0)
	f.Add(strings.Repeat("x", 200), "", -1)
	f.Fuzz(func(t *testing.T, session, version string, ttl int) {
		o := Origin{Client: client6, Session: session, TTL: ttl, TLS: ClientTLS{Version: version}}
		got := o.appendXCLIENT(nil)
		line, ended := strings.CutSuffix(string(got), "\r\n")
		if !ended || pop3.HasControl([]byte(line)) || len(got) > pop3.MaxCommandLine || len(strings.Fields(line)) > 6 {
			t.Fatalf("%q", got)
		}
	})
}

func TestOriginHeaderV1(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Origin
		want string
	}{
		{"IPv4", Origin{Client: client4, Local: local4}, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 995"},
		{"IPv6", Origin{Client: client6, Local: local6}, "PROXY TCP6 2001:db8::7 2001:db8::1 4712 110"},
		{"IPv6 to IPv4", Origin{Client: client6, Local: local4}, "PROXY TCP6 2001:db8::7 ::ffff:198.51.100.1 4712 995"},
		{"IPv4 to IPv6", Origin{Client: client4, Local: local6}, "PROXY TCP4 192.0.2.7 0.0.0.0 4711 110"},
		{"mapped", Origin{Client: mapped4, Local: local4}, "PROXY TCP4 192.0.2.7 198.51.100.1 4711 995"},
		{"no listener", Origin{Client: client4}, "PROXY TCP4 192.0.2.7 0.0.0.0 4711 0"},
		{"no listener, IPv6", Origin{Client: client6}, "PROXY TCP6 2001:db8::7 :: 4712 0"},
		{"nobody", Origin{}, "PROXY UNKNOWN"},
		{"nobody at a listener", Origin{Local: local4, Session: "s"}, "PROXY UNKNOWN"},
	} {
		got, err := c.o.appendHeader(nil, ProxyV1)
		if err != nil || string(got) != c.want+"\r\n" {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}
