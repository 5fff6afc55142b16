package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/pop3"
)

// Queries and what they say. Each test sets what it asks for.

const oneMailbox = "alice@example.com guest-01 login=a state=moving\n"

func alice() directory.Value {
	return directory.Value{Backend: "guest-01", Login: "a", State: directory.Moving}
}

func (l *lab) testParameters(t *testing.T) {
	l.Set(t, oneMailbox)
	for _, where := range []string{
		"address = $1", "$1 = address;", "concat($1, '') = address -- $1? '$2'",
		"address = $1 AND concat($2, '@', $3) = address",
		"address = $1 AND address LIKE concat($2, '%')",
	} {
		if !l.postgres() && strings.Contains(where, "--") {
			where = "concat(?, '') = address -- '?'"
		}
		r := l.asking(t, "SELECT backend, login, state FROM mailbox WHERE "+where)
		tells(t, r, "alice@example.com", alice())
		if _, err := ask(t, r, "bob@example.com"); !errors.Is(err, directory.ErrUnknown) {
			t.Errorf("%s: %v", where, err)
		}
	}
	fails(t, l.asking(t, "SELECT backend FROM mailbox WHERE address <> '$1'"), "alice@example.com", "no parameter")
	many := "SELECT backend FROM mailbox WHERE '' IN ($1, $2, $3, $4)"
	if !l.postgres() {
		many = "SELECT backend FROM mailbox WHERE '' IN (?, ?, ?, ?)"
	}
	fails(t, l.asking(t, many), "alice@example.com", "4 parameters")
}

// testPostgresParameters is about what the server can't find out, and what it must.
func (l *lab) testPostgresParameters(t *testing.T) {
	l.Set(t, oneMailbox)
	for _, where := range []string{
		"address = $2 || '@' || $3", "$3 = 'example.com' AND address LIKE $2 || '@%'", "split_part(address, '@', 2) = $3",
		"address = $2 || '@example.com'", "address = $1 AND $3 <> ''",
	} {
		query := "SELECT backend, login, state FROM mailbox WHERE " + where
		tells(t, l.asking(t, query), "alice@example.com", alice())
		o := l.options() // what people write who have a pooler in between
		o.Query, o.DSN = query, pop3.NewSecret([]byte(l.dsn("postern", canary)+"&default_query_exec_mode=simple_protocol&statement_cache_capacity=0"))
		tells(t, resolver(t, o), "alice@example.com", alice())
	}
	l.run(t, `CREATE TABLE odd (raw BYTEA, number INT, backend TEXT)`)
	l.run(t, `INSERT INTO odd VALUES ('\x61', 7, 'guest-01')`)
	raw := l.asking(t, "SELECT backend FROM odd WHERE raw = $1")
	tells(t, raw, "a", directory.Value{Backend: "guest-01"})
	for _, address := range []string{`\x61`, `\141`} { // PostgreSQL's ways to write an a
		if _, err := ask(t, raw, address); !errors.Is(err, directory.ErrUnknown) {
			t.Errorf("%s: %v", address, err)
		}
	}
	number := l.asking(t, "SELECT backend FROM odd WHERE number = $1")
	tells(t, number, "7", directory.Value{Backend: "guest-01"})
	_, err := ask(t, number, "hunter2")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "SQLSTATE 22P02") {
		t.Errorf("a name where a number is wanted: %v", err)
	}
}

func (l *lab) testColumns(t *testing.T) {
	l.Set(t, oneMailbox)
	quote := "`"
	if l.postgres() {
		quote = `"`
	}
	quoted := func(name string) string { return quote + name + quote }
	for _, columns := range []string{
		"state, 1 AS other, backend, login", "backend AS " + quoted("BackEnd") + ", login AS " + quoted("LOGIN") + ", state AS " + quoted("State"),
		"'guest-01' AS backend, 'a' AS login, NULL AS other, lower('MOVING') AS state", "address, backend, login, state",
	} {
		tells(t, l.asking(t, "SELECT "+columns+" FROM mailbox WHERE address = $1"), "alice@example.com", alice())
	}
	l.run(t, "CREATE VIEW place AS SELECT address AS mail, backend AS backend, cast('x ' AS CHAR(9)) AS login FROM mailbox")
	tells(t, l.asking(t, "SELECT * FROM place WHERE mail = $1"), "alice@example.com", directory.Value{Backend: "guest-01", Login: "x"})
	tells(t, l.asking(t, "SELECT 42 AS backend, 7.50 AS login FROM mailbox WHERE address = $1"), "alice@example.com", directory.Value{Backend: "42", Login: "7.50"})
	for _, columns := range []string{"backend AS b", "backend AS b, login"} {
		fails(t, l.asking(t, "SELECT "+columns+" FROM mailbox WHERE address = $1"), "alice@example.com", "no column named backend")
	}
	fails(t, l.asking(t, "SELECT backend, login AS Backend FROM mailbox WHERE address = $1"), "alice@example.com", "two columns named backend")
}

