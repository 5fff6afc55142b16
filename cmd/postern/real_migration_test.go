// The pages on migration, tried on the peers themselves: each is started with the page's own
// configuration, beside postern with what the page makes of it, before the same guests.

package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// account is a mailbox under its address, and how its guest calls it.
func account(address, login string) realtest.Mailbox {
	return realtest.Mailbox{Address: address, Login: login, Password: "pw-" + address, Messages: realtest.TaggedMessages(address, 3, 2000)}
}

// startGuests starts Dovecots with one mailbox or more each.
func startGuests(t *testing.T, mailboxes ...[]realtest.Mailbox) []*realtest.Guest {
	t.Helper()
	guests, err := realtest.StartGuests(t, mailboxes...)
	if err != nil {
		t.Fatal(err)
	}
	return guests
}

// hostAndPort writes an address as Dovecot's fields.
func hostAndPort(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return "host=" + host + " port=" + port
}

// serving is a postern with one of a page's configurations.
type serving struct{ address, probes string }

// serve runs postern in the page's folder, on ports of its own, and with as short a delay as tests
// want.
func (p page) serve(t *testing.T, config string) serving {
	t.Helper()
	binary, err := buildPostern()
	if err != nil {
		t.Fatal(err)
	}
	s := serving{freeAddress(t), freeAddress(t)}
	text := strings.NewReplacer("127.0.0.1:1110", s.address, "127.0.0.1:9111", s.probes,
		"directory:\n", "auth: {failure_delay: 100ms}\ndirectory:\n  state: \"\"\n", "admin:\n", "admin:\n  socket: \"\"\n").Replace(p.read(t, config))
	if !strings.Contains(text, "admin:\n") {
		text += "admin: {socket: \"\"}\n"
	}
	p.write(t, "served-"+config, text)
	log := p.path(config + ".log")
	process, err := realtest.StartProcess(exec.Command(binary, "serve", "--config", p.path("served-"+config)), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Errorf("postern with %s did not end well: %v", config, err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s\nlog:\n%s", config, text, process.LogTail(16<<10))
		}
	})
	if err := process.Answers("tcp", s.address); err != nil {
		t.Fatal(err)
	}
	return s
}

