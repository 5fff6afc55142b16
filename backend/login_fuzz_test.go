package backend_test

import (
	"bytes"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// FuzzLogin lets a backend say anything in any pieces. However the octets of a
// turn are cut, the result is the same; nothing but USER and PASS is ever sent,
// PASS only after two lines of +OK; no text shows the password; little is held.
func FuzzLogin(f *testing.F) {
	for _, family := range families {
		turns := append(append([]string{}, family.turns...), "", "")
		f.Add([]byte(turns[0]), []byte(turns[1]), []byte(turns[2]), uint8(3))
	}
	for _, m := range malformed {
		if len(m.line) < 8<<10 { // long seeds make the fuzzer slow, and say no more
			f.Add([]byte("+OK\r\n"), []byte(m.line), []byte("+OK\r\n"), uint8(1))
		}
	}
	f.Add([]byte("+OK\r\n"), []byte("+OK\r\n"), []byte("+OK\r\n+OK 0 0\r\n"), uint8(5))
	f.Add([]byte("+OK\r\n"), []byte("+OK\r\n"), []byte("-ERR "+password+"\r\n"), uint8(2))
	table := refusals(f)
	f.Fuzz(func(t *testing.T, greeting, userSays, passSays []byte, chunk uint8) {
		turns := []string{string(greeting), string(userSays), string(passSays)}
		login := func() *backend.Login {
			return backend.NewLogin(entry(user, password), table)
		}
		whole := play(t, login(), turns, 0)
		cut := play(t, login(), turns, int(chunk)+1)
		if same(whole) != same(cut) || !bytes.Equal([]byte(whole.rest), []byte(cut.rest)) {
			t.Fatalf("in one: %s\nin pieces of %d: %s", same(whole), int(chunk)+1, same(cut))
		}
		checkSent(t, whole.sent, strings.Join(turns, ""))
		checkTexts(t, whole, password)
	})
}

// same renders what may not depend on the cutting.
func same(o outcome) string {
	if o.err != nil {
		return strings.Join(o.sent, "") + o.err.Error()
	}
	return strings.Join(o.sent, "") + string(o.reply.Append(nil))
}

func checkSent(t *testing.T, sent []string, said string) {
	t.Helper()
	if len(sent) > 2 {
		t.Fatalf("sent %q", sent)
	}
	lines := strings.SplitAfter(said, "\n")
	for i, command := range sent {
		if command != []string{sentUser, sentPass}[i] {
			t.Fatalf("command %d is %q", i, command)
		}
		line := strings.TrimSuffix(strings.TrimSuffix(lines[i], "\n"), "\r")
		if line != "+OK" && !strings.HasPrefix(line, "+OK ") {
			t.Fatalf("sent %q after %q", command, lines[i])
		}
	}
}

// checkTexts looks at what goes to the client or a log; the secret is one that the
// backend was told.
func checkTexts(t *testing.T, o outcome, secret string) {
	t.Helper()
	if o.err == nil {
		if line := o.reply.Append(nil); len(line) > pop3.MaxResponseLine || pop3.HasControl(line[:len(line)-2]) {
			t.Fatalf("passes %q to the client", line)
		}
		return
	}
	if len(o.err.Text) > 160 || pop3.Printable(o.err.Text, 160) != o.err.Text {
		t.Fatalf("text %q", o.err.Text)
	}
	if strings.Contains(o.err.Error(), secret) {
		t.Fatalf("the secret is in %q", o.err.Error())
	}
	if (o.err.Kind == backend.Refused) != (o.err.Code != pop3.NoCode) {
		t.Fatalf("kind %s with code %q", o.err.Kind, o.err.Code)
	}
}

func BenchmarkLogin(b *testing.B) {
	table := refusals(b)
	e := entry(user, password)
	turns := [][]byte{[]byte("+OK Dovecot (Debian) ready.\r\n"), []byte("+OK\r\n"), []byte("+OK Logged in.\r\n")}
	b.ReportAllocs()
	for b.Loop() {
		l := backend.NewLogin(e, table)
		for _, turn := range turns {
			l.Input(turn)
			l.Output()
		}
		if reply, _, _ := l.Result(); !reply.OK {
			b.Fatal("not logged in")
		}
	}
}