func (l *lab) testRows(t *testing.T) {
	l.Set(t, oneMailbox)
	series := "generate_series(1, 20000) AS a, generate_series(1, 20000)" // nobody has the time to read that
	if !l.postgres() {
		series = "seq_1_to_400000000"
	}
	union := func(first, second string) string {
		return "SELECT " + first + " FROM mailbox WHERE address = $1 UNION ALL SELECT " + second
	}
	tells(t, l.asking(t, union("backend, 1", "'guest-01', 2")), "alice@example.com", directory.Value{Backend: "guest-01"})
	tells(t, l.asking(t, "SELECT backend, NULL AS login, NULL AS state FROM mailbox WHERE address = $1"), "alice@example.com", directory.Value{Backend: "guest-01"})
	for query, want := range map[string]string{
		union("backend, login", "'guest-02', login FROM mailbox"):                "rows that differ",
		union("backend, login", "backend, NULL FROM mailbox"):                    "rows that differ",
		"SELECT NULL AS backend FROM mailbox WHERE address = $1":                 "names no backend",
		"SELECT ' ' AS backend, login FROM mailbox WHERE address = $1":           "names no backend",
		"SELECT backend, 'locked' AS state FROM mailbox WHERE address = $1":      `state "locked"`,
		"SELECT backend, '{user}' AS login FROM mailbox WHERE address = $1":      "only {local}",
		"SELECT repeat('b', 5000) AS backend FROM mailbox WHERE address = $1":    "longer than 512",
		"SELECT 'guest' AS backend FROM " + series + " AS many WHERE $1 <> 'x'":  "more than 16 rows",
		"SELECT repeat('b', 9) AS b FROM " + series + " AS many WHERE $1 <> 'x'": "no column named backend",
	} {
		r := l.asking(t, query)
		for range 2 { // the connection is as good as before, or a new one
			fails(t, r, "alice@example.com", want)
		}
	}
}

