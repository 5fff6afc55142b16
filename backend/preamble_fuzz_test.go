package backend_test

import (
	"strings"
	"testing"

	"postern/backend"
)

// FuzzPreamble lets a backend say anything to a login with any wishes. However its
// octets are cut there is one verdict; the secret never goes out before the
// greeting nor, where TLS is wished for, before TLS; what goes out is the beginning
// of what would go out to a backend that takes everything.
func FuzzPreamble(f *testing.F) {
	f.Add([]byte("+OK\r\n"), []byte("+OK\r\n"), []byte("+OK Updated\r\n+OK\r\n+OK in\r\n"), uint8(15), uint8(3))
	f.Add([]byte("+OK\r\n"), []byte("+OK\r\n+OK\r\n"), []byte("+OK\r\n"), uint8(1), uint8(1))
	f.Add([]byte("+OK\r\n"), []byte("-ERR\r\n-ERR\r\n"), []byte(""), uint8(4), uint8(2))
	f.Add([]byte("+OK\r\n"), []byte("+OK\r\n-ERR "+password+"\r\n"), []byte(""), uint8(4), uint8(2))
	f.Add([]byte("-ERR\r\n"), []byte("+OK\r\n"), []byte("+ \r\n"), uint8(7), uint8(0))
	for _, m := range malformed {
		if len(m.line) < 4<<10 {
			f.Add([]byte("+OK\r\n"), []byte("+OK\r\n"), []byte(m.line), uint8(6), uint8(1))
		}
	}
	table := refusals(f)
	f.Fuzz(func(t *testing.T, first, second, third []byte, wish, chunk uint8) {
		w := wishes{wish&1 != 0, wish&2 != 0, wish&4 != 0, wish&8 != 0}
		turns := []string{string(first), string(second), string(third), "+OK\r\n", "+OK in\r\n"}
		whole := play(t, backend.NewLogin(w.entry(), table), turns, 0)
		cut := play(t, backend.NewLogin(w.entry(), table), turns, int(chunk)+1)
		if same(whole) != same(cut) || whole.rest != cut.rest {
			t.Fatalf("in one: %s\nin pieces of %d: %s", same(whole), int(chunk)+1, same(cut))
		}
		sent := strings.Join(whole.sent, "")
		if told := w.all(); !strings.HasPrefix(told, sent) && !w.asksAgain(sent) {
			t.Fatalf("sent %q, not the beginning of %q", sent, told)
		}
		if said := strings.Join(turns, ""); !strings.HasPrefix(said, "+OK") && sent != "" {
			t.Fatalf("sent %q behind the greeting %q", sent, said)
		}
		if w.stls && !strings.Contains(sent, handshake) && sent != "" && sent != sentSTLS {
			t.Fatalf("sent %q in plain text", sent)
		}
		if whole.err == nil && !strings.HasSuffix(sent, sentPass) && !strings.Contains(sent, sentPlain) {
			t.Fatalf("logged in by %q", sent)
		}
		checkTexts(t, whole, password)
	})
}

// all is what a login sends in all.
func (w wishes) all() string {
	var all string
	if w.stls {
		all += sentSTLS + handshake
	}
	if w.xclient {
		all += sentXCLIENT
	}
	if w.plain {
		return all + sentPlain
	}
	return all + sentUser + sentPass
}

// asksAgain: an empty challenge to AUTH asks for the message once more.
func (w wishes) asksAgain(sent string) bool {
	return w.plain && sent == w.all()+strings.TrimPrefix(sentPlain, "AUTH PLAIN ")
}
