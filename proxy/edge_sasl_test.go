package proxy

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3"
	"postern/pop3/pop3test"
	"postern/proxy/limits"
)

func withOAuth(set *Settings, _ *Options) { set.Mechanisms = allMechanisms() }

// What is no message of the mechanism is a bad command, in every way to get base64 wrong, and
// nobody is asked.
func TestEdgeMalformedSASL(t *testing.T) {
	good := b64("\x00alice\x00right")
	for name, sent := range map[string]string{
		"no base64": "!!!!", "no padding": strings.TrimRight(b64("\x00alice\x00rightx"), "="), "padding twice": good + "====",
		"padding inside": "AGFs=aWNl", "one octet over": good + "A", "stray bits": "AGFsaWNlAHJpZ2h0YR==",
		"URL alphabet": "AGFsaWNlAP-_", "a space inside": good[:8] + " " + good[8:], "a space behind": good + " ",
		"a tab": good + "\t", "CR inside": good[:8] + "\r" + good[8:], "NUL inside": good[:8] + "\x00" + good[8:],
		"an equals sign alone": "=", "nothing": "", "one NUL": b64("\x00alice"), "three": b64("\x00alice\x00a\x00b"),
		"no password": b64("\x00alice\x00"), "no user": b64("\x00\x00right"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := edgeWith(t, &Access{}, keepsIn, nil)
				c := e.greeted(t, someClient)
				for range maxBadCommands {
					says(t, c, "AUTH PLAIN", "+ ")
					says(t, c, sent, "-ERR Invalid authentication data")
				}
				expectEnd(t, c)
				if e.guest.Sessions() > 0 || strings.Contains(e.logs.String(), "msg=login") {
					t.Error("somebody was asked")
				}
			})
		})
	}
}

// Octets that would be commands of their own at a backend are refused as a wrong password
// is, in words and time, without a dial.
func TestEdgeControlOctetsInSASL(t *testing.T) {
	for name, lines := range map[string][]string{
		"CRLF in PLAIN's password": {"AUTH PLAIN " + b64("\x00alice\x00right\r\nDELE 1")},
		"LF in PLAIN's user":       {"AUTH PLAIN " + b64("\x00al\nice\x00right")},
		"LF in PLAIN's authzid":    {"AUTH PLAIN " + b64("al\nice\x00alice\x00right")},
		"another authzid":          {"AUTH PLAIN " + b64("bob\x00alice\x00right")},
		"CRLF in LOGIN's user":     {"AUTH LOGIN " + b64("alice\r\nPASS x")},
		"NUL in LOGIN's user":      {"AUTH LOGIN " + b64("ali\x00ce")},
		"CRLF in LOGIN's password": {"AUTH LOGIN " + b64("alice"), b64("right\r\nDELE 1")},
		"NUL in LOGIN's password":  {"AUTH LOGIN " + b64("alice"), b64("rig\x00ht")},
		"CRLF in a token":          {"AUTH XOAUTH2 " + b64("user=alice\x01auth=Bearer x\r\ny\x01\x01")},
		"NUL in a token":           {"AUTH OAUTHBEARER " + b64("n,a=alice,\x01auth=Bearer x\x00y\x01\x01")},
		"a password too long":      {"AUTH PLAIN " + b64("\x00alice\x00"+strings.Repeat("x", 250))},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := edgeWith(t, &Access{}, keepsIn, withOAuth)
				c := e.greeted(t, someClient)
				for _, line := range lines[:len(lines)-1] {
					says(t, c, line, "+ ")
				}
				begin := time.Now()
				says(t, c, lines[len(lines)-1], denial1)
				if took := time.Since(begin); took != 3*time.Second || e.guest.Sessions() > 0 {
					t.Errorf("refused after %v, %d dials", took, e.guest.Sessions())
				}
				e.logs.waitFor(t, "msg=login", `result="bad credentials"`)
				says(t, c, "QUIT", "+OK")
			})
		})
	}
}

// Lines of an exchange are longer than commands may be, and bounded all the same.
func TestEdgeOverlongSASL(t *testing.T) {
	for name, tt := range map[string]struct {
		begin string
		limit int // of the next line, with its end
	}{
		"a command":        {"", pop3.MaxCommandLine},
		"another's AUTH":   {"AUTH CRAM-MD5 ", pop3.MaxCommandLine},
		"AUTH PLAIN":       {"AUTH PLAIN ", pop3.MaxLine(pop3.PLAIN)},
		"PLAIN's response": {"AUTH PLAIN\r\n", pop3.MaxLine(pop3.PLAIN)},
		"AUTH XOAUTH2":     {"AUTH XOAUTH2 ", pop3.MaxLine(pop3.XOAUTH2)},
		"a token":          {"AUTH OAUTHBEARER\r\n", pop3.MaxLine(pop3.OAUTHBEARER)},
	} {
		for excess, want := range []string{"-ERR", "-ERR Line too long"} {
			t.Run(fmt.Sprintf("%s/excess=%d", name, excess), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := edgeWith(t, &Access{}, keepsIn, withOAuth).greeted(t, someClient)
					open := tt.begin
					if line, ok := strings.CutSuffix(tt.begin, "\r\n"); ok {
						says(t, c, line, "+ ")
						open = ""
					}
					line := open + strings.Repeat("!", tt.limit-len(open)-len("\r\n")+excess)
					says(t, c, line, want)
					if excess > 0 {
						expectEnd(t, c)
					} else {
						says(t, c, "QUIT", "+OK")
					}
				})
			})
		}
	}
}