func (l *lab) testFaults(t *testing.T) {
	l.Set(t, oneMailbox)
	for query, want := range map[string]string{
		"SELECT backend FROM nothing WHERE address = $1":           "42",
		"SELECT nothing AS backend FROM mailbox WHERE $1 = $1":     "42",
		"SELEKT backend FROM mailbox WHERE address = $1":           "42",
		"SELECT backend FROM mailbox WHERE address = $1; SELECT 1": "42",
	} {
		fails(t, l.asking(t, query), "alice@example.com", want)
	}
	wrong := l.options()
	wrong.DSN = pop3.NewSecret([]byte(l.dsn(realtest.DatabaseUser, canary+"x")))
	fails(t, resolver(t, wrong), "alice@example.com", "SQLSTATE 28")
	for _, address := range []string{"a\x00b@example.com", "\xff@example.com"} {
		if _, err := ask(t, l.asking(t, ""), address); !errors.Is(err, directory.ErrUnknown) {
			t.Errorf("%q: %v", address, err)
		}
	}
	socket := l.options()
	if socket.DSN = pop3.NewSecret([]byte(fmt.Sprintf("%s:%s@unix(%s)/%[1]s", realtest.DatabaseUser, canary, l.Socket))); l.postgres() {
		_, port, _ := strings.Cut(l.Address, ":")
		socket.DSN = pop3.NewSecret([]byte(fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%[3]s", l.Socket, port, realtest.DatabaseUser, canary)))
	}
	tells(t, resolver(t, socket), "alice@example.com", alice())
}

// testTLS has the query itself say whether the connection is encrypted.
func (l *lab) testTLS(t *testing.T) {
	l.Set(t, oneMailbox)
	encrypted := "EXISTS (SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl)"
	plain, trusting, strict := "sslmode=disable", "sslmode=verify-full&sslrootcert="+l.Certificate, "sslmode=verify-full"
	if !l.postgres() {
		encrypted = "EXISTS (SELECT 1 FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher' AND variable_value <> '')"
		plain, trusting, strict = "tls=false", "tls=skip-verify", "tls=true"
	}
	dsn, _, _ := strings.Cut(l.dsn(realtest.DatabaseUser, canary), "?")
	over := func(setting string) *Resolver {
		o := l.options()
		o.DSN = pop3.NewSecret([]byte(dsn + "?" + setting))
		o.Query = l.query("SELECT backend, login, state FROM mailbox WHERE address = $1 AND " + encrypted)
		return resolver(t, o)
	}
	tells(t, over(trusting), "alice@example.com", alice())
	if _, err := ask(t, over(plain), "alice@example.com"); !errors.Is(err, directory.ErrUnknown) {
		t.Errorf("without TLS: %v", err)
	}
	fails(t, over(strict), "alice@example.com", "certificate")
}

func (l *lab) testCheck(t *testing.T) {
	l.Set(t, oneMailbox)
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"good", func(*Options) {}, ""},
		{"no row has no columns to look at", func(o *Options) { o.Query = l.query("SELECT login FROM mailbox WHERE address = $1") }, "no column named backend"},
		{"no table", func(o *Options) { o.Query = l.query("SELECT backend FROM nothing WHERE address = $1") }, "nothing"},
		{"password", func(o *Options) { o.DSN = pop3.NewSecret([]byte(l.dsn("postern", canary+"x"))) }, "SQLSTATE 28"},
		{"database", func(o *Options) { o.DSN = pop3.NewSecret([]byte(l.dsn("nothing", canary))) }, "nothing"},
		{"driver", func(o *Options) { o.Driver = "odbc" }, "odbc"},
		{"nobody there", func(o *Options) {
			o.DSN = pop3.NewSecret([]byte(strings.Replace(l.dsn("postern", canary), l.Address, "127.0.0.1:1", 1)))
		}, "connection refused"},
	} {
		o := l.options()
		test.change(&o)
		err := o.Check(t.Context())
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		keepsSecret(t, err)
	}
}

// testEncodings asks for names that the database has no letters for.
func (l *lab) testEncodings(t *testing.T) {
	o := l.options()
	if l.postgres() {
		l.run(t, "CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
		l.runIn(t, "old", "CREATE TABLE mailbox (address TEXT, backend TEXT, login TEXT, state TEXT)")
	} else {
		l.run(t, "CREATE DATABASE old CHARACTER SET latin1 COLLATE latin1_bin")
		l.runIn(t, "old", "CREATE TABLE mailbox (address VARCHAR(254), backend VARCHAR(254), login VARCHAR(254), state VARCHAR(254))")
	}
	o.DSN = pop3.NewSecret([]byte(l.dsn("old", canary)))
	l.runIn(t, "old", "INSERT INTO mailbox VALUES ('müller@example.com', 'guest-01', 'müller', NULL)")
	old := resolver(t, o)
	tells(t, old, "müller@example.com", directory.Value{Backend: "guest-01", Login: "müller"})
	for _, address := range []string{"日本@example.com", "muller@example.com", "почта@example.com"} {
		if _, err := ask(t, old, address); !errors.Is(err, directory.ErrUnknown) {
			t.Errorf("%s: %v", address, err)
		}
	}
	l.Set(t, "日本@example.com guest-01 login=日本\n\U00020000@example.com guest-02\n")
	r := l.asking(t, "")
	tells(t, r, "日本@example.com", directory.Value{Backend: "guest-01", Login: "日本"})
	tells(t, r, "\U00020000@example.com", directory.Value{Backend: "guest-02"})
}

// testFourConnections has fifty ask a slow question through the four connections there are.
func (l *lab) testFourConnections(t *testing.T) {
	l.Set(t, oneMailbox)
	sleep := "sleep(0.05) = 0"
	count := "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%sleep(0.05)%' AND info NOT LIKE '%processlist%' AND command = 'Execute'"
	if l.postgres() {
		sleep = "pg_sleep(0.05) IS NOT NULL"
		count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'postern'"
	}
	r := l.asking(t, "SELECT backend, login, state FROM mailbox WHERE address = $1 AND "+sleep)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { tells(t, r, "alice@example.com", alice()) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	most := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(10 * time.Millisecond):
			most = max(most, l.number(t, count))
		}
	}
	if most < 1 || most > defaultConnections {
		t.Errorf("%d connections at once, want 1 to %d", most, defaultConnections)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
