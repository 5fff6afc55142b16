package origin

import (
	"bufio"
	"bytes"
	"reflect"
	"testing"

	"github.com/pires/go-proxyproto"

	"postern/pop3"
)

// FuzzHeader: whatever a connection begins with, the result depends on the octets
// and never on how they were cut; no octet behind the header is taken, and Room
// never asks for one; and there are no two opinions on where a header ends.
func FuzzHeader(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s.header+"USER alice\r\n"), []byte{2, 0, 30})
	}
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.7 080 +80\r\n"), []byte{0})
	f.Add([]byte("PROXY TCP4 1 1 1 1\r\nUSER alice\r\nPASS x\r\n"), []byte{255})
	f.Add([]byte(proxied(ssl(7, 0, tlv(0x21, "TLSv1.3"), tlv(0x22, "c")), tlv(3, "1234"))), []byte{15, 0, 0})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		taken, o, done, err := read(string(stream), whole)
		if taken > len(stream) || taken > fixedV2+maxBlock {
			t.Fatalf("took %d of %d octets", taken, len(stream))
		}
		if done && err == nil {
			checkOrigin(t, stream[:taken], o)
		} else if o != (Origin{}) {
			t.Errorf("done %v, error %v, and %+v", done, err, o)
		}
		checkSecondOpinion(t, stream, taken, done && err == nil)
		i := 0
		pieces := func(*HeaderReader) int {
			if i++; len(cuts) == 0 {
				return 1
			}
			return 1 + int(cuts[i%len(cuts)])
		}
		for name, size := range map[string]func(*HeaderReader) int{"cuts": pieces, "single": single, "needed": needed} {
			taken2, o2, done2, err2 := read(string(stream), size)
			if done2 != done || !reflect.DeepEqual(o2, o) || !sameError(err, err2) || err == nil && taken2 != taken {
				t.Errorf("whole: %d %+v %v %v\n%s: %d %+v %v %v", taken, o, done, err, name, taken2, o2, done2, err2)
			}
		}
	})
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// checkOrigin: what was taken has valid addresses or says that it has none, and
// only texts that can be logged.
func checkOrigin(t *testing.T, header []byte, o Origin) {
	nobody := o.Local || bytes.HasPrefix(header, []byte("PROXY UNKNOWN"))
	for _, end := range []interface {
		IsValid() bool
		String() string
	}{o.Client, o.Server} {
		if end.IsValid() == nobody {
			t.Errorf("%q: end %v", header, end)
		}
	}
	if o.Client.Addr().Is4In6() || o.Client.Addr().Zone() != "" || o.Client.Addr().Is4() != o.Server.Addr().Is4() && header[0] == 'P' && header[9] == '4' {
		t.Errorf("%q: client %v, server %v", header, o.Client, o.Server)
	}
	texts := []string{o.ServerName, o.ALPN, o.UniqueID}
	if o.TLS != nil {
		texts = append(texts, o.TLS.Version, o.TLS.Cipher, o.TLS.ClientCN)
	}
	for _, text := range texts {
		if text != pop3.Printable(text, maxText) {
			t.Errorf("%q: text %q", header, text)
		}
	}
	if nobody && !reflect.DeepEqual(o, Origin{Local: o.Local}) {
		t.Errorf("%q speaks for nobody, and says %+v", header, o)
	}
}

// checkSecondOpinion compares with the parser on the open stream: what is taken here,
// it takes to the same octet; and a header of version 1 that it takes is taken here.
func checkSecondOpinion(t *testing.T, stream []byte, taken int, accepted bool) {
	all := bytes.NewReader(stream)
	buffered := bufio.NewReaderSize(all, max(len(stream), 16))
	h, err := proxyproto.Read(buffered)
	if end := len(stream) - all.Len() - buffered.Buffered(); accepted && (err != nil || end != taken) {
		t.Errorf("took %d octets; the parser %d with error %v", taken, end, err)
	}
	if err == nil && h.Version == 1 && !accepted {
		t.Errorf("refused %q, which the parser takes", stream)
	}
}
