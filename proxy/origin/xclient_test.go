package origin

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"postern/pop3"
)

func TestParseXCLIENT(t *testing.T) {
	id := strings.Repeat("s", maxSession)
	client := netip.MustParseAddrPort
	for _, c := range []struct {
		name, arg string
		want      XClient
	}{
		{"as Dovecot 2.3 writes it", "ADDR=192.0.2.1 PORT=53744 SESSION=eL6Qrulg8NF/AAAB TTL=4",
			XClient{Client: client("192.0.2.1:53744"), Session: "eL6Qrulg8NF/AAAB", TTL: 4, HasTTL: true}},
		{"with what later ones add", "ADDR=2001:db8::1 PORT=1 DESTADDR=2001:db8::2 DESTPORT=110 SESSION=a TTL=6 CLIENT-TRANSPORT=TLS DESTNAME=mail.example.com FORWARD=YQ==",
			XClient{Client: client("[2001:db8::1]:1"), Session: "a", TTL: 6, HasTTL: true, Encrypted: true}},
		{"CLIENT-TRANSPORT=insecure", "CLIENT-TRANSPORT=insecure", XClient{}},
		{"keys in lower case", "addr=192.0.2.1 Port=1 session=a ttl=1", XClient{Client: client("192.0.2.1:1"), Session: "a", TTL: 1, HasTTL: true}},
		{"any order", "TTL=1 PORT=1 ADDR=192.0.2.1", XClient{Client: client("192.0.2.1:1"), TTL: 1, HasTTL: true}},
		{"nothing", "", XClient{}},
		{"unknown words", "junk FOO=bar =x NAME=a.example.com LOGIN=root", XClient{}},
		{"double spaces", "ADDR=192.0.2.1  PORT=12 ", XClient{Client: client("192.0.2.1:12")}},
		{"no port", "ADDR=192.0.2.1", XClient{Client: client("192.0.2.1:0")}},
		{"a port of nobody", "PORT=12", XClient{}},
		{"the last one holds", "ADDR=192.0.2.1 PORT=1 ADDR=192.0.2.2", XClient{Client: client("192.0.2.2:1")}},
		{"IPv6 in brackets", "ADDR=[2001:db8::1] PORT=1", XClient{Client: client("[2001:db8::1]:1")}},
		{"IPv4 in IPv6 is IPv4", "ADDR=::ffff:192.0.2.1 PORT=1", XClient{Client: client("192.0.2.1:1")}},
		{"port with zeros, as Dovecot", "ADDR=192.0.2.1 PORT=080", XClient{Client: client("192.0.2.1:80")}},
		{"longest port", "ADDR=192.0.2.1 PORT=65535", XClient{Client: client("192.0.2.1:65535")}},
		{"longest session", "SESSION=" + id, XClient{Session: id}},
		{"too long a session is passed over, as by Dovecot", "SESSION=" + id + "s", XClient{}},
		{"no session", "SESSION=", XClient{}},
		{"TTL with zeros", "TTL=007", XClient{TTL: 7, HasTTL: true}},
		{"largest TTL", "TTL=2147483647", XClient{TTL: 2147483647, HasTTL: true}},
		{"as long as may be", "FORWARD=" + strings.Repeat("A", MaxXCLIENTLine-8), XClient{}},
		{"values have no encoding", "SESSION=a%41+2B", XClient{Session: "a%41+2B"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if x, err := ParseXCLIENT([]byte(c.arg)); err != nil || x != c.want {
				t.Errorf("got %+v, error %v", x, err)
			}
		})
	}
}

