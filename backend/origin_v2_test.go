package backend

import (
	"bufio"
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// readV2 takes a header apart with the library's parser; nothing may be left over.
func readV2(t *testing.T, o Origin) (*proxyproto.Header, map[proxyproto.PP2Type]string) {
	t.Helper()
	raw, err := o.appendHeader(nil, ProxyV2)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(raw))
	h, err := proxyproto.Read(in)
	if err != nil || in.Buffered() > 0 || h.Version != 2 {
		t.Fatalf("%x: version %d, %d octets left, %v", raw, h.Version, in.Buffered(), err)
	}
	list, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	tlvs := map[proxyproto.PP2Type]string{}
	for _, tlv := range list {
		tlvs[tlv.Type] = string(tlv.Value)
	}
	return h, tlvs
}

func TestOriginHeaderV2(t *testing.T) {
	for _, c := range []struct {
		name             string
		o                Origin
		client, listener string
	}{
		{"IPv4", Origin{Client: client4, Local: local4}, "192.0.2.7:4711", "198.51.100.1:995"},
		{"IPv6", Origin{Client: client6, Local: local6}, "[2001:db8::7]:4712", "[2001:db8::1]:110"},
		{"IPv6 to IPv4", Origin{Client: client6, Local: local4}, "[2001:db8::7]:4712", "198.51.100.1:995"},
		{"IPv4 to IPv6", Origin{Client: client4, Local: local6}, "192.0.2.7:4711", "0.0.0.0:110"},
		{"mapped", Origin{Client: mapped4, Local: netip.MustParseAddrPort("[::ffff:198.51.100.1]:110")}, "192.0.2.7:4711", "198.51.100.1:110"},
		{"no listener", Origin{Client: client6}, "[2001:db8::7]:4712", "[::]:0"},
	} {
		h, tlvs := readV2(t, c.o)
		if h.Command != proxyproto.PROXY || h.SourceAddr.String() != c.client || h.DestinationAddr.String() != c.listener || len(tlvs) > 0 {
			t.Errorf("%s: %v from %v to %v, %q", c.name, h.Command, h.SourceAddr, h.DestinationAddr, tlvs)
		}
	}
}

// Nobody's header says nothing, whatever else is known.
func TestOriginHeaderV2Local(t *testing.T) {
	raw, err := Origin{Local: local4, Session: "s", TLS: ClientTLS{Version: "TLS 1.3"}}.appendHeader(nil, ProxyV2)
	if want := "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"; err != nil || string(raw) != want {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestOriginTLVs(t *testing.T) {
	encrypted := ClientTLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", ServerName: "pop.example.com"}
	shown, believed := encrypted, encrypted
	shown.CommonName, believed.CommonName, believed.Verified = "Änne", "Änne", true
	for _, c := range []struct {
		name   string
		tls    ClientTLS
		client uint8
		verify uint32
		cn     string
	}{
		{"no certificate", encrypted, 1, 0, ""},
		{"one that is not believed", shown, 7, 1, "Änne"},
		{"one that is", believed, 7, 0, "Änne"},
	} {
		_, tlvs := readV2(t, Origin{Client: client4, Local: local4, Session: "sess", TLS: c.tls})
		if tlvs[proxyproto.PP2_TYPE_AUTHORITY] != "pop.example.com" || tlvs[proxyproto.PP2_TYPE_UNIQUE_ID] != "sess" {
			t.Errorf("%s: %q", c.name, tlvs)
		}
		ssl, err := tlvparse.SSL(proxyproto.TLV{Type: proxyproto.PP2_TYPE_SSL, Value: []byte(tlvs[proxyproto.PP2_TYPE_SSL])})
		if err != nil {
			t.Fatal(err)
		}
		version, _ := ssl.SSLVersion()
		cipher, _ := ssl.SSLCipher()
		cn, _ := ssl.ClientCN()
		if ssl.Client != c.client || ssl.Verify != c.verify || cn != c.cn || version != "TLSv1.3" || cipher != "TLS_AES_128_GCM_SHA256" {
			t.Errorf("%s: %+v", c.name, ssl)
		}
	}
}

// What a client shaped is cut to what the header and its readers take.
func TestOriginTLVsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 5000)
	_, tlvs := readV2(t, Origin{Client: client4, Local: local4, Session: long, TLS: ClientTLS{
		Version: "TLS 1.3", ServerName: "a\r\n" + long, CommonName: long + "\xff", Cipher: long,
	}})
	if got := tlvs[proxyproto.PP2_TYPE_UNIQUE_ID]; len(got) != 128 {
		t.Errorf("an id of %d octets", len(got))
	}
	if got := tlvs[proxyproto.PP2_TYPE_AUTHORITY]; len(got) != 255 || !strings.HasPrefix(got, "a??x") {
		t.Errorf("a name %q", got)
	}
	if got := tlvs[proxyproto.PP2_TYPE_SSL]; len(got) > 800 {
		t.Errorf("%d octets about TLS", len(got))
	}
}
