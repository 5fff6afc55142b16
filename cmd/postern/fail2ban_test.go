package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/pop3/pop3test"
)

// attempts are logins by clients whom a balancer speaks for. Who is to blame is
// found in the log, and nobody else is, whatever a client calls itself.
var attempts = []struct {
	client, user, password, reply string
	blame                         bool
}{
	{"192.0.2.1", "alice", "secret", "+OK", false},
	{"2001:db8::1", "mover", "secret", "+OK", false},
	{"192.0.2.2", "alice", "wrong", "-ERR [AUTH]", true},
	{"2001:db8::2", "alice", "wrong", "-ERR [AUTH]", true},
	{"2001:db8:1:2:3:4:5:6", "nobody", "x", "-ERR [AUTH]", true},
	{"192.0.2.3", "nobody", "x", "-ERR [AUTH]", true},
	{"192.0.2.4", "down", "x", "-ERR [SYS/TEMP]", false},
	{"192.0.2.5", "homeless", "x", "-ERR [SYS/TEMP]", false},
	// Names that look like pieces of a record, unknown and known ones.
	{"192.0.2.6", "x client=203.0.113.1:1 code=AUTH", "x", "-ERR [AUTH]", true},
	{"192.0.2.7", `x","client":"203.0.113.1:1","code":"AUTH","y":"`, "x", "-ERR [AUTH]", true},
	{"192.0.2.8", "down code=AUTH x", "x", "-ERR [SYS/TEMP]", false},
	{"192.0.2.9", `down","code":"AUTH","x`, "x", "-ERR [SYS/TEMP]", false},
	{"192.0.2.10", `down" code=AUTH "x`, "x", "-ERR [SYS/TEMP]", false},
	{"192.0.2.11", `down\" code=AUTH x`, "x", "-ERR [SYS/TEMP]", false},
	{"192.0.2.12", "time=2026-01-01T00:00:00.000Z level=INFO msg=login session=a client=203.0.113.1:1 code=AUTH", "x", "-ERR [AUTH]", true},
}

const fail2banMap = `alice guest-01
mover guest-01
down guest-03
homeless guest-99
down%20code=AUTH%20x guest-03
down","code":"AUTH","x guest-03
down"%20code=AUTH%20"x guest-03
down\"%20code=AUTH%20x guest-03
`

var loginRecord = regexp.MustCompile(`(?m)^(time=\S+ level=[A-Z]+ msg=login |\{"time":"[^"]*","level":"[A-Z]+","msg":"login")`)

// loginRecords makes all attempts at a gateway and returns its log, and whom to blame.
func loginRecords(t *testing.T, format string) (log string, blamed []string) {
	t.Helper()
	s := newSite(t)
	s.write("mailboxes.map", fail2banMap)
	s.configure("    - {name: guest-03, address: \"127.0.0.1:1\"}\n" + // continues the list of backends
		"auth: {failure_delay: 10ms, plaintext: always}\nlog: {unknown_users: plain, format: " + format + "}\n")
	s.listen(`{address: "127.0.0.1:0", name: pop, proxy_protocol: [127.0.0.1/32]}`)
	p := s.run(s.command(""))
	record := p.waitFor(t, "listening")
	p.address = regexp.MustCompile(`"?address"?[=:]"?([0-9.:]+)`).FindStringSubmatch(record)[1]
	p.waitFor(t, "serving")
	for _, a := range attempts {
		if reply := tryAs(t, p, a.client, a.user, a.password); !strings.HasPrefix(reply, a.reply) {
			t.Errorf("%s as %q hears %q, want %s", a.client, a.user, reply, a.reply)
		}
		if a.blame {
			blamed = append(blamed, a.client)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if log = p.log(); len(loginRecord.FindAllString(log, -1)) == len(attempts) {
			return log, blamed
		}
	}
	t.Fatalf("not %d logins in\n%s", len(attempts), log)
	return "", nil
}

// tryAs logs in as the client that a PROXY header names, and returns PASS's answer.
func tryAs(t *testing.T, p *process, client, user, password string) string {
	t.Helper()
	conn := p.connect(t)
	family, server := "TCP4", "198.51.100.1"
	if strings.Contains(client, ":") {
		family, server = "TCP6", "2001:db8::ffff"
	}
	if _, err := fmt.Fprintf(conn.Raw(), "PROXY %s %s %s 40000 110\r\n", family, client, server); err != nil {
		t.Fatal(err)
	}
	return login(t, conn, user, password)
}

func login(t *testing.T, c *pop3test.Client, user, password string) (reply string) {
	t.Helper()
	defer c.Close()
	if line, err := c.Line(); err != nil || !strings.HasPrefix(line, "+OK") {
		t.Fatalf("greeting %q, %v", line, err)
	}
	for _, cmd := range []string{"USER " + user, "PASS " + password} {
		var err error
		if reply, err = c.Cmd(cmd); err != nil {
			t.Fatal(err)
		}
	}
	return reply
}

// fail2banFilter reads the filter's expressions as fail2ban does: variables put in, and
// <ADDR> as what its own source has for it, without look-behind, which Go doesn't know.
func fail2banFilter(t *testing.T) (expressions []*regexp.Regexp) {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash("../../deploy/fail2ban/filter.d/postern.conf"))
	if err != nil {
		t.Fatal(err)
	}
	variables, last := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		switch name, value, found := strings.Cut(line, " = "); {
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			last = ""
		case strings.HasPrefix(line, " "):
			variables[last] += "\n" + strings.TrimSpace(line)
		case found:
			last, variables[name] = name, strings.TrimSpace(value)
		}
	}
	const address = `(?:(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})|\[?(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|:))\]?)`
	for one := range strings.SplitSeq(variables["failregex"], "\n") {
		for _, name := range []string{"_prefix", "_text", "_json"} {
			one = strings.ReplaceAll(one, "%("+name+")s", variables[name])
		}
		expressions = append(expressions, regexp.MustCompile(strings.ReplaceAll(one, "<ADDR>", address)))
	}
	return expressions
}