func TestParseXCLIENTRefuses(t *testing.T) {
	for _, c := range []struct {
		name, arg string
		want      error
	}{
		{"empty address", "ADDR=", errValue},
		{"a name", "ADDR=mail.example.com", errValue},
		{"Postfix's word for no address", "ADDR=[UNAVAILABLE]", errValue},
		{"Postfix's IPv6", "ADDR=IPV6:2001:db8::1", errValue},
		{"short address", "ADDR=192.0.2", errValue},
		{"octet 256", "ADDR=192.0.2.256", errValue},
		{"leading zero", "ADDR=192.0.2.01", errValue},
		{"encoded address", "ADDR=192%2E0.2.1", errValue},
		{"zone", "ADDR=fe80::1%eth0", errValue},
		{"zone in brackets", "ADDR=[fe80::1%eth0]", errValue},
		{"IPv4 in brackets", "ADDR=[192.0.2.1]", errValue},
		{"open bracket", "ADDR=[2001:db8::1", errValue},
		{"closed bracket", "ADDR=2001:db8::1]", errValue},
		{"brackets only", "ADDR=[]", errValue},
		{"address and port", "ADDR=192.0.2.1:1234", errValue},
		{"tab", "ADDR=192.0.2.1\tPORT=12", errValue},
		{"CR", "ADDR=192.0.2.1\r", errValue},
		{"NUL", "ADDR=192.0.2.1\x00", errValue},
		{"a bad address before a good one", "ADDR=x ADDR=192.0.2.1", errValue},
		{"a bad port behind a good address", "ADDR=192.0.2.1 PORT=x", errValue},
		{"empty port", "PORT=", errValue},
		{"port 0", "ADDR=192.0.2.1 PORT=0", errValue},
		{"port 65536", "PORT=65536", errValue},
		{"port +80", "PORT=+80", errValue},
		{"port -1", "PORT=-1", errValue},
		{"port 80x", "PORT=80x", errValue},
		{"port 0x50", "PORT=0x50", errValue},
		{"port 1_0", "PORT=1_0", errValue},
		{"control octet in the session", "SESSION=a\x01b", errValue},
		{"8-bit session", "SESSION=a\xffb", errValue},
		{"empty TTL", "TTL=", errValue},
		{"TTL +1", "TTL=+1", errValue},
		{"TTL --1", "TTL=--1", errValue},
		{"TTL - alone", "TTL=-", errValue},
		{"TTL 1.5", "TTL=1.5", errValue},
		{"huge TTL", "TTL=2147483648", errValue},
		{"TTL 0", "ADDR=192.0.2.1 PORT=1 TTL=0", ErrLoop},
		{"TTL 00", "TTL=00", ErrLoop},
		{"TTL -1", "TTL=-1", ErrLoop},
		{"too long", strings.Repeat(" ", MaxXCLIENTLine+1), errLength},
	} {
		t.Run(c.name, func(t *testing.T) {
			if x, err := ParseXCLIENT([]byte(c.arg)); !errors.Is(err, c.want) || x != (XClient{}) {
				t.Errorf("got %+v, error %v, want %v", x, err, c.want)
			}
		})
	}
}

// FuzzXCLIENT: what is taken is valid and printable, and what it says can be said
// again; an error leaves nothing, and can be logged.
func FuzzXCLIENT(f *testing.F) {
	f.Add([]byte("ADDR=192.0.2.1 PORT=53744 SESSION=eL6Qrulg8NF/AAAB TTL=4 CLIENT-TRANSPORT=TLS"))
	f.Add([]byte("addr=[2001:db8::1] port=0 ttl=-1 FORWARD=YQ=="))
	f.Add([]byte("ADDR=::ffff:1.2.3.4%x PORT=080 SESSION=\x00"))
	f.Fuzz(func(t *testing.T, arg []byte) {
		x, err := ParseXCLIENT(arg)
		switch {
		case err != nil && x != (XClient{}):
			t.Errorf("error %v, and %+v", err, x)
		case err != nil && (len(err.Error()) > 2*maxText+64 || pop3.HasControl([]byte(err.Error()))):
			t.Errorf("can't log %q", err)
		case err != nil:
			return
		}
		again := XClient{Session: x.Session, TTL: x.TTL, HasTTL: x.HasTTL, Encrypted: x.Encrypted}
		words := "SESSION=" + x.Session
		if x.Client != (netip.AddrPort{}) {
			if a := x.Client.Addr(); !a.IsValid() || a.Is4In6() || a.Zone() != "" {
				t.Errorf("client %v", x.Client)
			}
			again.Client, words = netip.AddrPortFrom(x.Client.Addr(), 1), words+" PORT=1 ADDR="+x.Client.Addr().String()
		}
		if x.HasTTL != (x.TTL > 0) || len(x.Session) > maxSession || pop3.HasControl([]byte(x.Session)) {
			t.Errorf("%+v", x)
		}
		if x.HasTTL {
			words += " TTL=1"
			again.TTL = 1
		}
		if x.Encrypted {
			words += " CLIENT-TRANSPORT=TLSv1.3"
		}
		if y, err := ParseXCLIENT([]byte(words)); err != nil || y != again {
			t.Errorf("%q gives %+v, error %v; want %+v", words, y, err, again)
		}
	})
}
