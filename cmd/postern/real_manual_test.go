// The manual of the directory, tried on real servers: its configurations, its statements for a database,
// its policy for Consul, its lines for Postfix and nginx.

package main_test

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

const manual = "docs/directory.md"

func TestRealManualConsul(t *testing.T) {
	needReal(t)
	const root = "11111111-2222-3333-4444-555555555555"
	c, err := realtest.StartConsul(t, `acl { enabled = true default_policy = "deny" tokens { initial_management = "`+root+`" } }`)
	if err != nil {
		t.Fatal(err)
	}
	c.Token = root
	p := openPage(t, manual, "127.0.0.1:8500", c.Address)
	cli := func(args ...string) string {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			out, err := c.CLI(args...)
			if err == nil {
				return strings.TrimSpace(out)
			}
			if time.Now().After(deadline) { // it takes a moment until the first token holds
				t.Fatal(err)
			}
		}
	}
	cli("acl", "policy", "create", "-name", "postern", "-rules", "@"+p.path("policy.hcl"))
	made := cli("acl", "token", "create", "-policy-name", "postern", "-format", "json")
	_, secret, _ := strings.Cut(made, `"SecretID": "`)
	secret, _, _ = strings.Cut(secret, `"`)
	p.write(t, "consul.token", secret+"\n")
	p.write(t, "example.com.map", "bob guest-02 login=robert\n")
	cli("kv", "put", "postern/directory/example.com", "@"+p.path("example.com.map"))
	cli("kv", "put", "postern/directory/by-hand/alice", "alice@example.com guest-01")

	check(t, p, "consul.yml")
	p.lookup(t, "consul.yml", "alice guest-01 alice@example.com", "bob@example.com guest-02 robert")
}

