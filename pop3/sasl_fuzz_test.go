package pop3

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzExchange: whatever the lines, each step is a challenge, credentials or an
// error, and only one of them; nothing follows an end. Credentials name a user,
// are bounded, and hold no control octets but the field ends of OAuth messages;
// written for a backend, they are read as the same.
func FuzzExchange(f *testing.F) {
	for _, s := range []struct {
		mechanism uint8
		lines     string
	}{
		{0, "\ndGVzdAB0ZXN0AHRlc3Q="}, {0, "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"}, {0, "="}, {0, "\n*"}, {0, "AAAA"},
		{1, "\nYWxpY2U=\nc2VjcmV0"}, {1, "YWxpY2U=\nc2VjcmV0\nc2VjcmV0"}, {1, "YWxpY2U=\n*"},
		{2, encode("user=alice\x01auth=Bearer t\x01\x01")}, {2, "\n" + encode("user=alice\x01auth=Bearer t\x01\x01")},
		{3, encode("n,a=a=2Cb=3D,\x01host=h\x01port=995\x01auth=Bearer t\x01\x01")}, {3, encode("y,,\x01auth=\x01\x01")}, {3, "AQ=="},
		{4, "\n\n"},
	} {
		f.Add(s.mechanism, []byte(s.lines))
	}
	known := append(mechanisms[:], "")
	f.Fuzz(func(t *testing.T, mechanism uint8, input []byte) {
		m := known[int(mechanism)%len(known)]
		e := NewExchange(m)
		step, over, questions := e.Initial, false, 0
		for line := range bytes.SplitSeq(input, []byte{'\n'}) {
			kept := bytes.Clone(line)
			challenge, done, err := step(line)
			step = e.Respond
			switch {
			case !bytes.Equal(line, kept):
				t.Fatal("the line was changed")
			case done && (challenge != "" || err != nil), err != nil && challenge != "":
				t.Fatalf("%q, %v, %v at once", challenge, done, err)
			case over && err == nil:
				t.Fatalf("%q, %v after the end", challenge, done)
			case !done && err == nil:
				questions++
			}
			if done {
				checkCredentials(t, m, e.Credentials())
			}
			over = over || done || err != nil
		}
		if questions > 2 || m != LOGIN && questions > 1 {
			t.Fatalf("%d questions by %q", questions, m)
		}
	})
}

func checkCredentials(t *testing.T, m Mechanism, c Credentials) {
	t.Helper()
	secret := c.Secret.Reveal()
	visible := secret
	if m.OAuth() {
		visible = bytes.TrimSuffix(secret, []byte(messageEnd))
		if len(secret)-len(visible) != len(messageEnd) || bytes.Contains(visible, []byte(messageEnd)) {
			t.Fatalf("%q doesn't end once", secret)
		}
		visible = bytes.ReplaceAll(visible, []byte{fieldEnd}, nil)
	}
	switch {
	case c.Mechanism != m || c.User == "" || len(secret) == 0:
		t.Fatalf("%s %q %q", c.Mechanism, c.User, secret)
	case HasControl([]byte(c.User)) || HasControl(visible):
		t.Fatalf("control octets: %q %q", c.User, secret)
	case len(c.User) > maxField || len(secret) > MaxLine(m) || !m.OAuth() && len(secret) > maxField:
		t.Fatalf("too long: %d and %d octets", len(c.User), len(secret))
	}
	line, whole := AppendAuth(nil, c)
	if strings.Count(string(line), "\n") != 1 || whole && len(line) > MaxCommandLine {
		t.Fatalf("not one command: %q", line)
	}
	sent := sentAs(m)
	again := converse(sent, absent, strings.TrimSuffix(string(AppendMessage(nil, c)), "\r\n"))
	expectCredentials(t, again, sent, c.User, string(secret))
}

func BenchmarkExchange(b *testing.B) {
	token := strings.Repeat("t", 2<<10)
	for _, c := range []struct{ name, line string }{
		{"PLAIN", encode("\x00alice@example.com\x00secret")},
		{"XOAUTH2", encode("user=alice@example.com\x01auth=Bearer " + token + "\x01\x01")},
		{"OAUTHBEARER", encode("n,a=alice@example.com,\x01host=h\x01port=995\x01auth=Bearer " + token + "\x01\x01")},
	} {
		b.Run("mechanism="+c.name, func(b *testing.B) {
			line := []byte(c.line)
			b.ReportAllocs()
			for b.Loop() {
				if _, done, err := NewExchange(Mechanism(c.name)).Initial(line); !done {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendAuth(b *testing.B) {
	c := Credentials{PLAIN, "alice@example.com", NewSecret([]byte("secret"))}
	dst := make([]byte, 0, MaxCommandLine)
	b.ReportAllocs()
	for b.Loop() {
		AppendAuth(dst, c)
	}
}
