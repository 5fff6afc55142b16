package sql

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/directory"
	"postern/pop3"
)

// canary is the password of every data source here, and a part of those that can't be read.
const canary = "c4n4ryC4N4RY"

var (
	_ directory.Resolver = (*Resolver)(nil)
	_ directory.Listener = (*Resolver)(nil)
)

func postgresOptions() Options {
	return Options{
		Driver: driverPostgres, DSN: pop3.NewSecret([]byte("postgres://postern:" + canary + "@127.0.0.1:1/mail?sslmode=disable")),
		Query: "SELECT backend FROM mailbox WHERE address = $1",
	}
}

func mysqlOptions() Options {
	return Options{
		Driver: driverMySQL, DSN: pop3.NewSecret([]byte("postern:" + canary + "@tcp(127.0.0.1:1)/mail")),
		Query: "SELECT backend FROM mailbox WHERE address = ?",
	}
}

// shows returns every way in which something may come to light.
func shows(thing any) string {
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "thing", thing)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "thing", thing)
	return fmt.Sprintf("%v %+v %#v %s %q %s", thing, thing, thing, thing, thing, log.String())
}

func keepsSecret(t *testing.T, thing any) {
	t.Helper()
	if text := shows(thing); strings.Contains(text, canary) {
		t.Errorf("a %T shows the secret: %s", thing, text)
	}
}

func TestNewAsksNothing(t *testing.T) {
	for _, o := range []Options{postgresOptions(), mysqlOptions()} {
		r, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(r); !strings.Contains(text, o.Driver+" at 127.0.0.1:1") {
			t.Errorf("the resolver is called %s", text)
		}
		keepsSecret(t, r)
		keepsSecret(t, o)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"driver", func(o *Options) { o.Driver = "oracle" }, `driver "oracle": want postgres or mysql`},
		{"no driver", func(o *Options) { o.Driver = "" }, "want postgres or mysql"},
		{"no dsn", func(o *Options) { o.DSN = pop3.Secret{} }, "dsn is empty"},
		{"no query", func(o *Options) { o.Query = " \n" }, "query is empty"},
		{"no parameter", func(o *Options) { o.Query = "SELECT 'guest-01' AS backend" }, "no parameter"},
		{"MySQL's parameter", func(o *Options) { o.Query = "SELECT backend FROM mailbox WHERE address = ?" }, "no parameter"},
		{"a dollar", func(o *Options) { o.Query = "SELECT '$' AS backend, '$$'" }, "no parameter"},
		{"connections", func(o *Options) { o.MaxConnections = -1 }, "want 1 to 1000"},
		{"many connections", func(o *Options) { o.MaxConnections = 1001 }, "want 1 to 1000"},
		{"timeout", func(o *Options) { o.Timeout = -time.Second }, "timeout -1s"},
		{"channel", func(o *Options) { o.Listen = strings.Repeat("c", 64) }, "at most 63 octets"},
		{"channel with NUL", func(o *Options) { o.Listen = "a\x00b" }, "channel"},
		{"default domain", func(o *Options) { o.Listen, o.DefaultDomain = "postern", "a..b" }, `default domain "a..b"`},
		{"listening to MySQL", func(o *Options) { *o = mysqlOptions(); o.Listen = "postern" }, "only postgres"},
		{"PostgreSQL's parameter", func(o *Options) { *o = mysqlOptions(); o.Query = "SELECT backend WHERE address = $1" }, "no parameter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := postgresOptions()
			test.change(&o)
			r, err := New(o)
			if r != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, %v; want %q", r, err, test.want)
			}
			keepsSecret(t, err)
		})
	}
}