// bearer plays a guest that takes one token and refuses all others, after a time.
func bearer(message string, after time.Duration) func(c *pop3test.Conn) {
	return func(c *pop3test.Conn) {
		_ = c.SendLine("+OK")
		line, _ := c.Line()
		mechanism, response, _ := strings.Cut(strings.TrimPrefix(line, "AUTH "), " ")
		if response == "" {
			_ = c.SendLine("+ ")
			response, _ = c.Line()
		}
		if response == b64(message) {
			_ = c.SendLine("+OK in by " + mechanism)
			return
		}
		time.Sleep(after)
		_ = c.SendLine("+ " + b64(`{"status":"invalid_token","schemes":"bearer"}`))
		_, _ = c.Line()
		_ = c.SendLine("-ERR [AUTH] expired")
	}
}

// Tokens of 16 KiB go through, at once or in answer to a challenge.
func TestEdgeLongTokens(t *testing.T) {
	token := strings.Repeat("a1B2", 4<<10)
	for _, message := range []string{"user=alice\x01auth=Bearer " + token + "\x01\x01", "n,a=alice,\x01port=995\x01auth=Bearer " + token + "\x01\x01"} {
		mechanism := map[bool]string{true: "XOAUTH2", false: "OAUTHBEARER"}[message[0] == 'u']
		for name, say := range map[string]func(t *testing.T, c *pop3test.Client){
			"initial": func(t *testing.T, c *pop3test.Client) {
				says(t, c, "AUTH "+mechanism+" "+b64(message), "+OK in by "+mechanism)
			},
			"asked for": func(t *testing.T, c *pop3test.Client) {
				says(t, c, "auth "+strings.ToLower(mechanism), "+ ")
				says(t, c, b64(message), "+OK in by "+mechanism)
			},
		} {
			t.Run(mechanism+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := edgeWith(t, &Access{}, bearer(message, 0), withOAuth)
					say(t, e.greeted(t, someClient))
					if line := e.logs.waitFor(t, "msg=login", "result=ok", "mechanism="+mechanism); strings.Contains(line, "a1B2") {
						t.Error(line)
					}
				})
			})
		}
	}
}

// A token of nobody's is refused in the shape and the time of a known mailbox's.
func TestEdgeTokensTellNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, bearer("-", 4*time.Second), withOAuth)
		var heard [2]string
		for i, user := range []string{"alice", "nobody"} {
			c, begin := e.greeted(t, someClient), time.Now()
			challenge, err := c.Cmd("AUTH XOAUTH2 " + b64("user="+user+"\x01auth=Bearer x\x01\x01"))
			if err != nil {
				t.Fatal(err)
			}
			told := time.Since(begin)
			refusal, err := c.Cmd("")
			heard[i] = fmt.Sprint(challenge, told, refusal, time.Since(begin), err)
		}
		if heard[0] != heard[1] || !strings.Contains(heard[0], "6s") {
			t.Errorf("known:   %s\nunknown: %s", heard[0], heard[1])
		}
	})
}

// The room for a token is counted while there is one, and given back with the memory.
func TestEdgeTokenMemory(t *testing.T) {
	long := b64("user=nobody\x01auth=Bearer " + strings.Repeat("x", 20<<10) + "\x01\x01")
	for name, lines := range map[string][]string{
		"canceled": {"AUTH XOAUTH2", "*"}, "refused": {"AUTH XOAUTH2 " + long}, "no message": {"AUTH XOAUTH2 " + long[:20000] + "!"},
		"octets of no line": {"AUTH XOAUTH2 " + strings.Repeat("x", 20000) + "\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			set := testSettings(t)
			set.Mechanisms = allMechanisms()
			guards := testGuards(t, set)
			waiting := limits.NewWaiting(limits.Bounds{})
			guards.ticket, _ = waiting.Enter(limits.SessionMemory, func() {})
			b := &table{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), d: newDialogue(set, localPeer, guards)}
			b.event(event{kind: evBegin})
			var most int64
			for _, line := range lines {
				for octets := []byte(line + "\r\n"); len(octets) > 0; {
					n := min(len(octets), scratch, b.d.room())
					b.event(event{kind: evClient, data: octets[:n]})
					octets = octets[n:]
					_, held := waiting.Held()
					most = max(most, held)
				}
			}
			if most != limits.SessionMemory+limits.TokenMemory {
				t.Errorf("%d octets were counted at most", most)
			}
			if _, held := waiting.Held(); held != limits.SessionMemory {
				t.Errorf("%d octets are counted in the end", held)
			}
			if b.d.in.Room() > maxPipelined || len(b.d.attempt.credentials.Secret.Reveal()) > 0 {
				t.Error("the memory is held still")
			}
		})
	}
}
