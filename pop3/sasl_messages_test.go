package pop3

import (
	"slices"
	"strings"
	"testing"
)

func TestPlainMessages(t *testing.T) {
	longest := strings.Repeat("x", maxField)
	for _, c := range []struct{ message, user, password string }{
		{"\x00alice\x00secret", "alice", "secret"},
		{"alice\x00alice\x00secret", "alice", "secret"},
		{"test\x00test\x00test", "test", "test"},
		{"\x00alice@example.com\x00two words ", "alice@example.com", "two words "},
		{"\x00a\x00b", "a", "b"},
		{"\x00a\x00 ", "a", " "},
		{"\x00\u00e4lice\x00p\u00e4ss", "\u00e4lice", "p\u00e4ss"},
		{"\x00alice\x00p\xe4ss\xff", "alice", "p\xe4ss\xff"}, // Latin-1
		{"\x00alice\x00\x80\x9f", "alice", "\x80\x9f"},
		{"\x00" + longest + "\x00" + longest, longest, longest},
		{longest + "\x00" + longest + "\x00" + longest, longest, longest},
	} {
		expectCredentials(t, converse(PLAIN, encode(c.message)), PLAIN, c.user, c.password)
		s := converse(PLAIN, absent, encode(c.message))
		expectCredentials(t, s, PLAIN, c.user, c.password)
		if !slices.Equal(s.challenges, []string{""}) {
			t.Errorf("%q: challenges %q", c.message, s.challenges)
		}
	}
}

func TestPlainRefusals(t *testing.T) {
	long := strings.Repeat("x", maxField+1)
	for _, c := range []struct {
		message string
		want    error
	}{
		{"", ErrMessage},
		{"alice", ErrMessage},
		{"alice\x00secret", ErrMessage},
		{"\x00alice", ErrMessage},
		{"\x00", ErrMessage},
		{"\x00\x00", ErrMessage},
		{"\x00\x00\x00", ErrMessage},
		{"\x00\x00secret", ErrMessage}, // no user
		{"\x00alice\x00", ErrMessage},  // no password
		{"alice\x00\x00secret", ErrMessage},
		{"\x00alice\x00secret\x00", ErrMessage},
		{"\x00alice\x00sec\x00ret", ErrMessage},
		{"\x00ali\x00ce\x00secret", ErrMessage},
		{"\x00\x00alice\x00secret", ErrMessage},

		{"bob\x00alice\x00secret", ErrAuthzid},
		{"Alice\x00alice\x00secret", ErrAuthzid},
		{"alice@example.com\x00alice\x00secret", ErrAuthzid},
		{"alice \x00alice\x00secret", ErrAuthzid},
		{" \x00alice\x00secret", ErrAuthzid},
		{"root\x00alice\x00secret", ErrAuthzid},

		{"\x00alice\r\nDELE 1\x00secret", ErrControl},
		{"\x00alice\x00secret\r\nDELE 1", ErrControl},
		{"\x00alice\x00\n", ErrControl},
		{"\x00\r\x00secret", ErrControl},
		{"alice\n\x00alice\n\x00secret", ErrControl},
		{"alice\n\x00alice\x00secret", ErrControl},
		{"\x1b[2J\x00alice\x00secret", ErrControl},

		{"\x00" + long + "\x00secret", ErrTooLong},
		{"\x00alice\x00" + long, ErrTooLong},
	} {
		for _, s := range []said{converse(PLAIN, encode(c.message)), converse(PLAIN, absent, encode(c.message))} {
			if c.message == "" && s.err == nil {
				continue // an empty argument is no message, but a question for it
			}
			if s.err != c.want || s.done || s.credentials != (Credentials{}) {
				t.Errorf("%.60q: done %v, error %v, want %v", c.message, s.done, s.err, c.want)
			}
		}
	}
}