// TestNewShowsNothingOfABadDSN gives names that can't be read, or are read as something
// else than was meant, with the password where an error would like to repeat it.
func TestNewShowsNothingOfABadDSN(t *testing.T) {
	for driver, dsns := range map[string][]string{
		driverPostgres: {
			"postgres://postern:" + canary + "/x@127.0.0.1/mail",
			"postgres://postern:1/" + canary + "@127.0.0.1/mail",
			"postgres://postern:" + canary + "%zz@127.0.0.1/mail",
			"postgres://postern:" + canary + "@127.0.0.1:port/mail",
			"postgres://postern:x@[" + canary + "/mail",
			"postgres://postern:x@127.0.0.1/mail?sslmode=" + canary,
			"postgres://postern:x@127.0.0.1/mail?sslmode=verify-full&sslrootcert=/nowhere/" + canary,
			"host=127.0.0.1 password='" + canary,
			"host=127.0.0.1 password=x " + canary,
			"host=127.0.0.1 port=" + canary,
			"host=127.0.0.1 pool_max_conns=" + canary,
			canary,
		},
		driverMySQL: {
			"postern:" + canary + "@tcp(127.0.0.1:1)", "postern:" + canary + "@tcp(127.0.0.1:1/mail",
			"postern@" + canary + "/mail", "postern:x@" + canary + "(127.0.0.1)/mail",
			"postern:x@tcp(127.0.0.1)/mail?tls=" + canary, "postern:x@tcp(127.0.0.1)/mail?timeout=" + canary,
			"postern:x@tcp(127.0.0.1)/mail?loc=" + canary, "postern:x@tcp(127.0.0.1)/mail%zz" + canary,
			"postern:x@tcp(127.0.0.1)/mail?parseTime=" + canary, canary,
		},
	} {
		for _, dsn := range dsns {
			o := postgresOptions()
			if driver == driverMySQL {
				o = mysqlOptions()
			}
			o.DSN = pop3.NewSecret([]byte(dsn))
			r, err := New(o)
			if err == nil {
				t.Errorf("%s: %q is taken for %v", driver, dsn, r)
				continue
			}
			if !strings.Contains(err.Error(), "dsn") {
				t.Errorf("%s: %q: %v", driver, dsn, err)
			}
			keepsSecret(t, err)
		}
	}
}

func TestPlace(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://u:p@db1/mail":                         "postgres at db1:5432",
		"postgres://u:p@db1:1,db2:2/mail":                 "postgres at db1:1, db2:2",
		"postgres://u:p@[2001:db8::1]/mail":               "postgres at [2001:db8::1]:5432",
		"host=/run/postgresql user=u password=p dbname=d": "postgres at /run/postgresql/.s.PGSQL.5432",
		"u:p@tcp(db1)/mail":                               "mysql at db1:3306",
		"u:p@tcp([2001:db8::1]:1)/mail":                   "mysql at [2001:db8::1]:1",
		"u:p@unix(/run/mysqld/mysqld.sock)/mail":          "mysql at /run/mysqld/mysqld.sock",
	} {
		o := postgresOptions()
		if strings.HasPrefix(want, driverMySQL) {
			o = mysqlOptions()
		}
		o.DSN = pop3.NewSecret([]byte(dsn))
		r, err := New(o)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if got := fmt.Sprint(r); got != want {
			t.Errorf("%s: %s, want %s", dsn, got, want)
		}
		r.Close()
	}
}

