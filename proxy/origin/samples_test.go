package origin

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
)

// Headers as they were taken off the wire of HAProxy 2.6, and AWS's own example for
// those who write a parser (it has a checksum and padding).
const (
	haproxyV1     = "PROXY TCP4 127.0.0.1 127.0.0.1 55256 33963\r\n"
	haproxyCheck  = signatureV2 + "\x20\x00\x00\x00"
	haproxyV6Hex  = "0d0a0d0a000d0a515549540a21210024000000000000000000000000000000010000000000000000000000000000000187aeccd3"
	haproxyTLSHex = "0d0a0d0a000d0a515549540a211100897f0000017f000001ccdcad670300041525b000010004706f70330200106d61696c2e6578616d706c652e636f6d05002e37463030303030313a434344435f37463030303030313a414436375f36423033424232445f303030313a354531362000280100000000210007544c5376312e33230016544c535f4145535f3235365f47434d5f534841333834"
	// The client showed a certificate, which HAProxy did not verify: 7, self-signed.
	haproxyCertHex = "0d0a0d0a000d0a515549540a2111009e7f0000017f000001ccd2ad6703000436215c73010004706f70330200106d61696c2e6578616d706c652e636f6d05002e37463030303030313a434344325f37463030303030313a414436375f36423033424232445f303030303a3545313620003d0700000000210007544c5376312e33220012636c69656e742e6578616d706c652e636f6d230016544c535f4145535f3235365f47434d5f534841333834"
	awsHex         = "0d0a0d0a000d0a515549540a21110054ac1f0771ac1f0a1fc8f20050030004e8d6892dea00170176706365" +
		"2d3038643262663135666163353030316339" + "040024000000000000000000000000000000000000000000000000000000000000000000000000"
)

func unhex(s string) string {
	octets, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(octets)
}

// Addresses of version 2.
const (
	addresses4 = "\xc0\x00\x02\x01\xc6\x33\x64\x07\x04\xd2\x00\x6e" // 192.0.2.1:1234 -> 198.51.100.7:110
	addresses6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x04\xd2\x03\xe3"
)

// v2 is a header of version 2 whose length fits the block.
func v2(command, family byte, block string) string {
	return signatureV2 + string([]byte{command, family, byte(len(block) >> 8), byte(len(block))}) + block
}

func proxied(tlvs ...string) string { return v2(0x21, 0x11, addresses4+strings.Join(tlvs, "")) }

func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// ssl is the TLV of a client's encryption.
func ssl(client byte, verify uint32, subs ...string) string {
	fixed := binary.BigEndian.AppendUint32([]byte{client}, verify)
	return tlv(0x20, string(fixed)+strings.Join(subs, ""))
}

func ends(client, server string) Origin {
	return Origin{Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)}
}

// with is o with some more said about it.
func with(o Origin, more func(*Origin)) Origin {
	more(&o)
	return o
}

// sample is one header that has to be taken.
type sample struct {
	name, header string
	want         Origin
}

func samples() []sample {
	four, six := ends("192.0.2.1:1234", "198.51.100.7:110"), ends("[2001:db8::1]:1234", "[2001:db8::2]:995")
	return []sample{
		{"v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.7 1234 110\r\n", four},
		{"v1 TCP6", "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1234 995\r\n", six},
		{"v1 of HAProxy", haproxyV1, ends("127.0.0.1:55256", "127.0.0.1:33963")},
		{"v1 shortest TCP4", "PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", ends("1.2.3.4:0", "5.6.7.8:0")},
		{"v1 shortest TCP6", "PROXY TCP6 :: :: 0 0\r\n", ends("[::]:0", "[::]:0")},
		{"v1 longest TCP4", "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
			ends("255.255.255.255:65535", "255.255.255.255:65535")},
		{"v1 IPv4 in IPv6 is IPv4", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 1234 110\r\n", four},
		{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", Origin{}},
		{"v1 UNKNOWN and a space", "PROXY UNKNOWN \r\n", Origin{}},
		{"v1 UNKNOWN with addresses, which are ignored", "PROXY UNKNOWN 192.0.2.1 198.51.100.7 1234 110\r\n", Origin{}},
		{"v1 UNKNOWN with anything, CR and NUL too", "PROXY UNKNOWN \rUSER a\r\x00\xff\r\n", Origin{}},
		{"v1 longest", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", Origin{}},

		{"v2 TCP4", proxied(), four},
		{"v2 TCP6", v2(0x21, 0x21, addresses6), six},
		{"v2 of HAProxy, IPv6", unhex(haproxyV6Hex), ends("[::1]:34734", "[::1]:52435")},
		{"v2 IPv4 in IPv6 is IPv4", v2(0x21, 0x21, strings.Repeat("\x00", 10)+"\xff\xff\xc0\x00\x02\x01"+
			strings.Repeat("\x00", 10)+"\xff\xff\xc6\x33\x64\x07\x04\xd2\x00\x6e"), four},
		{"v2 LOCAL, a check of HAProxy", haproxyCheck, Origin{Local: true}},
		{"v2 LOCAL with addresses, which are ignored", v2(0x20, 0x11, addresses4), Origin{Local: true}},
		{"v2 LOCAL with less than its family's addresses", v2(0x20, 0x21, addresses4), Origin{Local: true}},
		{"v2 LOCAL with TLVs, cut and false", v2(0x20, 0x11, addresses4+tlv(3, "1234")+"\x02"), Origin{Local: true}},
		{"v2 LOCAL of any family that is defined", v2(0x20, 0x32, "whatever"), Origin{Local: true}},
		{"v2 LOCAL, longest", v2(0x20, 0x00, strings.Repeat("x", maxBlock)), Origin{Local: true}},

		{"TLVs of AWS", unhex(awsHex), ends("172.31.7.113:51442", "172.31.10.31:80")},
		{"TLVs of HAProxy", unhex(haproxyTLSHex), with(ends("127.0.0.1:52444", "127.0.0.1:44391"), func(o *Origin) {
			o.TLS = &TLS{Version: "TLSv1.3", Cipher: "TLS_AES_256_GCM_SHA384"}
			o.ServerName, o.ALPN, o.UniqueID = "mail.example.com", "pop3", "7F000001:CCDC_7F000001:AD67_6B03BB2D_0001:5E16"
		})},
		{"TLVs of HAProxy, client's certificate", unhex(haproxyCertHex), with(ends("127.0.0.1:52434", "127.0.0.1:44391"), func(o *Origin) {
			o.TLS = &TLS{Version: "TLSv1.3", Cipher: "TLS_AES_256_GCM_SHA384", ClientCN: "client.example.com", Verified: true}
			o.ServerName, o.ALPN, o.UniqueID = "mail.example.com", "pop3", "7F000001:CCD2_7F000001:AD67_6B03BB2D_0000:5E16"
		})},
		{"TLVs, longest", proxied(tlv(0xEA, strings.Repeat("x", maxBlock-len(addresses4)-3))), four},
	}
}