// blame returns the addresses that the expressions find, in the log's order.
func blame(expressions []*regexp.Regexp, log string) (found []string) {
	for line := range strings.SplitSeq(log, "\n") {
		for _, e := range expressions {
			if m := e.FindStringSubmatch(line); m != nil {
				found = append(found, m[e.SubexpIndex("ip4")]+m[e.SubexpIndex("ip6")])
			}
		}
	}
	return found
}

var recordTime = regexp.MustCompile(`20\d\d-\d\d-\d\dT[\d:.]+Z`)

func TestFail2banBlamesWhoFailed(t *testing.T) {
	t.Parallel()
	expressions := fail2banFilter(t)
	if len(expressions) != 2 {
		t.Fatalf("read %d expressions, want one for text and one for JSON", len(expressions))
	}
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			log, want := loginRecords(t, format)
			for name, form := range logForms(log) {
				// fail2ban takes the time out of a line; the journal's lines keep theirs.
				for _, seen := range []string{form, recordTime.ReplaceAllString(form, "")} {
					if got := blame(expressions, seen); !slices.Equal(got, want) {
						t.Errorf("%s: blamed are %q, want %q, in\n%s", name, got, want, seen)
					}
				}
			}
		})
	}
}

// logForms is a log as it may reach fail2ban.
func logForms(log string) map[string]string {
	before := func(prefix string) string {
		var text strings.Builder
		for line := range strings.Lines(log) {
			text.WriteString(prefix + line)
		}
		return text.String()
	}
	return map[string]string{
		"as it is": log, "syslog": before("Nov  3 04:25:00 mx1 postern[123]: "),
		"syslog with RFC 3339's times": before("2026-11-03T04:25:00.123456+01:00 mx1 postern[123]: "), "journal": before("mx1 postern[123]: "),
	}
}

// TestFail2banFilterIsStrict feeds lines that only look like records.
func TestFail2banFilterIsStrict(t *testing.T) {
	const good = "time=x level=INFO msg=login session=a-1 client=192.0.2.1:1 result=refused code=AUTH backend=b"
	expressions := fail2banFilter(t)
	if got := blame(expressions, good); !slices.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("a good record: %q", got)
	}
	for _, bad := range []string{
		strings.Replace(good, "login", "end", 1),
		strings.Replace(good, "AUTH", "AUTHORITY", 1),
		strings.Replace(good, "AUTH", "SYS/TEMP", 1),
		strings.Replace(good, "code", "zip-code", 1),
		strings.Replace(good, "192.0.2.1:1", "192.0.2.0/24", 1), // log.client: prefix
		strings.Replace(good, "192.0.2.1:1", "example.com:1", 1),
		strings.Replace(good, "result=refused code=AUTH", `result=ok mailbox="a code=AUTH b"`, 1),
		strings.Replace(good, "result=refused code=AUTH", `result=ok mailbox="a\" code=AUTH b"`, 1),
		"x " + good,
		`time=x level=WARN msg="` + good + `"`,
		`{"time":"x","level":"INFO","msg":"login","session":"a","client":"192.0.2.1:1","mailbox":"\",\"code\":\"AUTH\"","code":"IN-USE"}`,
		`{"msg":"login","client":"192.0.2.1:1","code":"AUTH"}`,
	} {
		if got := blame(expressions, bad); got != nil {
			t.Errorf("%s: blamed is %q", bad, got)
		}
	}
}

// TestRealFail2ban asks fail2ban itself.
func TestRealFail2ban(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("with fail2ban itself only where POSTERN_REAL is set")
	}
	t.Parallel()
	filter, err := filepath.Abs("../../deploy/fail2ban/filter.d/postern.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			log, want := loginRecords(t, format)
			for name, form := range logForms(log) {
				if name == "journal" { // comes with a time of its own, which a file hasn't got
					continue
				}
				file := filepath.Join(t.TempDir(), "log")
				if err := os.WriteFile(file, []byte(form), 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.CommandContext(t.Context(), "fail2ban-regex", "-o", "ip", file, filter).Output()
				if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, want) {
					t.Errorf("%s: %v: blamed are %q, want %q, in\n%s", name, err, got, want, form)
				}
			}
		})
	}
}

// TestRealFail2banTakesTheJail has fail2ban check its whole configuration with ours in it.
func TestRealFail2banTakesTheJail(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("with fail2ban itself only where POSTERN_REAL is set")
	}
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("/etc/fail2ban")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"filter.d/postern.conf", "jail.d/postern.conf"} {
		text, err := os.ReadFile(filepath.Join("../../deploy/fail2ban", name))
		if err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	// The distribution's own jail is not what this is about, and wants a log that need not be there.
	_ = os.Remove(filepath.Join(dir, "jail.d", "defaults-debian.conf"))
	out, err := exec.CommandContext(t.Context(), "fail2ban-client", "-c", dir, "-d").CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "['add', 'postern', 'systemd']") || strings.Contains(text, "ERROR") {
		t.Errorf("%v:\n%s", err, out)
	}
}
