package origin

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// atOnce is a beginning that may become a header, and what follows it: with the first
// octet of that, it can't.
type atOnce struct {
	name, begin, octets string
	want                error
}

var atOnceV1 = []atOnce{
	{"a command", "", "USER alice\r\n", errNoHeader},
	{"QUIT", "", "QUIT\r\n", errNoHeader},
	{"a password", "P", "ASS secret\r\n", errNoHeader},
	{"a TLS handshake", "", "\x16\x03\x01", errNoHeader},
	{"HTTP", "", "GET / HTTP/1.1\r\n", errNoHeader},
	{"HTTP/2", "PR", "I * HTTP/2.0\r\n", errNoHeader},
	{"NUL", "", "\x00", errNoHeader},
	{"a space first", "", " PROXY TCP4", errNoHeader},
	{"lower case", "", "proxy TCP4 192.0.2.1", errNoHeader},
	{"lower case within", "P", "roxy TCP4 192.0.2.1", errNoHeader},
	{"an empty line", "\r\n", "USER", errNoHeader},
	{"LF first", "", "\n", errNoHeader},
	{"v1 glued", "PROXY", "X", errNoHeader},
	{"v1 tab", "PROXY", "\tTCP4", errNoHeader},
	{"v1 double space", "PROXY ", " TCP4", errNoHeader},
	{"v1 line's end", "PROXY", "\r\n", errNoHeader},
	{"v1 no family", "PROXY ", "\r\n", errNoHeader},
	{"v1 UDP", "PROXY U", "DP4 192.0.2.1", errNoHeader},
	{"v1 lower-case family", "PROXY ", "tcp4", errNoHeader},
	{"v1 TCP5", "PROXY TCP", "5", errNoHeader},
	{"v1 TCP", "PROXY TCP", " ", errNoHeader},
	{"v1 UNKNOW", "PROXY UNKNOW", "\r\n", errNoHeader},
	{"v1 UNKNOWNS", "PROXY UNKNOWN", "S", errNoHeader},
	{"v1 UNKNOWN with LF only", "PROXY UNKNOWN", "\n", errNoHeader},
	{"v1 UNKNOWN, CR without LF", "PROXY UNKNOWN\r", "U", errLine},
	{"v1 UNKNOWN, LF without CR behind", "PROXY UNKNOWN x", "\n", errLine},
	{"v1 no addresses", "PROXY TCP4", "\r\n", errNoHeader},
	{"v1 double space before addresses", "PROXY TCP4 ", " 192.0.2.1", errLine},
	{"v1 no address", "PROXY TCP4 ", "\r\n", errLine},
	{"v1 double space between addresses", "PROXY TCP4 192.0.2.1 ", " 198.51.100.7", errLine},
	{"v1 double space between ports", "PROXY TCP4 192.0.2.1 198.51.100.7 1 ", " 2", errLine},
	{"v1 one port", "PROXY TCP4 192.0.2.1 198.51.100.7 1", "\r\n", errLine},
	{"v1 empty port", "PROXY TCP4 192.0.2.1 198.51.100.7 1 ", "\r\n", errLine},
	{"v1 a fifth field", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2", " 3", errLine},
	{"v1 trailing space", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2", " \r\n", errLine},
	{"v1 signed port", "PROXY TCP4 192.0.2.1 198.51.100.7 ", "+80 110", errLine},
	{"v1 negative port", "PROXY TCP4 192.0.2.1 198.51.100.7 80 ", "-1", errLine},
	{"v1 hexadecimal in IPv4", "PROXY TCP4 ", "a.0.2.1", errLine},
	{"v1 IPv6 as TCP4", "PROXY TCP4 2001", ":db8::1", errLine},
	{"v1 a name", "PROXY TCP4 ", "mail.example.com", errLine},
	{"v1 zone", "PROXY TCP6 fe80::1", "%eth0 :: 1 2\r\n", errLine},
	{"v1 brackets", "PROXY TCP6 ", "[::1]", errLine},
	{"v1 NUL", "PROXY TCP4 192.0.2.1", "\x00", errLine},
	{"v1 8-bit", "PROXY TCP4 192.0.2.1", "\xa0", errLine},
	{"v1 LF only", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2", "\n", errLine},
	{"v1 CR only", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r", "USER a", errLine},
	{"v1 CR CR LF", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\r", "\r\n", errLine},
	{"v1 too short", "PROXY TCP4 1 1 1 1\r", "\n", errLine},
	{"v1 too long", "PROXY TCP6 " + strings.Repeat("1", 95), "1\r\n", errLong},
	{"v1 UNKNOWN too long", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "f", "\r\n", errLong},
}

var atOnceV2 = []atOnce{
	{"v2 broken signature", signatureV2[:11], "\r", errNoHeader},
	{"v2 version 1", signatureV2, "\x11", errVersion},
	{"v2 version 3", signatureV2, "\x31", errVersion},
	{"v2 version 0", signatureV2, "\x00", errVersion},
	{"v2 a second signature", signatureV2, signatureV2, errVersion},
	{"v2 command 2", signatureV2, "\x22", errCommand},
	{"v2 command 15", signatureV2, "\x2f", errCommand},
	{"v2 UNSPEC", signatureV2 + "\x21", "\x00", errFamily},
	{"v2 UDP4", signatureV2 + "\x21", "\x12", errFamily},
	{"v2 UDP6", signatureV2 + "\x21", "\x22", errFamily},
	{"v2 unix", signatureV2 + "\x21", "\x31", errFamily},
	{"v2 unix datagram", signatureV2 + "\x21", "\x32", errFamily},
	{"v2 TCP of no family", signatureV2 + "\x21", "\x01", errFamily},
	{"v2 undefined transport", signatureV2 + "\x21", "\x13", errFamily},
	{"v2 LOCAL, undefined family", signatureV2 + "\x20", "\x41", errFamily},
	{"v2 too long by its first octet", signatureV2 + "\x21\x11", "\x11", errLong},
	{"v2 too long by one", signatureV2 + "\x21\x11\x10", "\x01", errLong},
	{"v2 longest length", signatureV2 + "\x20\x00", "\xff\xff", errLong},
	{"v2 no addresses", signatureV2 + "\x21\x11\x00", "\x00", errShort},
	{"v2 too short for IPv4", signatureV2 + "\x21\x11\x00", "\x0b", errShort},
	{"v2 too short for IPv6", signatureV2 + "\x21\x21\x00", "\x23", errShort},
}

// TestHeaderRefusedAtOnce: the octet that can't be part of a header is enough, and
// not one before it.
func TestHeaderRefusedAtOnce(t *testing.T) {
	for _, c := range slices.Concat(atOnceV1, atOnceV2) {
		t.Run(c.name, func(t *testing.T) {
			r := NewHeaderReader()
			r.Input([]byte(c.begin))
			if _, done, err := r.Result(); done || err != nil {
				t.Fatalf("refused before that octet: done %v, error %v", done, err)
			}
			r.Input([]byte(c.octets[:1]))
			if _, done, err := r.Result(); !done || err == nil {
				t.Errorf("waits for more behind %q", c.begin+c.octets[:1])
			}
			for name, size := range sizes {
				if _, o, done, err := read(c.begin+c.octets, size); !done || !errors.Is(err, c.want) || o != (Origin{}) {
					t.Errorf("%s: %+v, done %v, error %v, want %v", name, o, done, err, c.want)
				}
			}
		})
	}
}

// refused is well formed, but not well said.
type refused struct{ name, header, want string }

var refusedV1 = []refused{
	{"v1 leading zero of a port", "PROXY TCP4 192.0.2.1 198.51.100.7 080 110\r\n", "invalid port number"},
	{"v1 port 65536", "PROXY TCP4 192.0.2.1 198.51.100.7 65536 110\r\n", "invalid port number"},
	{"v1 server's port 65536", "PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n", "invalid port number"},
	{"v1 huge port", "PROXY TCP4 192.0.2.1 198.51.100.7 99999999999999999999999 110\r\n", "invalid port number"},
	{"v1 dot in a port", "PROXY TCP4 192.0.2.1 198.51.100.7 1.5 110\r\n", "invalid port number"},
	{"v1 short address", "PROXY TCP4 192.0.2 198.51.100.7 1234 110\r\n", "invalid address"},
	{"v1 long address", "PROXY TCP4 192.0.2.1.5 198.51.100.7 1234 110\r\n", "invalid address"},
	{"v1 octet 256", "PROXY TCP4 192.0.2.256 198.51.100.7 1234 110\r\n", "invalid address"},
	{"v1 leading zero of an address", "PROXY TCP4 192.0.2.01 198.51.100.7 1234 110\r\n", "invalid address"},
	{"v1 server's address", "PROXY TCP4 192.0.2.1 198.51.100 1234 110\r\n", "invalid address"},
	{"v1 IPv4 as TCP6", "PROXY TCP6 192.0.2.1 198.51.100.7 1234 110\r\n", "invalid address"},
	{"v1 two gaps", "PROXY TCP6 2001::db8::1 ::1 1234 110\r\n", "invalid address"},
	{"v1 nine groups", "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1234 110\r\n", "invalid address"},
}

var refusedTLVs = []refused{
	{"TLV of one octet", proxied("\x02"), errCut.Error()},
	{"TLV without its length", proxied("\x02\x00"), errCut.Error()},
	{"TLV longer than the header", proxied("\x02\x00\x01"), errCut.Error()},
	{"TLV of 65535", proxied("\x02\xff\xff" + "mail.example.com"), errCut.Error()},
	{"padding longer than the header", proxied("\x04\x00\x05\x00"), errCut.Error()},
	{"second TLV cut", proxied(tlv(2, "mail.example.com"), "\x01\x00\x04pop"), errCut.Error()},
	{"name twice", proxied(tlv(2, "a.example.com"), tlv(2, "b.example.com")), errRepeated.Error()},
	{"ALPN twice", proxied(tlv(1, "pop3"), tlv(1, "pop3")), errRepeated.Error()},
	{"id twice", proxied(tlv(5, "1"), tlv(5, "2")), errRepeated.Error()},
	{"TLS twice", proxied(ssl(0, 0), ssl(1, 0, tlv(0x21, "TLSv1.3"))), errRepeated.Error()},
	{"TLS empty", proxied(tlv(0x20, "")), "incompatible TLV"},
	{"TLS too short", proxied(tlv(0x20, "\x01\x00\x00\x00")), "incompatible TLV"},
	{"TLS without version", proxied(ssl(1, 0)), "malformed TLV"},
	{"TLS with empty version", proxied(ssl(1, 0, tlv(0x21, ""))), "malformed TLV"},
	{"TLS with 8-bit cipher", proxied(ssl(1, 0, tlv(0x21, "TLSv1.3"), tlv(0x23, "\xff"))), "malformed TLV"},
	{"TLS with a name that is no UTF-8", proxied(ssl(7, 0, tlv(0x21, "TLSv1.3"), tlv(0x22, "\xff"))), "malformed TLV"},
	{"TLS with a cut TLV", proxied(ssl(1, 0, tlv(0x21, "TLSv1.3"), "\x23\x00\x09TLS")), "truncated TLV"},
	{"checksum of three octets", proxied(tlv(3, "123")), errChecksum.Error()},
	{"checksum of five octets", proxied(tlv(3, "12345")), errChecksum.Error()},
	{"checksum empty", proxied(tlv(3, "")), errChecksum.Error()},
	{"checksum wrong", proxied(tlv(3, "\x00\x00\x00\x00")), errChecksum.Error()},
}

func TestHeaderRefused(t *testing.T) {
	for _, c := range slices.Concat(refusedV1, refusedTLVs) {
		t.Run(c.name, func(t *testing.T) {
			for name, size := range sizes {
				taken, o, done, err := read(c.header+"QUIT\r\n", size)
				if !done || err == nil || !strings.Contains(err.Error(), c.want) || o != (Origin{}) {
					t.Errorf("%s: %+v, done %v, error %v, want %s", name, o, done, err, c.want)
				}
				if taken != len(c.header) {
					t.Errorf("%s: took %d of %d", name, taken, len(c.header))
				}
			}
		})
	}
}
