package origin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

var (
	errCut      = errors.New("a TLV is cut")
	errRepeated = errors.New("a TLV is there twice")
	errChecksum = errors.New("wrong checksum")
)

// readTLVs reads what stands behind the addresses of a header of version 2. The
// parser's own list of TLVs won't do: it forgets how long padding was, and the
// checksum has to be found in its place. Types that aren't known are passed over.
func (o *Origin) readTLVs(header []byte) error {
	var seen [256]bool
	for rest := header[fixedV2+addressesV2(header):]; len(rest) > 0; {
		if len(rest) < 3 || len(rest) < 3+int(binary.BigEndian.Uint16(rest[1:])) {
			return errCut
		}
		kind, end := rest[0], 3+int(binary.BigEndian.Uint16(rest[1:]))
		known, err := o.take(proxyproto.PP2Type(kind), rest[3:end], header)
		switch {
		case err != nil:
			return fmt.Errorf("TLV %#02x: %w", kind, err)
		case known && seen[kind]: // which of the two holds is a matter of opinion
			return fmt.Errorf("TLV %#02x: %w", kind, errRepeated)
		}
		seen[kind], rest = true, rest[end:]
	}
	return nil
}

func (o *Origin) take(kind proxyproto.PP2Type, value, header []byte) (known bool, err error) {
	switch kind {
	case proxyproto.PP2_TYPE_ALPN:
		o.ALPN = text(string(value))
	case proxyproto.PP2_TYPE_AUTHORITY:
		o.ServerName = text(string(value))
	case proxyproto.PP2_TYPE_UNIQUE_ID:
		o.UniqueID = text(string(value))
	case proxyproto.PP2_TYPE_CRC32C:
		err = verify(header, value)
	case proxyproto.PP2_TYPE_SSL:
		o.TLS, err = readTLS(value)
	default:
		return false, nil
	}
	return true, err
}

// verify checks the checksum over the whole header, which was computed with
// zeros in the checksum's own place. sum is a part of header.
func verify(header, sum []byte) error {
	if len(sum) != crc32.Size {
		return errChecksum
	}
	want := binary.BigEndian.Uint32(sum)
	clear(sum)
	got := crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(sum, want)
	if got != want {
		return errChecksum
	}
	return nil
}

// readTLS reads the TLV that says whether the client's connection was encrypted.
//
// That the peer found nothing wrong is no proof of a certificate: HAProxy reports
// the same for a client that showed none. So the bits that tell of one are asked first.
func readTLS(value []byte) (*TLS, error) {
	ssl, err := tlvparse.SSL(proxyproto.TLV{Type: proxyproto.PP2_TYPE_SSL, Value: value})
	if err != nil || !ssl.ClientSSL() {
		return nil, err
	}
	version, _ := ssl.SSLVersion()
	cipher, _ := ssl.SSLCipher()
	t := &TLS{Version: text(version), Cipher: text(cipher)}
	if ssl.ClientCertConn() || ssl.ClientCertSess() {
		name, _ := ssl.ClientCN()
		t.ClientCN, t.Verified = text(name), ssl.Verified()
	}
	return t, nil
}
