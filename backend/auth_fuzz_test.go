package backend_test

import (
	"slices"
	"strings"
	"testing"

	"postern/backend"
	"postern/pop3"
)

// FuzzAuth lets a backend say anything to AUTH. However its octets are cut, the
// result is the same; what is sent is one of few sequences; who is in has shown
// the message; no text shows a secret.
func FuzzAuth(f *testing.F) {
	f.Add([]byte("+OK\r\n"), []byte("+OK in\r\n"), []byte("+OK 0 0\r\n"), []byte(""), uint8(1))
	f.Add([]byte("+OK\r\n"), []byte("+ \r\n"), []byte("+OK in\r\n"), []byte(""), uint8(2))
	f.Add([]byte("+OK\r\n"), []byte("+ "+badToken+"\r\n"), []byte("-ERR [AUTH] no\r\n"), []byte("x"), uint8(3))
	f.Add([]byte("+OK\r\n"), []byte("+\r\n"), []byte("+ "+badToken+"\r\n"), []byte("-ERR "+token+"\r\n"), uint8(4))
	f.Add([]byte("+OK\r\n"), []byte("-ERR "+encoded(xoauth2)+"\r\n"), []byte("+ \r\n"), []byte("+ \r\n"), uint8(5))
	for _, m := range malformed {
		if len(m.line) < 4<<10 {
			f.Add([]byte("+OK\r\n"), []byte("+ \r\n"), []byte(m.line), []byte("+OK\r\n"), uint8(1))
		}
	}
	table := refusals(f)
	large := strings.Replace(bearer, token, token+strings.Repeat("x", 300), 1)
	f.Fuzz(func(t *testing.T, greeting, first, second, third []byte, chunk uint8) {
		turns := []string{string(greeting), string(first), string(second), string(third)}
		for _, c := range []struct {
			entry   backend.Entry
			command string // AUTH
			message string // on its own line
			answer  string
			secret  string
		}{
			{plain(user, password), sentPlain, encoded("\x00"+user+"\x00"+password) + "\r\n", "", password},
			{oauth(pop3.XOAUTH2, xoauth2), "AUTH XOAUTH2 " + encoded(xoauth2) + "\r\n", encoded(xoauth2) + "\r\n", "\r\n", token},
			{oauth(pop3.OAUTHBEARER, large), "AUTH OAUTHBEARER\r\n", encoded(large) + "\r\n", "AQ==\r\n", token},
		} {
			whole := play(t, backend.NewLogin(c.entry, table), turns, 0)
			cut := play(t, backend.NewLogin(c.entry, table), turns, int(chunk)+1)
			if same(whole) != same(cut) || whole.rest != cut.rest || whole.challenge != cut.challenge {
				t.Fatalf("in one: %s\nin pieces of %d: %s", same(whole), int(chunk)+1, same(cut))
			}
			expected := [][]string{nil, {c.command}, {c.command, c.message}, {c.command, c.answer}, {c.command, c.message, c.answer}}
			if !slices.ContainsFunc(expected, func(e []string) bool { return slices.Equal(e, whole.sent) }) {
				t.Fatalf("sent %q", whole.sent)
			}
			if told := strings.Join(whole.sent, ""); whole.err == nil && !strings.Contains(told, c.message[:len(c.message)-2]) {
				t.Fatalf("logged in by %q", told)
			}
			if whole.challenge != "" && !strings.Contains(strings.Join(turns, ""), "+ "+whole.challenge) {
				t.Fatalf("challenge %q", whole.challenge)
			}
			checkTexts(t, whole, c.secret)
			checkTexts(t, whole, c.message[:16])
		}
	})
}