// TestRealManualPostgres has the manual's trigger tell of a move: the kept answer, good for a minute,
// is dropped at once.
func TestRealManualPostgres(t *testing.T) {
	needReal(t)
	old, moved := account("alice@example.com", "alice"), account("alice@example.com", "alice")
	moved.Messages = moved.Messages[:1]
	guests := startGuests(t, []realtest.Mailbox{old}, []realtest.Mailbox{moved})
	const password = "manual"
	d, err := realtest.StartPostgres(t, password)
	if err != nil {
		t.Fatal(err)
	}
	p := openPage(t, manual, "192.0.2.11:110", guests[0].POP3, "192.0.2.12:110", guests[1].POP3)
	admin := fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", realtest.DatabaseUser, password, d.Address, realtest.DatabaseUser)
	sql := func(statements string) {
		t.Helper()
		script(t, exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", admin), statements)
	}
	sql(p.read(t, "postgres.sql"))
	sql("INSERT INTO account (address, guest, login) VALUES ('alice@example.com', 'guest-01', 'alice');")
	p.write(t, "dsn", fmt.Sprintf("postgres://reader:secret@%s/%s?sslmode=verify-full&sslrootcert=%s\n", d.Address, realtest.DatabaseUser, d.Certificate))
	check(t, p, "postgres.yml")

	address := p.serve(t, "postgres.yml").address
	sameMail(t, []realtest.Mailbox{old}, map[string]string{"postern": address})
	sql("UPDATE account SET guest = 'guest-02' WHERE address = 'alice@example.com';")
	began := time.Now()
	for err := fetchesOwn(t, address, moved); err != nil; err = fetchesOwn(t, address, moved) {
		if time.Since(began) > 30*time.Second { // half of what an answer is kept for
			t.Fatalf("the move was not heard of: %v", err)
		}
	}
}

func TestRealManualMariaDB(t *testing.T) {
	needReal(t)
	const password = "manual"
	d, err := realtest.StartMariaDB(t, password)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(d.Address)
	script(t, exec.Command("mariadb", "--no-defaults", "-h", host, "-P", port, "-u", realtest.DatabaseUser, "-p"+password, realtest.DatabaseUser), `
CREATE TABLE account (address varchar(250) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, guest text, login text);
INSERT INTO account VALUES ('alice@example.com', 'guest-01', NULL), ('bob@example.com', '192.0.2.12', 'robert');`)
	t.Setenv("POSTERN_DB_PASSWORD", password)
	t.Setenv("SSL_CERT_FILE", d.Certificate)
	p := openPage(t, manual, "reader:", realtest.DatabaseUser+":", "db.example.com:3306)/mail", d.Address+")/"+realtest.DatabaseUser)
	check(t, p, "mariadb.yml")
	p.lookup(t, "mariadb.yml", "alice@example.com guest-01 alice@example.com", "bob@example.com guest-02 robert")
}

// TestRealManualLDAP asks and follows by the second of two servers: the first is not there.
func TestRealManualLDAP(t *testing.T) {
	needReal(t)
	s, err := realtest.StartSlapd(t, realtest.SlapdOptions{Sync: true, Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	entry := "dn: uid=%[1]s,ou=people,dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n" +
		"cn: %[1]s\nsn: %[1]s\nuid: %[1]s\nmail: %[2]s\nmailHost: %[3]s\n\n"
	if err := s.Modify(fmt.Sprintf(entry, "alice", "alice@example.com", "192.0.2.11") + fmt.Sprintf(entry, "robert", "bob@example.com", "guest-02")); err != nil {
		t.Fatal(err)
	}
	nobody := freeAddress(t)
	p := openPage(t, manual, "cn=postern,dc=example,dc=com", s.Admin,
		"ldaps://ldap1.example.com", "ldaps://"+nobody, "ldaps://ldap2.example.com", s.Secure,
		"ldap://ldap1.example.com", "ldap://"+nobody, "ldap://ldap2.example.com", s.Plain,
		"tls: {server_name", "tls: {ca: "+s.Authority+", server_name",
		"starttls: true\n", "starttls: true\n      tls: {ca: "+s.Authority+"}\n")
	for _, config := range []string{"ldap.yaml", "ldap-follow.yml"} {
		check(t, p, config)
		p.lookup(t, config, "alice@example.com guest-01 alice", "bob@example.com guest-02 robert")
	}
}

func TestRealManualPostfixAndNginx(t *testing.T) {
	needReal(t)
	alice, bob := account("alice@example.com", "alice@example.com"), account("bob@example.com", "bob")
	guests := startGuests(t, []realtest.Mailbox{alice}, []realtest.Mailbox{bob})
	portsOf := func(g *realtest.Guest) string {
		return fmt.Sprintf("ports: {imap: %s, lmtp: %s}", portOf(g.IMAP), portOf(g.LMTP))
	}
	postfix, sendmail, service, imap := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	p := openPage(t, manual, `"192.0.2.12:110"}`, fmt.Sprintf("%q, %s}", guests[1].POP3, portsOf(guests[1])), "192.0.2.11:110", guests[0].POP3,
		"ports: {imap: 143, lmtp: 24}", portsOf(guests[0]),
		"127.0.0.1:9112", postfix, "127.0.0.1:9113", service, "127.0.0.1:9114", sendmail, "127.0.0.1:143;", imap+";")
	served := p.serve(t, "answering.yaml")
	sameMail(t, []realtest.Mailbox{alice, bob}, map[string]string{"postern": served.address})

	if err := realtest.StartNginxMail(t, p.read(t, "nginx.conf"), imap); err != nil {
		t.Fatal(err)
	}
	for _, m := range []realtest.Mailbox{alice, bob} {
		if got := login(t, imap, m.Address, m.Password); !strings.HasPrefix(got, "a OK") {
			t.Errorf("%s by nginx: %q", m.Address, got)
		}
	}
	if got := login(t, imap, "dave@example.com", "secret"); !strings.HasPrefix(got, "a NO [UNAVAILABLE]") {
		t.Errorf("a mailbox that is moving, by nginx: %q", got)
	}

	settings := strings.Split(strings.TrimSpace(p.read(t, "main.cf")), "\n")
	server, err := realtest.StartPostfix(t, settings...)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ at, table, key, want string }{
		{postfix, "transport", alice.Address, "lmtp:inet:[127.0.0.1]:" + portOf(guests[0].LMTP)},
		{postfix, "transport", bob.Address, "lmtp:inet:[127.0.0.1]:" + portOf(guests[1].LMTP)},
		{postfix, "mailbox", "ALICE@example.com", alice.Address},
		{postfix, "mailbox", "nobody@example.com", ""},
		{postfix, "backend", bob.Address, "guest-02"},
		{sendmail, "transport", bob.Address, "esmtp:[127.0.0.1]"},
	} {
		if got, err := server.Lookup("socketmap:inet:"+row.at+":"+row.table, row.key); err != nil || got != row.want {
			t.Errorf("%s of %s is %q (%v), want %q", row.table, row.key, got, err, row.want)
		}
	}
	if got, err := server.Lookup("socketmap:inet:"+postfix+":transport", "dave@example.com"); err == nil {
		t.Errorf("the transport of a mailbox that is moving is %q", got)
	}
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// login logs in by IMAP and returns the answer.
func login(t *testing.T, address, user, password string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := fmt.Fprintf(c, "a LOGIN %s %s\r\n", user, password); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "a ") {
			return line
		}
	}
}
