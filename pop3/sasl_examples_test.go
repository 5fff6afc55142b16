package pop3

import (
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

// The examples of the RFCs, and of Google's page on XOAUTH2.
func TestSASLExamples(t *testing.T) {
	const (
		oauth       = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
		oauthSMTP   = "n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
		googleOAuth = "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"
	)
	for _, c := range []struct {
		name     string
		m        Mechanism
		response string
		user     string
		secret   string
		err      error
	}{
		{"RFC 4616, section 4, Tim", PLAIN, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "tim", "tanstaaftanstaaf", nil},
		{"RFC 4616, section 4, Kurt as Ursel", PLAIN, "VXJzZWwAS3VydAB4aXBqM3BsbXE=", "", "", ErrAuthzid},
		{"RFC 5034, section 6", PLAIN, "dGVzdAB0ZXN0AHRlc3Q=", "test", "test", nil},
		{"RFC 7628, section 4.1, IMAP", OAUTHBEARER,
			"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
			"user@example.com", oauth, nil},
		{"RFC 7628, section 4.1, SMTP", OAUTHBEARER,
			"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
			"user@example.com", oauthSMTP, nil},
		{"RFC 7628, section 4.3, no token", OAUTHBEARER,
			"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9AQE=", "", "", ErrMessage},
		{"RFC 7628, section 4.4, user= in place of a=", OAUTHBEARER,
			"bix1c2VyPXNvbWV1c2VyQGV4YW1wbGUuY29tLAFhdXRoPUJlYXJlciB2RjlkZnQ0cW1UYzJOdmIzUmxja0JoZEhSaGRtbHpkR0V1WTI5dENnPT0BAQ==", "", "", ErrMessage},
		{"XOAUTH2", XOAUTH2,
			"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==",
			"someuser@example.com", googleOAuth, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, s := range []said{converse(c.m, c.response), converse(c.m, absent, c.response)} {
				if c.err != nil {
					if s.err != c.err || s.done {
						t.Errorf("done %v, error %v, want %v", s.done, s.err, c.err)
					}
					continue
				}
				expectCredentials(t, s, c.m, c.user, c.secret)
			}
		})
	}
}

// The challenges of RFC 5034, section 6, and RFC 7628, section 4.3, as lines.
func TestChallengeLines(t *testing.T) {
	for _, c := range []struct{ challenge, want string }{
		{"", "+ \r\n"},
		{askPassword, "+ UGFzc3dvcmQ6\r\n"},
		{"eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=", "+ eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\r\n"},
	} {
		line := string(AppendChallenge(nil, c.challenge))
		if line != c.want {
			t.Errorf("got %q, want %q", line, c.want)
		}
		text, ok := ParseChallenge([]byte(strings.TrimSuffix(line, "\r\n")))
		if !ok || string(text) != c.challenge {
			t.Errorf("%q was read as %q, %v", line, text, ok)
		}
	}
}

// goSASL lets a client of go-sasl talk to an exchange, its first message in the
// AUTH command or after an empty challenge.
func goSASL(t *testing.T, client sasl.Client, atOnce bool) (*Exchange, Mechanism) {
	t.Helper()
	name, message, err := client.Start()
	m, known := ParseMechanism([]byte(name))
	if err != nil || !known {
		t.Fatalf("%q: %v", name, err)
	}
	e := NewExchange(m)
	initial := absent
	if atOnce {
		initial = encode(string(message))
	}
	challenge, done, err := e.Initial([]byte(initial))
	if !atOnce && err == nil { // the message was prepared, so it answers the first challenge
		challenge, done, err = e.Respond([]byte(encode(string(message))))
	}
	for err == nil && !done {
		question, fault := decodeBase64([]byte(challenge), MaxLine(m))
		if fault != nil {
			t.Fatalf("challenge %q: %v", challenge, fault)
		}
		answer, fault := client.Next(question)
		if fault != nil {
			t.Fatalf("the client didn't understand %q: %v", question, fault)
		}
		challenge, done, err = e.Respond([]byte(encode(string(answer))))
	}
	if err != nil {
		t.Fatal(err)
	}
	return e, m
}

func TestGoSASLClients(t *testing.T) {
	bearer := &sasl.OAuthBearerOptions{Username: "alice@example.com", Token: strings.Repeat("t", 16<<10), Host: "pop.example.com", Port: 995}
	for name, c := range map[string]struct {
		client       func() sasl.Client
		m            Mechanism
		user, secret string
	}{
		"PLAIN":               {func() sasl.Client { return sasl.NewPlainClient("", "alice", "p\u00e4ss word") }, PLAIN, "alice", "p\u00e4ss word"},
		"PLAIN with identity": {func() sasl.Client { return sasl.NewPlainClient("alice", "alice", "secret") }, PLAIN, "alice", "secret"},
		"LOGIN":               {func() sasl.Client { return sasl.NewLoginClient("alice@example.com", "p\xe4ss") }, LOGIN, "alice@example.com", "p\xe4ss"},
		"OAUTHBEARER": {func() sasl.Client { return sasl.NewOAuthBearerClient(bearer) }, OAUTHBEARER, "alice@example.com",
			"n,a=alice@example.com,\x01host=pop.example.com\x01port=995\x01auth=Bearer " + bearer.Token + "\x01\x01"},
		"OAUTHBEARER without host": {
			func() sasl.Client {
				return sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: "a", Token: "t"})
			},
			OAUTHBEARER, "a", "n,a=a,\x01auth=Bearer t\x01\x01"},
	} {
		for _, atOnce := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				e, m := goSASL(t, c.client(), atOnce)
				expectCredentials(t, said{done: true, credentials: e.Credentials()}, c.m, c.user, c.secret)
				if m != c.m {
					t.Errorf("mechanism %s", m)
				}
			})
		}
	}
}

// go-sasl's servers read what is written for a backend, and its client reads the
// challenge that refuses a token.
func TestGoSASLServers(t *testing.T) {
	var got []string
	plain := sasl.NewPlainServer(func(identity, user, password string) error {
		got = append(got, identity, user, password)
		return nil
	})
	message := func(c Credentials) []byte {
		line, _ := strings.CutSuffix(string(AppendMessage(nil, c)), "\r\n")
		decoded, err := decodeBase64([]byte(line), maxOAuthLine)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	if _, done, err := plain.Next(message(Credentials{LOGIN, "alice", NewSecret([]byte("secret"))})); !done || err != nil {
		t.Errorf("PLAIN: %v, %v", done, err)
	}
	bearer := sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
		got = append(got, o.Username, o.Token)
		return nil
	})
	octets := NewSecret([]byte("n,a=bob,\x01host=h\x01auth=Bearer t\x01\x01"))
	if _, done, err := bearer.Next(message(Credentials{OAUTHBEARER, "bob", octets})); !done || err != nil {
		t.Errorf("OAUTHBEARER: %v, %v", done, err)
	}
	if want := []string{"", "alice", "secret", "bob", "t"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	challenge, _ := decodeBase64([]byte(InvalidToken), maxOAuthLine)
	_, err := sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{}).Next(challenge)
	if refusal, ok := err.(*sasl.OAuthBearerError); !ok || refusal.Status != "invalid_token" {
		t.Errorf("the client read %q as %v", challenge, err)
	}
}