// Every control octet, in every place of every mechanism.
func TestMessagesWithControlOctets(t *testing.T) {
	for _, octet := range controls() {
		for _, field := range []string{octet, octet + "x", "x" + octet, "x" + octet + "x", "\xff" + octet} {
			for name, s := range map[string]said{
				"PLAIN user":         converse(PLAIN, encode("\x00"+field+"\x00secret")),
				"PLAIN password":     converse(PLAIN, encode("\x00alice\x00"+field)),
				"PLAIN authzid":      converse(PLAIN, encode(field+"\x00alice\x00secret")),
				"LOGIN user":         converse(LOGIN, encode(field)),
				"LOGIN asked":        converse(LOGIN, absent, encode(field)),
				"LOGIN password":     converse(LOGIN, absent, encode("alice"), encode(field)),
				"XOAUTH2 user":       converse(XOAUTH2, encode("user="+field+"\x01auth=Bearer t\x01\x01")),
				"XOAUTH2 token":      converse(XOAUTH2, encode("user=alice\x01auth=Bearer t"+field+"\x01\x01")),
				"XOAUTH2 end":        converse(XOAUTH2, encode("user=alice\x01auth=Bearer t\x01\x01"+field)),
				"OAUTHBEARER header": converse(OAUTHBEARER, encode("n"+field+",a=alice,\x01auth=Bearer t\x01\x01")),
				"OAUTHBEARER user":   converse(OAUTHBEARER, encode("n,a="+field+",\x01auth=Bearer t\x01\x01")),
				"OAUTHBEARER key":    converse(OAUTHBEARER, encode("n,a=alice,\x01"+field+"=v\x01auth=Bearer t\x01\x01")),
				"OAUTHBEARER value":  converse(OAUTHBEARER, encode("n,a=alice,\x01host="+field+"\x01auth=Bearer t\x01\x01")),
				"OAUTHBEARER token":  converse(OAUTHBEARER, encode("n,a=alice,\x01auth=Bearer t"+field+"\x01\x01")),
			} {
				if s.done || s.err != ErrControl && s.err != ErrMessage {
					t.Errorf("%q as %s: done %v, error %v", field, name, s.done, s.err)
				}
				if octet != "\x00" && octet != "\x01" && s.err != ErrControl { // those two separate
					t.Errorf("%q as %s: error %v", field, name, s.err)
				}
			}
		}
	}
}

func controls() []string {
	found := []string{"\x7f"}
	for c := range ' ' {
		found = append(found, string(c))
	}
	return found
}

func TestLoginExchange(t *testing.T) {
	for _, c := range []struct{ user, password string }{
		{"alice", "secret"}, {"alice@example.com", " two words "}, {"\u00e4", "\xe4\xff"}, {" ", " "}, {"a", "="},
	} {
		asked := converse(LOGIN, absent, encode(c.user), encode(c.password))
		expectCredentials(t, asked, LOGIN, c.user, c.password)
		if want := []string{encode("Username:"), encode("Password:")}; !slices.Equal(asked.challenges, want) {
			t.Errorf("challenges %q, want %q", asked.challenges, want)
		}
		given := converse(LOGIN, encode(c.user), encode(c.password)) // as Outlook does
		expectCredentials(t, given, LOGIN, c.user, c.password)
		if want := []string{encode("Password:")}; !slices.Equal(given.challenges, want) {
			t.Errorf("challenges %q, want %q", given.challenges, want)
		}
	}
}

func TestLoginRefusals(t *testing.T) {
	long := encode(strings.Repeat("x", maxField+1))
	user := encode("alice")
	for _, c := range []struct {
		initial string
		lines   []string
		want    error
	}{
		{absent, []string{""}, ErrMessage},
		{"=", nil, ErrMessage},
		{absent, []string{user, ""}, ErrMessage},
		{user, []string{""}, ErrMessage},
		{long, nil, ErrTooLong},
		{user, []string{long}, ErrTooLong},
		{encode("alice\r\nPASS x"), nil, ErrControl},
		{user, []string{encode("x\r\nDELE 1")}, ErrControl},
		{user, []string{encode("x\x00")}, ErrControl},
	} {
		if s := converse(LOGIN, c.initial, c.lines...); s.err != c.want || s.done || s.credentials != (Credentials{}) {
			t.Errorf("%.20q %.20q: done %v, error %v, want %v", c.initial, c.lines, s.done, s.err, c.want)
		}
	}
}
