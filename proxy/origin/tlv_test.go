package origin

import (
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
)

func TestTLVs(t *testing.T) {
	long := strings.Repeat("x", 300)
	version := tlv(0x21, "TLSv1.2")
	for _, c := range []struct {
		name string
		tlvs []string
		want Origin
	}{
		{"none", nil, Origin{}},
		{"padding", []string{tlv(4, ""), tlv(4, "\x00\x00\x00")}, Origin{}},
		{"padding twice, then a name", []string{tlv(4, "xx"), tlv(4, "yyy"), tlv(2, "mail.example.com")}, Origin{ServerName: "mail.example.com"}},
		{"types nobody knows, twice", []string{tlv(0xEA, "\x01vpce-1"), tlv(0xEA, ""), tlv(0x30, "netns")}, Origin{}},
		{"name, ALPN, id", []string{tlv(2, "mail.example.com"), tlv(1, "pop3"), tlv(5, "id-1")},
			Origin{ServerName: "mail.example.com", ALPN: "pop3", UniqueID: "id-1"}},
		{"empty ones", []string{tlv(2, ""), tlv(1, ""), tlv(5, "")}, Origin{}},
		{"too long ones are cut", []string{tlv(2, long), tlv(1, long), tlv(5, long)},
			Origin{ServerName: long[:255], ALPN: long[:255], UniqueID: long[:255]}},
		{"what can't be printed", []string{tlv(2, "a\r\n+OK\x00\x7fé"), tlv(1, "\x1b[2J"), tlv(5, "\xff\xfe")},
			Origin{ServerName: "a??+OK????", ALPN: "?[2J", UniqueID: "??"}},

		{"TLS", []string{ssl(1, 1, version, tlv(0x23, "ECDHE"))}, Origin{TLS: &TLS{Version: "TLSv1.2", Cipher: "ECDHE"}}},
		{"TLS, no cipher told", []string{ssl(1, 0, version)}, Origin{TLS: &TLS{Version: "TLSv1.2"}}},
		{"no TLS", []string{ssl(0, 0)}, Origin{}},
		{"no TLS, but names of it", []string{ssl(0, 0, version, tlv(0x22, "client.example.com"))}, Origin{}},
		{"bits of certificates, no TLS", []string{ssl(6, 0)}, Origin{}},
		{"certificate, verified", []string{ssl(3, 0, version, tlv(0x22, "c.example.com"))},
			Origin{TLS: &TLS{Version: "TLSv1.2", ClientCN: "c.example.com", Verified: true}}},
		{"certificate of the resumed session", []string{ssl(5, 0, version, tlv(0x22, "c.example.com"))},
			Origin{TLS: &TLS{Version: "TLSv1.2", ClientCN: "c.example.com", Verified: true}}},
		{"certificate, refused", []string{ssl(7, 18, version, tlv(0x22, "c.example.com"))},
			Origin{TLS: &TLS{Version: "TLSv1.2", ClientCN: "c.example.com"}}},
		{"no certificate: 0 proves nothing", []string{ssl(1, 0, version, tlv(0x22, "c.example.com"))}, Origin{TLS: &TLS{Version: "TLSv1.2"}}},
		{"texts of TLS", []string{ssl(3, 0, tlv(0x21, "TLS\r\n"), tlv(0x23, long), tlv(0x22, "Zoë\n"))},
			Origin{TLS: &TLS{Version: "TLS??", Cipher: long[:255], ClientCN: "Zo???", Verified: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			want.Client, want.Server = samples()[0].want.Client, samples()[0].want.Server
			if _, o, _, err := read(proxied(c.tlvs...), whole); err != nil || !reflect.DeepEqual(o, want) {
				t.Errorf("got %+v (TLS %+v), error %v", o, o.TLS, err)
			}
		})
	}
}

// TestTLVsCut ends the TLVs at each octet, the header's length being that of the
// rest: only between two TLVs this is a header.
func TestTLVsCut(t *testing.T) {
	tlvs := []string{tlv(2, "mail.example.com"), tlv(4, "\x00\x00"), ssl(1, 0, tlv(0x21, "TLSv1.3")), tlv(0xEA, "")}
	joined, borders, at := strings.Join(tlvs, ""), map[int]bool{0: true}, 0
	for _, one := range tlvs {
		at += len(one)
		borders[at] = true
	}
	for end := range len(joined) + 1 {
		if _, _, done, err := read(proxied(joined[:end]), whole); !done || (err == nil) != borders[end] {
			t.Errorf("cut at %d: done %v, error %v", end, done, err)
		}
	}
}

// TestChecksum flips every octet of a header that has one, in turn.
func TestChecksum(t *testing.T) {
	for _, sum := range []int{0, 1} { // the checksum's place among the TLVs
		tlvs := []string{tlv(0xEB, "padding"), tlv(0xEA, "x")}
		tlvs[sum] = tlv(3, "\x00\x00\x00\x00")
		header := []byte(proxied(tlvs...))
		at := strings.Index(string(header), tlvs[sum]) + 3
		binary.BigEndian.PutUint32(header[at:], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
		if _, _, done, err := read(string(header), whole); !done || err != nil {
			t.Fatalf("done %v, error %v", done, err)
		}
		// With another type it is no checksum, and LOCAL has none.
		exempt := map[int]bool{at - 3: true, atCommand: true}
		for i := range header {
			broken := append([]byte(nil), header...)
			broken[i] ^= 0x01
			if _, _, done, err := read(string(broken), whole); done && err == nil && !exempt[i] {
				t.Errorf("octet %d of %d is another, and nobody minds", i, len(header))
			}
		}
	}
}
