package pop3

import (
	"bytes"
	"strings"
	"testing"
)

func TestAppendAuth(t *testing.T) {
	message := "n,a=alice,\x01auth=Bearer t\x01\x01"
	for _, c := range []struct {
		m            Mechanism
		user, secret string
		want         string
	}{
		{"", "tim", "tanstaaftanstaaf", "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"},
		{PLAIN, "tim", "tanstaaftanstaaf", "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"},
		{LOGIN, "tim", "tanstaaftanstaaf", "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"},
		{OAUTHBEARER, "alice", message, "AUTH OAUTHBEARER bixhPWFsaWNlLAFhdXRoPUJlYXJlciB0AQE=\r\n"},
		{OAUTHBEARER, "routed elsewhere", message, "AUTH OAUTHBEARER bixhPWFsaWNlLAFhdXRoPUJlYXJlciB0AQE=\r\n"},
		{XOAUTH2, "alice", "user=alice\x01auth=Bearer t\x01\x01", "AUTH XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciB0AQE=\r\n"},
	} {
		credentials := Credentials{c.m, c.user, NewSecret([]byte(c.secret))}
		got, whole := AppendAuth([]byte("before"), credentials)
		if string(got) != "before"+c.want || !whole {
			t.Errorf("%q: got %q, %v", c.m, got, whole)
		}
		if string(credentials.Secret.Reveal()) != c.secret {
			t.Errorf("%q: the secret was changed", c.m)
		}
	}
}

// At 255 octets the message moves out of the command. RFC 5034, section 4, has no
// limit for what follows the challenge.
func TestAppendAuthLongMessages(t *testing.T) {
	for m, begin := range map[Mechanism]string{
		PLAIN: "", XOAUTH2: "user=alice\x01auth=Bearer ", OAUTHBEARER: "n,a=alice,\x01auth=Bearer ",
	} {
		split := 0
		for length := range 200 {
			c := Credentials{m, "alice", NewSecret([]byte(begin + strings.Repeat("t", length+1)))}
			line, whole := AppendAuth(nil, c)
			message := AppendMessage(nil, c)
			all := "AUTH " + string(m) + " " + string(message)
			switch {
			case whole && (string(line) != all || len(line) > MaxCommandLine):
				t.Fatalf("%s, %d: %q", m, length, line)
			case !whole && (string(line) != "AUTH "+string(m)+"\r\n" || len(all) <= MaxCommandLine):
				t.Fatalf("%s, %d: %q", m, length, line)
			case !whole:
				split++
			}
		}
		if split == 0 || split == 200 {
			t.Errorf("%s: %d of 200 were split", m, split)
		}
	}
}

// Where dst grows, the memory it leaves holds nothing of the secret.
func TestAppendAuthLeavesNoSecretBehind(t *testing.T) {
	for room := range 400 {
		for _, c := range []Credentials{
			{PLAIN, "alice", NewSecret(bytes.Repeat([]byte(canary), 20))},
			{OAUTHBEARER, "alice", NewSecret([]byte("n,a=alice,\x01auth=Bearer " + strings.Repeat(canary, 18) + "\x01\x01"))},
		} {
			old := make([]byte, 0, room)
			line, whole := AppendAuth(old, c)
			if !whole {
				t.Fatal("meant to be whole")
			}
			if room < len(line) && bytes.Contains(old[:room], line[len("AUTH OAUTHBEARER "):][:4]) {
				t.Fatalf("room for %d: left behind %q", room, old[:room])
			}
		}
	}
}

func TestParseChallenge(t *testing.T) {
	for _, c := range []struct {
		line, text string
		ok         bool
	}{
		{"+", "", true}, // Exchange leaves the space out
		{"+ ", "", true},
		{"+ UGFzc3dvcmQ6", "UGFzc3dvcmQ6", true},
		{"+  UGFzc3dvcmQ6", " UGFzc3dvcmQ6", true},
		{"+ Go ahead", "Go ahead", true},

		{"", "", false}, {" ", "", false}, {"+OK", "", false}, {"+OK + ", "", false}, {"-ERR", "", false}, {"-ERR + ", "", false},
		{"++", "", false}, {"+\t", "", false}, {" + ", "", false}, {"334 ", "", false}, {"+UGFzc3dvcmQ6", "", false}, {"+\x00", "", false},
	} {
		text, ok := ParseChallenge([]byte(c.line))
		if ok != c.ok || ok && string(text) != c.text {
			t.Errorf("%q: got %q, %v", c.line, text, ok)
		}
		if _, err := ParseReply([]byte(c.line)); ok && err == nil {
			t.Errorf("%q is a challenge and a reply", c.line)
		}
	}
}

func TestErrorChallenge(t *testing.T) {
	const fromRFC = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NvcGUiOiJleGFtcGxlX3Njb3BlIiwib3BlbmlkLWNvbmZpZ3VyYXRpb24i" +
		"OiJodHRwczovL2V4YW1wbGUuY29tLy53ZWxsLWtub3duL29wZW5pZC1jb25maWcifQ=="
	if InvalidToken != encode(`{"status":"invalid_token"}`) {
		t.Error(InvalidToken)
	}
	for _, c := range []struct{ text, want string }{
		{fromRFC, fromRFC},
		{encode("{}"), encode("{}")},
		{"", InvalidToken},
		{"=", InvalidToken},
		{"Go away", InvalidToken},
		{"-ERR no\x1b[2J", InvalidToken},
		{fromRFC[:len(fromRFC)-1], InvalidToken},
		{fromRFC + " ", InvalidToken},
		{strings.Repeat("A", maxOAuthLine), InvalidToken},
	} {
		if got := ErrorChallenge([]byte(c.text)); got != c.want {
			t.Errorf("%.40q: got %.40q, want %.40q", c.text, got, c.want)
		}
	}
}

func TestAppendAcknowledgment(t *testing.T) {
	for m, want := range map[Mechanism]string{OAUTHBEARER: "AQ==\r\n", XOAUTH2: "\r\n"} {
		if got := string(AppendAcknowledgment([]byte("x"), m)); got != "x"+want {
			t.Errorf("%s: %q", m, got)
		}
	}
}
