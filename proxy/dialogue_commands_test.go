package proxy

import (
	"strings"
	"testing"
)

func TestDialogueCommands(t *testing.T) {
	tests := []struct {
		name  string
		lines string
		want  []string
	}{
		{"quit", "QUIT", []string{"S: +OK Bye", "end by client: quit"}},
		{"lower case", "quit", []string{"S: +OK Bye", "end by client: quit"}},
		{"bare LF", "USER a\nQUIT", []string{"S: +OK Send PASS", "S: +OK Bye", "end by client: quit"}},
		{"capa", "CAPA", []string{"S: +OK Capability list follows", "S: TOP", "S: UIDL", "S: USER", "S: AUTH-RESP-CODE", "S: SASL PLAIN LOGIN", "S: ."}},
		{"auth lists the mechanisms", "AUTH", []string{"S: +OK", "S: PLAIN", "S: LOGIN", "S: ."}},
		{"auth with a blank, as Outlook sends it", "AUTH ", []string{"S: +OK", "S: PLAIN", "S: LOGIN", "S: ."}},
		{"auth with a mechanism that is not offered", "AUTH XOAUTH2", []string{"S: -ERR Unknown authentication mechanism"}},
		{"auth with one that nobody knows", "AUTH SCRAM-SHA-256", []string{"S: -ERR Unknown authentication mechanism"}},
		{"auth plain", "AUTH PLAIN", []string{"S: + "}},
		{"canceled", "AUTH PLAIN\r\n*\r\nQUIT", []string{"S: + ", "S: -ERR Authentication canceled", "S: +OK Bye", "end by client: quit"}},
		{"auth plain with initial response", "AUTH PLAIN AGFsaWNlAHNlY3JldA==", []string{"dial guest-01"}},
		{"auth login", "AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0", []string{"S: + VXNlcm5hbWU6", "S: + UGFzc3dvcmQ6", "dial guest-01"}},
		{"auth forgets USER", "USER alice\r\nAUTH PLAIN\r\n*\r\nPASS x", []string{"S: +OK Send PASS", "S: + ", "S: -ERR Authentication canceled", "S: -ERR Send USER first"}},
		{"bad base64", "AUTH PLAIN !!!!", []string{"S: -ERR Invalid authentication data"}},
		{"a command where base64 belongs", "AUTH PLAIN\r\nQUIT", []string{"S: + ", "S: -ERR Invalid authentication data"}},
		{"no STLS without TLS", "STLS", []string{"S: -ERR Unknown command"}},
		{"no XCLIENT from strangers", "XCLIENT ADDR=192.0.2.1", []string{"S: -ERR Unknown command"}},
		{"UTF8 is for later", "UTF8", []string{"S: -ERR Not before login"}},
		{"LANG is for later", "LANG de", []string{"S: -ERR Not before login"}},
		{"NOOP is for later", "NOOP", []string{"S: -ERR Unknown command"}},
		{"APOP never", "APOP a b", []string{"S: -ERR Unknown command"}},
		{"no name", "USER", []string{"S: -ERR USER needs a name"}},
		{"blank name", "USER  ", []string{"S: -ERR USER needs a name"}},
		{"PASS first", "PASS x", []string{"S: -ERR Send USER first"}},
		{"no password", "USER a\r\nPASS", []string{"S: +OK Send PASS", "S: -ERR PASS needs a password"}},
		{"the last USER counts", "USER nobody\r\nUSER bob\r\nPASS x", []string{"S: +OK Send PASS", "S: +OK Send PASS", "dial guest-02"}},
		{"empty line", "", []string{"S: -ERR Unknown command"}},
		{"bare CR", "USER a\rb", []string{"S: -ERR Invalid characters in command"}},
		{"NUL", "USER a\x00b", []string{"S: -ERR Invalid characters in command"}},
		{"TAB is no space", "USER\ta", []string{"S: -ERR Unknown command"}},
		{
			"three bad commands", "A\r\nB\r\nC\r\nQUIT",
			[]string{"S: -ERR Unknown command", "S: -ERR Unknown command", "S: -ERR Unknown command", "end by gateway: bad commands"},
		},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\nUSER alice", []string{"S: -ERR This is a POP3 server", "end by gateway: http"}},
		{"255 octets", "USER " + strings.Repeat("x", 248), []string{"S: +OK Send PASS"}},
		{"256 octets", "USER " + strings.Repeat("x", 249), []string{"S: -ERR Line too long", "end by gateway: line too long"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := begin(t)
			b.client(tt.lines)
			b.says(tt.want...)
			// Octet by octet, the same: only the end may come before the line's own.
			c := begin(t)
			for _, octet := range []byte(tt.lines + "\r\n") {
				if c.d.state != ended {
					c.event(event{kind: evClient, data: []byte{octet}})
				}
			}
			c.says(tt.want...)
		})
	}
}

func TestDialogueControlOctetsReachNoBackend(t *testing.T) {
	for _, lines := range []string{
		"USER a\x01\r\nPASS secret", "USER alice\r\nPASS se\x7fcret", "USER alice\r\nPASS \tsecret", "USER \x1balice\r\nPASS x",
	} {
		b := begin(t)
		b.client(lines)
		b.says("S: +OK Send PASS")
		b.expire()
		b.says(noSuch)
	}
}