func TestMySQLIsHardened(t *testing.T) {
	config, err := mysqldriver.ParseDSN("u:p@tcp(db1)/mail?multiStatements=true&allowAllFiles=true&interpolateParams=true&columnsWithAlias=true&charset=latin1&collation=latin1_bin")
	if err == nil {
		err = harden(config, time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	if config.MultiStatements || config.AllowAllFiles || config.InterpolateParams || config.ColumnsWithAlias {
		t.Errorf("%+v", config)
	}
	if dsn := config.FormatDSN(); strings.Contains(dsn, "latin1") || !strings.Contains(dsn, "charset=utf8mb4") {
		t.Errorf("names are sent as %s", dsn)
	}
	if config.Timeout != time.Second || config.ReadTimeout != time.Second+closeTimeout || config.WriteTimeout != time.Second+closeTimeout {
		t.Error("a server may hang for ever")
	}
}

func TestUnknownParameter(t *testing.T) {
	for message, want := range map[string]int{
		"could not determine data type of parameter $1":                    1,
		"konnte Datentyp von Parameter $2 nicht ermitteln":                 2,
		"не удалось определить тип данных параметра $3":                    3,
		"could not determine data type of parameter $99999999999999999999": 0,
		"could not determine something":                                    0,
		"$":                                                                0,
		"$x":                                                               0,
	} {
		err := fmt.Errorf("preparing: %w", &pgconn.PgError{Code: indeterminateType, Message: message})
		if got := unknownParameter(err); got != want {
			t.Errorf("%q: %d, want %d", message, got, want)
		}
	}
	for _, err := range []error{nil, errors.New("parameter $1"), &pgconn.PgError{Code: "42601", Message: "$1"}} {
		if got := unknownParameter(err); got != 0 {
			t.Errorf("%v: %d", err, got)
		}
	}
}

func TestWords(t *testing.T) {
	p := place{"postgres at db1:5432", pop3.NewSecret([]byte(canary))}
	m := directory.Mailbox{Address: "hunter2@example.com", Local: "hunter2", Domain: "example.com"}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"plain", errors.New("connection refused"), "connection refused"},
		{"many lines", errors.New("failed:\n\tone\n\ttwo"), "failed: one two"},
		{"the password", errors.New("I got " + canary + "!"), "I got [redacted]!"},
		{"long", errors.New(strings.Repeat("ä", 300)), strings.Repeat("ä", 200) + "..."},
		{"PostgreSQL", &pgconn.PgError{Code: "42P01", Message: `relation "mailbox" does not exist`}, `relation "mailbox" does not exist (SQLSTATE 42P01)`},
		{"its data", &pgconn.PgError{Code: "22P02", Message: `invalid input: "x"`}, "the server refuses the query in words that quote the name (SQLSTATE 22P02)"},
		{"the name", &pgconn.PgError{Code: "P0001", Message: `who is Hunter2?`}, "the server refuses the query in words that quote the name (SQLSTATE P0001)"},
		{"MySQL", &mysqldriver.MySQLError{Number: 1146, SQLState: [5]byte([]byte("42S02")), Message: "no table"}, "no table (SQLSTATE 42S02, error 1146)"},
		{"its data", &mysqldriver.MySQLError{Number: 1292, SQLState: [5]byte([]byte("22007")), Message: "Truncated: 'x'"}, "the server refuses the query in words that quote the name (SQLSTATE 22007, error 1292)"},
		{"the name", &mysqldriver.MySQLError{Number: 1105, SQLState: [5]byte([]byte("HY000")), Message: "XPATH 'hunter2@'"}, "the server refuses the query in words that quote the name (SQLSTATE HY000, error 1105)"},
	} {
		if got := p.words(test.err, m); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	keepsSecret(t, p)
	if got := (place{}).words(errors.New("refused"), m); got != "refused" {
		t.Errorf("without a password: %q", got)
	}
}

func TestListenerAddress(t *testing.T) {
	o := postgresOptions()
	o.Listen, o.DefaultDomain = `post"ern`, "Example.COM"
	l, err := newListener(o, &pgx.ConnConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if l.statement != `LISTEN "post""ern"` {
		t.Error(l.statement)
	}
	for payload, want := range map[string]string{
		"alice@example.com": "alice@example.com", "Alice@EXAMPLE.com.": "alice@example.com", "bob": "bob@example.com",
		"": "", "@example.com": "", "a\x00b": "", "a@": "", strings.Repeat("x", 8000): "", "\xff": "",
	} {
		if got := l.address(payload); got != want {
			t.Errorf("%.40q: %q, want %q", payload, got, want)
		}
	}
}
