package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// faultDatabase is a PostgreSQL with mailboxes, by rows of VALUES.
func faultDatabase(t *testing.T, rows ...string) *realtest.Database {
	t.Helper()
	needServers(t)
	d, err := realtest.StartPostgres(t, placePassword)
	must(t, err)
	must(t, psql(d, mailboxTable), psql(d, "INSERT INTO mailbox VALUES "+strings.Join(rows, ", ")))
	return d
}

// TestRealDirectoryRowGarbage: a row that says nothing sensible is [SYS/TEMP] for its mailbox, and for no other.
func TestRealDirectoryRowGarbage(t *testing.T) {
	t.Parallel()
	d := faultDatabase(t, "('alice@example.com', NULL, '')", "('bob@example.com', 'guest-01', '')", "('carol@example.com', '', '')",
		"('dave@example.com', 'guest-99', '')", "('erin@example.com', 'guest-01', E'erin\\r\\nDELE 1')", "('frank@example.com', 'guest-01\nguest-02', '')")
	a := startAsker(t, faultGuests(t, "alice", "bob", "carol", "dave", "erin", "frank"), "  sources:\n    - "+postgresSource(d, placePassword, askedTimes))
	for _, user := range []string{"alice", "carol", "dave", "erin", "frank"} {
		a.hears(user, temporary)
		a.hears("bob", "bob on guest-01")
	}
	a.hears("nobody", denied)
	must(t, psql(d, "UPDATE mailbox SET backend = 'guest-02', login = ''"))
	for _, user := range []string{"alice", "carol", "dave", "erin", "frank", "bob"} {
		a.soon(user, user+" on guest-02")
	}
}

// TestRealDirectoryStale: what is kept serves up to its time while the server is gone, and no longer.
func TestRealDirectoryStale(t *testing.T) {
	t.Parallel()
	d := faultDatabase(t, "('alice@example.com', 'guest-01', '')")
	a := startAsker(t, faultGuests(t, "alice"), "  sources:\n    - "+postgresSource(d, placePassword, askedTimes+", stale: 20s"))
	a.hears("alice", "alice on guest-01")
	began := time.Now() // what is kept is a little older: it was asked for before the login ended
	d.Kill()
	release := holdPorts(t, d.Address)
	a.hears("alice", "alice on guest-01")
	a.soon("alice", temporary)
	if lived := time.Since(began); lived < 10*time.Second {
		t.Errorf("what was kept served for %v", lived)
	}
	release()
	must(t, d.Start())
	a.soon("alice", "alice on guest-01")
}

var questions = regexp.MustCompile(`"questions":(\d+)`)

// questions tells how often the gateway has asked its first source.
func (a *asker) questions() int {
	a.t.Helper()
	_, body := a.get("/api/v1/directory")
	found := questions.FindStringSubmatch(body)
	if found == nil {
		a.t.Fatalf("no number of questions in %s", body)
	}
	n, err := strconv.Atoi(found[1])
	must(a.t, err)
	return n
}

// TestRealDirectoryMovedMeanwhile: the gateway's answer is kept for an hour, the mailbox moves, and the
// old guest refuses. The client must not hear of it.
func TestRealDirectoryMovedMeanwhile(t *testing.T) {
	t.Parallel()
	d := faultDatabase(t, "('mover@example.com', 'guest-01', '')")
	guests := map[string]string{
		"guest-01": faultGuest(t, "guest-01", map[string]string{"mover@example.com": "old"}),
		"guest-02": faultGuest(t, "guest-02", map[string]string{"mover@example.com": "secret"}),
	}
	a := startAsker(t, guests, "  sources:\n    - "+postgresSource(d, placePassword, "ttl: 1h"))
	if got := a.try("mover", "old"); got != "mover on guest-01" {
		t.Fatal(got)
	}
	must(t, psql(d, "UPDATE mailbox SET backend = 'guest-02'"))
	if n := a.questions(); n != 1 {
		t.Errorf("%d questions so far", n)
	}
	time.Sleep(5500 * time.Millisecond) // a younger answer is not doubted
	a.hears("mover", "mover on guest-02")
	if n := a.questions(); n != 2 {
		t.Errorf("%d questions after the refusal", n)
	}

	t.Log("a wrong password is one more question, and a refusal that stands")
	time.Sleep(5500 * time.Millisecond)
	if got := a.try("mover", "old"); !strings.HasPrefix(got, denied) {
		t.Errorf("a wrong password hears %q", got)
	}
	if n := a.questions(); n != 3 {
		t.Errorf("%d questions after a wrong password", n)
	}
	a.hears("mover", "mover on guest-02")

	t.Log("the other guest gets one try")
	must(t, psql(d, "UPDATE mailbox SET backend = 'guest-01'"))
	time.Sleep(5500 * time.Millisecond)
	if got := a.try("mover", "neither"); !strings.HasPrefix(got, denied) {
		t.Errorf("a password that no guest takes hears %q", got)
	}
	if n := len(regexp.MustCompile("msg=login .* result=refused").FindAllString(a.log(), -1)); n != 2 {
		t.Errorf("%d refusals on record:\n%s", n, tailOf(a.log()))
	}
}

// hostileNames are what people may type who want something else than mail. Each is as good as any other name that nobody
// has.
var hostileNames = []string{
	`"`, `'`, `*`, `%`, `_`, `*)(uid=*`, `alice)(|(uid=*`, `\2a`, `alice\`, `%00`, `alice%00`, `%0d%0a`, `' OR '1'='1`, `' OR 1=1 -- `,
	`'; DROP TABLE mailbox; --`, `" OR ""="`, `$1`, `?`, `../`, `../alice`, `..%2falice`, `/etc/passwd`, `a@b@c`, `@`, `@example.com`, `alice@`,
	`{address}`, `{local}`, `${HOME}`, `$(id)`, "`id`", `alice#`, `alice,bob`, `alice guest-02`, "alice\tguest-02", `%s%n%x`, "\xff\xfe\x80", "\u0430lice",
	"alice\u200b", "\x01\x02", "alice\x00", strings.Repeat("a", 240), strings.Repeat("*", 200), `<script>`, `-h`, `--config=/x`,
}

// TestRealDirectoryHostileNames has each of them type at each kind of source, by a real login. All they hear is
// that the password is wrong, and whoever comes next is let in.
func TestRealDirectoryHostileNames(t *testing.T) {
	eachFaultPlace(t, func(t *testing.T, p *faultPlace) {
		p.set("alice", "guest-01")
		typeHostileNames(t, startAsker(t, faultGuests(t, "alice"), "  sources:\n    - "+p.source))
	})
}

func typeHostileNames(t *testing.T, a *asker) {
	t.Helper()
	a.soon("alice", "alice on guest-01")
	for _, name := range hostileNames {
		got := a.try(name, "secret")
		// A control octet, or too long a line, can't be a name, which USER says at once, to everybody.
		control := strings.ContainsAny(name, "\x00\x01\x02\t") && strings.HasPrefix(got, "-ERR")
		if !strings.HasPrefix(got, denied) && !control {
			t.Errorf("%q hears %q", name, got)
		}
		a.hears("alice", "alice on guest-01")
	}
	if body := fmt.Sprint(a.get("/readyz")); !strings.Contains(body, `"degraded":[]`) {
		t.Errorf("afterwards: %s", body)
	}
}