// metric is a value as /metrics writes it; empty: there is none of that name and these labels.
func (s serving) metric(t *testing.T, name string) string {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Get("http://" + s.probes + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// counts waits for a metric: comparisons are made behind the login's back.
func (s serving) counts(t *testing.T, name, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = s.metric(t, name); got == want {
			return
		}
	}
	t.Errorf("%s is %q, want %s", name, got, want)
}

// sameMail logs in as each mailbox at each address and expects its own messages, and refusals of
// wrong passwords.
func sameMail(t *testing.T, mailboxes []realtest.Mailbox, addresses map[string]string) {
	t.Helper()
	var wg sync.WaitGroup
	for name, address := range addresses {
		for _, m := range mailboxes {
			wg.Go(func() {
				if err := fetchesOwn(t, address, m); err != nil {
					t.Errorf("%s at %s: %v", m.Address, name, err)
				}
			})
		}
	}
	wg.Wait()
}

func fetchesOwn(t *testing.T, address string, m realtest.Mailbox) error {
	wrong, err := realtest.DialTerminal(t.Context(), address)
	if err != nil {
		return err
	}
	defer wrong.Close()
	if err := wrong.Login(m.Address, "not-"+m.Password); err == nil {
		return fmt.Errorf("a wrong password was taken:\n%s", wrong.Transcript())
	}
	terminal, err := realtest.DialTerminal(t.Context(), address)
	if err != nil {
		return err
	}
	defer terminal.Close()
	if err := terminal.Login(m.Address, m.Password); err != nil {
		return err
	}
	got, err := terminal.RetrieveAll()
	if err != nil {
		return err
	}
	if len(got) != len(m.Messages) {
		return fmt.Errorf("%d messages, want %d", len(got), len(m.Messages))
	}
	for i, message := range got {
		if realtest.Sum(message) != realtest.Sum(m.Messages[i].Wire()) {
			return fmt.Errorf("message %d is somebody else's", i+1)
		}
	}
	return terminal.Quit()
}

func TestRealMigrationFromPerdition(t *testing.T) {
	needReal(t)
	alice, bob := account("alice@example.com", "alice@example.com"), account("bob@example.com", "robert")
	erin, frank := account("erin@example.org", "erin@example.org"), account("frank@example.com", "frank@example.com")
	guests := startGuests(t, []realtest.Mailbox{alice}, []realtest.Mailbox{bob, erin}, []realtest.Mailbox{frank})
	// A popmap's line without a port means 110, where nothing may listen here.
	replace := []string{"@example.org:192.0.2.12\n", "@example.org:" + guests[1].POP3 + "\n",
		"192.0.2.11:110", guests[0].POP3, "192.0.2.12:110", guests[1].POP3, "192.0.2.13:110", guests[2].POP3}
	p := openPage(t, "docs/migration/perdition.md", replace...)
	old, err := realtest.StartPerdition(t, p.read(t, "perdition.conf"), p.read(t, "popmap"))
	if err != nil {
		t.Fatal(err)
	}
	p = openPage(t, "docs/migration/perdition.md", append(replace, "192.0.2.10:110", old.Address, "/etc/perdition/popmap.gdbm.db", old.Map)...)

	popmap := p.read(t, "popmap")
	p.write(t, "popmap", "lost")
	p.run(t, "dump.sh") // it becomes the source of what follows
	if got, want := p.read(t, "popmap"), inOrder(popmap); got != want {
		t.Errorf("the dump is\n%s\nwant\n%s", got, want)
	}
	p.write(t, "mailboxes.map", "alice@example.com guest-01\nbob@example.com guest-02 login=robert\n@example.org guest-01\n")

	all := []realtest.Mailbox{alice, bob, erin, frank}
	whole, behind, compared := p.serve(t, "postern.yaml"), p.serve(t, "behind.yaml"), p.serve(t, "shadow.yaml")
	sameMail(t, all, map[string]string{"perdition": old.Address, "postern": whole.address, "before perdition": behind.address, "with a shadow": compared.address})
	whole.counts(t, "postern_directory_unknown_total", "2")  // frank's logins, the wrong one too
	behind.counts(t, "postern_directory_unknown_total", "6") // all but alice's
	for result, want := range map[string]string{"same": "6", "different": "2"} {
		compared.counts(t, fmt.Sprintf("postern_directory_shadow_total{result=%q,source=\"new\"}", result), want)
	}
}

// inOrder sorts a text's lines.
func inOrder(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// judgingService is an nginx site's own service: it judges passwords, and says where to go.
type judgingService struct {
	mailboxes map[string]realtest.Mailbox
	places    map[string]string // host and port, by address

	mu    sync.Mutex
	asked map[string]int // by address
}

func (s *judgingService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.Header.Get("Auth-User")
	s.mu.Lock()
	s.asked[user]++
	s.mu.Unlock()
	m, known := s.mailboxes[user]
	switch {
	case r.Header.Get("X-Auth-Key") != "shared-with-the-service":
		w.WriteHeader(http.StatusForbidden)
		return
	case r.Header.Get("Auth-Protocol") != "pop3" || !known || r.Header.Get("Auth-Pass") != m.Password:
		w.Header().Set("Auth-Status", "Invalid login or password")
		w.Header().Set("Auth-Wait", "1")
		return
	}
	host, port, _ := net.SplitHostPort(s.places[user])
	w.Header().Set("Auth-Status", "OK")
	w.Header().Set("Auth-Server", host)
	w.Header().Set("Auth-Port", port)
	if m.Login != user {
		w.Header().Set("Auth-User", m.Login)
	}
}

// questions is how often the service was asked for a mailbox since the last time.
func (s *judgingService) questions(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.asked[user]
	delete(s.asked, user)
	return n
}

func TestRealMigrationFromNginx(t *testing.T) {
	needReal(t)
	alice, bob := account("alice@example.com", "alice@example.com"), account("bob@example.com", "robert")
	carol := account("carol@example.com", "carol@example.com")
	guests := startGuests(t, []realtest.Mailbox{alice}, []realtest.Mailbox{bob, carol})
	service := &judgingService{mailboxes: map[string]realtest.Mailbox{}, asked: map[string]int{}, places: map[string]string{
		alice.Address: guests[0].POP3, bob.Address: guests[1].POP3, carol.Address: guests[1].POP3}}
	all := []realtest.Mailbox{alice, bob, carol}
	for _, m := range all {
		service.mailboxes[m.Address] = m
	}
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	nginx := freeAddress(t)
	p := openPage(t, "docs/migration/nginx.md", "192.0.2.11:110", guests[0].POP3, "192.0.2.12:110", guests[1].POP3,
		"127.0.0.1:9000", server.Listener.Addr().String(), "127.0.0.1:110;", nginx+";")
	if err := realtest.StartNginxMail(t, p.read(t, "nginx.conf"), nginx); err != nil {
		t.Fatal(err)
	}

	step1 := p.serve(t, "step1.yaml")
	sameMail(t, all, map[string]string{"nginx": nginx, "postern": step1.address})
	for _, m := range all {
		if n := service.questions(m.Address); n != 4 { // right and wrong, of both
			t.Errorf("the service was asked %d times for %s, want 4", n, m.Address)
		}
	}
	for result, want := range map[string]string{"same": "2", "different": "0", "unknown there": "1"} {
		step1.counts(t, fmt.Sprintf("postern_directory_shadow_total{result=%q,source=\"map\"}", result), want)
	}

	step2 := p.serve(t, "step2.yaml")
	sameMail(t, all, map[string]string{"postern, step 2": step2.address})
	if a, b, c := service.questions(alice.Address), service.questions(bob.Address), service.questions(carol.Address); a != 0 || b != 0 || c != 2 {
		t.Errorf("the service was asked %d, %d and %d times, want 0, 0 and 2: two moved into the map", a, b, c)
	}

	p.write(t, "mailboxes.map", p.read(t, "mailboxes.map")+"carol@example.com guest-02\n")
	step3 := p.serve(t, "step3.yaml")
	sameMail(t, all, map[string]string{"postern, step 3": step3.address, "nginx, the way back": nginx})
}

func TestRealMigrationFromDovecot(t *testing.T) {
	needReal(t)
	alice, bob := account("alice@example.com", "alice@example.com"), account("bob@example.com", "robert")
	guests := startGuests(t, []realtest.Mailbox{alice}, []realtest.Mailbox{bob})
	replace := []string{"192.0.2.11:110", guests[0].POP3, "192.0.2.12:110", guests[1].POP3,
		"host=192.0.2.11 port=110", hostAndPort(guests[0].POP3), "host=192.0.2.12 port=110", hostAndPort(guests[1].POP3)}
	p := openPage(t, "docs/migration/dovecot.md", replace...)
	passdb := func(users string) string {
		return strings.ReplaceAll(p.read(t, "passdb.conf"), "/etc/dovecot/proxy", users)
	}
	old, err := realtest.StartDovecotProxy(t, passdb, p.read(t, "proxy"))
	if err != nil {
		t.Fatal(err)
	}
	p = openPage(t, "docs/migration/dovecot.md", append(replace, "192.0.2.10:110", old)...)
	p.run(t, "tomap.sh")
	whole, behind := p.serve(t, "postern.yaml"), p.serve(t, "behind.yaml")
	sameMail(t, []realtest.Mailbox{alice, bob}, map[string]string{"dovecot": old, "postern": whole.address, "before dovecot": behind.address})
	behind.counts(t, "postern_directory_unknown_total", "2") // bob's
}

// TestRealMigrationOfDatabases asks real databases with the queries that the pages make of Perdition's
// and Dovecot's.
func TestRealMigrationOfDatabases(t *testing.T) {
	needReal(t)
	const password = "migration"
	var postgres, mariadb *realtest.Database
	var faults [2]error
	var starting sync.WaitGroup
	starting.Go(func() { postgres, faults[0] = realtest.StartPostgres(t, password) })
	starting.Go(func() { mariadb, faults[1] = realtest.StartMariaDB(t, password) })
	starting.Wait()
	for _, err := range faults {
		if err != nil {
			t.Fatal(err)
		}
	}
	dsn := fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", realtest.DatabaseUser, password, postgres.Address, realtest.DatabaseUser)
	script(t, exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", dsn), `
CREATE TABLE mailbox (username text PRIMARY KEY, host text, port int, destuser text);
INSERT INTO mailbox VALUES ('alice@example.com', '192.0.2.11', 110, NULL), ('bob@example.com', '192.0.2.12', 110, 'robert');`)
	p := openPage(t, "docs/migration/dovecot.md")
	p.write(t, "dsn", dsn+"\n")
	p.lookup(t, "sql.yml", "alice@example.com guest-01 alice@example.com", "bob@example.com guest-02 robert")
	check(t, p, "sql.yml")

	host, port, _ := net.SplitHostPort(mariadb.Address)
	script(t, exec.Command("mariadb", "--no-defaults", "-h", host, "-P", port, "-u", realtest.DatabaseUser, "-p"+password, realtest.DatabaseUser), `
CREATE TABLE tblPerdition (user varchar(128) PRIMARY KEY, servername varchar(255), port varchar(8) DEFAULT NULL);
INSERT INTO tblPerdition VALUES ('alice@example.com', '192.0.2.11', '110'), ('bob@example.com', 'robert@192.0.2.12', NULL),
  ('carol@example.com', 'carol@example.com@guest-01', '');`)
	p = openPage(t, "docs/migration/perdition.md")
	p.write(t, "dsn", fmt.Sprintf("%s:%s@tcp(%s)/%s\n", realtest.DatabaseUser, password, mariadb.Address, realtest.DatabaseUser))
	p.lookup(t, "database.yml", "alice@example.com guest-01 alice@example.com", "bob@example.com guest-02 robert",
		"carol@example.com guest-01 carol@example.com", "frank@example.com old-mail frank@example.com")
	check(t, p, "database.yml")
}

func TestRealMigrationOfLDAP(t *testing.T) {
	needReal(t)
	s, err := realtest.StartSlapd(t, realtest.SlapdOptions{Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	entry := "dn: uid=%[1]s,ou=people,dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n" +
		"cn: %[1]s\nsn: %[1]s\nuid: %[1]s\nmail: %[2]s\nmailHost: %[3]s\n\n"
	if err := s.Modify(fmt.Sprintf(entry, "alice", "alice@example.com", "192.0.2.11") + fmt.Sprintf(entry, "robert", "bob@example.com", "192.0.2.12")); err != nil {
		t.Fatal(err)
	}
	p := openPage(t, "docs/migration/dovecot.md", "ldaps://ldap1.example.org", s.Plain, "cn=postern,dc=example,dc=org", s.Admin, "dc=example,dc=org", s.Base)
	p.lookup(t, "ldap.yaml", "alice@example.com guest-01 alice", "bob@example.com guest-02 robert")
}

// script hands statements to a client of a database.
func script(t *testing.T, client *exec.Cmd, statements string) {
	t.Helper()
	client.Stdin = strings.NewReader(statements)
	if out, err := client.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(client.Path), err, out)
	}
}

// check expects "postern check" to take a configuration.
func check(t *testing.T, p page, config string) {
	t.Helper()
	if out, err := postern(t, "check", "--config", p.path(config)).CombinedOutput(); err != nil {
		t.Errorf("check with %s: %v\n%s", config, err, out)
	}
}
