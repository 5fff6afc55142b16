package pop3

import (
	"bytes"
	"strings"
	"testing"
)

// Less room gives the memory back, keeps what was not taken, and leaves nothing of what was.
func TestLineReaderShrinks(t *testing.T) {
	r := NewLineReader(32 << 10)
	r.Write([]byte(strings.Repeat("t", 20<<10) + "\r\nNEXT"))
	if _, ok, err := r.Next(32 << 10); !ok || err != nil {
		t.Fatal(ok, err)
	}
	old := r.buf[:cap(r.buf)]
	r.SetMax(4096)
	if cap(r.buf) > 4096 || bytes.Contains(old, []byte("t")) {
		t.Errorf("%d octets are held, wiped: %v", cap(r.buf), !bytes.Contains(old, []byte("t")))
	}
	r.Write([]byte(" ONE\r\n"))
	if line, ok, err := r.Next(255); !ok || err != nil || string(line) != "NEXT ONE" {
		t.Errorf("%q, %v, %v", line, ok, err)
	}
}
