package pop3

import (
	"strings"
	"testing"
)

func TestParseReply(t *testing.T) {
	for _, c := range []struct {
		line string
		want Reply
	}{
		{"+OK", Reply{OK: true}},
		{"+OK ", Reply{OK: true}},
		{"+OK ready", Reply{OK: true, Text: "ready"}},
		{"+OK  two spaces", Reply{OK: true, Text: " two spaces"}},
		{"+OK [IN-USE] is text behind +OK", Reply{OK: true, Text: "[IN-USE] is text behind +OK"}},
		{"-ERR", Reply{}},
		{"-ERR no", Reply{Text: "no"}},
		{"-ERR [AUTH] no", Reply{Code: Auth, Text: "no"}},
		{"-ERR [AUTH]", Reply{Code: Auth}},
		{"-ERR [AUTH]no", Reply{Code: Auth, Text: "no"}},
		{"-ERR [in-use]  locked", Reply{Code: InUse, Text: "locked"}},
		{"-ERR [SYS/TEMP] x", Reply{Code: SysTemp, Text: "x"}},
		{"-ERR [SYS/TEMP/DISK] x", Reply{Code: SysTemp, Text: "x"}},
		{"-ERR [SYS/PERM] x", Reply{Code: SysPerm, Text: "x"}},
		{"-ERR [LOGIN-DELAY] x", Reply{Code: LoginDelay, Text: "x"}},
		{"-ERR [AUTH] [IN-USE] x", Reply{Code: Auth, Text: "[IN-USE] x"}},

		{"-ERR [SYS] x", Reply{Text: "[SYS] x"}},
		{"-ERR [SYS/] x", Reply{Text: "[SYS/] x"}},
		{"-ERR [SYS/TEMPER] x", Reply{Text: "[SYS/TEMPER] x"}},
		{"-ERR [AUTHX] x", Reply{Text: "[AUTHX] x"}},
		{"-ERR [ AUTH] x", Reply{Text: "[ AUTH] x"}},
		{"-ERR  [AUTH] x", Reply{Text: " [AUTH] x"}},
		{"-ERR [AUTH x", Reply{Text: "[AUTH x"}},
		{"-ERR AUTH] x", Reply{Text: "AUTH] x"}},
		{"-ERR []", Reply{Text: "[]"}},
		{"-ERR [", Reply{Text: "["}},
		{"-ERR x [AUTH]", Reply{Text: "x [AUTH]"}},
		{"-ERR [EXPIRED] x", Reply{Text: "[EXPIRED] x"}},
	} {
		got, err := ParseReply([]byte(c.line))
		if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v; want %+v", c.line, got, err, c.want)
		}
	}
	for _, line := range []string{
		"", " ", "+", "-", "OK", "ERR", "+OKAY", "+OK\tready", "+ok", "+Ok ready", "-err", "-ERROR", "-ERR\t[AUTH]",
		" +OK", "+OK\x00", "+OK\r", "-ERR[AUTH]", "* OK", "220 ready", "+ AGEAYg==", "\xff+OK", "HTTP/1.1 400 Bad Request",
	} {
		if got, err := ParseReply([]byte(line)); err == nil {
			t.Errorf("%q: got %+v, want an error", line, got)
		}
	}
}

func TestReplyAppend(t *testing.T) {
	for _, c := range []struct {
		reply Reply
		want  string
	}{
		{Reply{OK: true}, "+OK\r\n"},
		{Reply{OK: true, Text: "ready"}, "+OK ready\r\n"},
		{Reply{}, "-ERR\r\n"},
		{Reply{Text: "no"}, "-ERR no\r\n"},
		{Reply{Code: InUse}, "-ERR [IN-USE]\r\n"},
		{Reply{Code: SysTemp, Text: "later"}, "-ERR [SYS/TEMP] later\r\n"},
	} {
		if got := string(c.reply.Append([]byte("x"))); got != "x"+c.want {
			t.Errorf("%+v: got %q, want %q", c.reply, got, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{
		{"", 10, ""},
		{"plain ~", 10, "plain ~"},
		{"longer than that", 6, "longer"},
		{"anything", 0, ""},
		{"a\r\nb", 10, "a??b"},
		{"a\tb\x00\x1b[2J\x7f", 20, "a?b??[2J?"},
		{"\u00e4\xff", 10, "???"},
		{"ab\u00e4", 3, "ab?"},
	} {
		if got := Printable(c.in, c.max); got != c.want {
			t.Errorf("Printable(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	all := Capabilities{User: true, Top: true, UIDL: true, RespCodes: true, AuthRespCode: true, Pipelining: true}
	for _, c := range []struct {
		name string
		capa Capabilities
		want string
	}{
		{"none", Capabilities{}, ""},
		{"one", Capabilities{Pipelining: true}, "PIPELINING\r\n"},
		{"all", all, "TOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"},
	} {
		want := "+OK Capability list follows\r\n" + c.want + ".\r\n"
		if got := string(c.capa.Append(nil)); got != want {
			t.Errorf("%s: got %q, want %q", c.name, got, want)
		}
	}
}

// FuzzParseReply: what was read and written again reads the same, on one line,
// whatever the peer said, once its text is made printable.
func FuzzParseReply(f *testing.F) {
	for _, s := range []string{"+OK", "+OK hi", "-ERR [AUTH] x", "-ERR [AUTH] [IN-USE]", "-ERR [sys/temp/x]  y", "-ERR [", "+OKAY", "-ERR \r\n+OK"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseReply(line)
		if err != nil {
			return
		}
		if r.OK && r.Code != NoCode {
			t.Fatalf("a code behind +OK: %+v", r)
		}
		wire := string(r.Append(nil))
		again, err := ParseReply([]byte(strings.TrimSuffix(wire, "\r\n")))
		if err != nil || again != r {
			t.Fatalf("%+v was written as %q and read as %+v, %v", r, wire, again, err)
		}
		r.Text = Printable(r.Text, MaxResponseLine-len("-ERR [LOGIN-DELAY] \r\n"))
		wire = string(r.Append(nil))
		if strings.IndexAny(wire, "\r\n") != len(wire)-2 || len(wire) > MaxResponseLine {
			t.Fatalf("not one line of at most %d octets: %q", MaxResponseLine, wire)
		}
	})
}

func BenchmarkParseReply(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"status=OK", "+OK Logged in."},
		{"status=ERR", "-ERR [IN-USE] Mailbox is locked"},
		{"status=none", "220 smtp.example.com"},
	} {
		b.Run(c.name, func(b *testing.B) {
			line := []byte(c.line)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ParseReply(line)
			}
		})
	}
}
