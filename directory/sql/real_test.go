// Real databases: each a server of this test's own, which is stopped, killed and started again.

package sql

import (
	"context"
	stdsql "database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/directory/directorytest"
	"postern/directory/mapfile"
	"postern/pop3"
)

// patience is for what has to come on a machine that is busy.
const patience = 30 * time.Second

// lab is a running database with the means to change it.
type lab struct {
	*realtest.Database
	driver string
}

func TestRealDatabases(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs PostgreSQL and MariaDB: `make test` installs them and sets POSTERN_REAL=1")
	}
	if os.Getuid() != 0 {
		t.Fatal("the servers run as users of their own, so this test must be run as root")
	}
	labs := startLabs(t)
	for _, l := range labs {
		t.Run(l.driver, func(t *testing.T) {
			l.run(t, "CREATE TABLE mailbox ("+l.column("address")+" PRIMARY KEY, "+l.column("backend")+", "+l.column("login")+", "+l.column("state")+")")
			t.Run("conformance", l.testConformance)
			t.Run("parameters", l.testParameters)
			t.Run("columns", l.testColumns)
			t.Run("rows", l.testRows)
			t.Run("faults", l.testFaults)
			t.Run("check", l.testCheck)
			t.Run("TLS", l.testTLS)
			t.Run("encodings", l.testEncodings)
			t.Run("four connections", l.testFourConnections)
			t.Run("a connection is ended", l.testConnectionEnded)
			t.Run("a connection is ended under a question", l.testEndedUnderAQuestion)
			t.Run("the server hangs", l.testHanging)
			t.Run("the server is killed", l.testKilled)
			if l.driver == driverPostgres {
				t.Run("parameters of PostgreSQL", l.testPostgresParameters)
				t.Run("listening", l.testListening)
				t.Run("listening to a server that hangs", l.testListeningHangs)
			}
		})
	}
}

// startLabs starts both servers at once.
func startLabs(t *testing.T) []*lab {
	t.Helper()
	labs := []*lab{{driver: driverPostgres}, {driver: driverMySQL}}
	starters := []func(testing.TB, string) (*realtest.Database, error){realtest.StartPostgres, realtest.StartMariaDB}
	var starting sync.WaitGroup
	for i, l := range labs {
		starting.Go(func() {
			var err error
			if l.Database, err = starters[i](t, canary); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return labs
}

func (l *lab) postgres() bool { return l.driver == driverPostgres }

// column declares one that compares octets.
func (l *lab) column(name string) string {
	if l.postgres() {
		return name + " TEXT"
	}
	return name + " VARCHAR(600) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
}

func (l *lab) dsn(database, password string) string {
	if l.postgres() {
		return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", realtest.DatabaseUser, password, l.Address, database)
	}
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", realtest.DatabaseUser, password, l.Address, database)
}

// options ask the table mailbox. A question may take as long as the machine is busy.
func (l *lab) options() Options {
	return Options{
		Driver: l.driver, DSN: pop3.NewSecret([]byte(l.dsn(realtest.DatabaseUser, canary))), Timeout: patience,
		Query: l.query("SELECT backend, login, state FROM mailbox WHERE address = $1"),
	}
}

// query writes PostgreSQL's parameters as the driver has them.
func (l *lab) query(text string) string {
	if l.postgres() {
		return text
	}
	return strings.NewReplacer("$1", "?", "$2", "?", "$3", "?").Replace(text)
}

func (l *lab) asking(t *testing.T, query string) *Resolver {
	t.Helper()
	o := l.options()
	if query != "" {
		o.Query = l.query(query)
	}
	return resolver(t, o)
}

func resolver(t *testing.T, o Options) *Resolver {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// run has the server do something, on a connection of its own.
func (l *lab) run(t *testing.T, statement string, args ...any) {
	l.runIn(t, realtest.DatabaseUser, statement, args...)
}

func (l *lab) runIn(t *testing.T, database, statement string, args ...any) {
	t.Helper()
	if err := l.try(t.Context(), database, func(do executor) error { return do(statement, args...) }); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

type executor func(statement string, args ...any) error

func (l *lab) try(ctx context.Context, database string, use func(executor) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if l.postgres() {
		conn, err := pgx.Connect(ctx, l.dsn(database, canary)+"&client_encoding=UTF8")
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return use(func(statement string, args ...any) error {
			_, err := conn.Exec(ctx, statement, args...)
			return err
		})
	}
	pool, err := stdsql.Open("mysql", l.dsn(database, canary)+"?charset=utf8mb4")
	if err != nil {
		return err
	}
	defer pool.Close()
	return use(func(statement string, args ...any) error {
		_, err := pool.ExecContext(ctx, statement, args...)
		return err
	})
}

// number asks the server for one.
func (l *lab) number(t *testing.T, query string) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if l.postgres() {
		conn, err := pgx.Connect(ctx, l.dsn(realtest.DatabaseUser, canary))
		if err == nil {
			defer conn.Close(ctx)
			err = conn.QueryRow(ctx, query).Scan(&n)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	pool, err := stdsql.Open("mysql", l.dsn(realtest.DatabaseUser, canary))
	if err == nil {
		defer pool.Close()
		err = pool.QueryRowContext(ctx, query).Scan(&n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Set implements directorytest.AskedSite.
func (l *lab) Set(t *testing.T, lines string) {
	t.Helper()
	table, err := mapfile.Read(strings.NewReader(lines), mapfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = l.try(t.Context(), realtest.DatabaseUser, func(do executor) error {
		err := do("DELETE FROM mailbox")
		for address, v := range table.All() {
			if err == nil {
				err = do(l.query("INSERT INTO mailbox VALUES ($1, $2, $3, "+l.fourth()+")"), address, v.Backend, v.Login, v.State.String())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lab) fourth() string {
	if l.postgres() {
		return "$4"
	}
	return "?"
}

// Break implements directorytest.AskedSite. What a server does that is gone has tests of its own.
func (l *lab) Break(t *testing.T) { l.run(t, "ALTER TABLE mailbox RENAME TO aside") }

// Repair implements directorytest.AskedSite.
func (l *lab) Repair(t *testing.T) { l.run(t, "ALTER TABLE aside RENAME TO mailbox") }

func (l *lab) testConformance(t *testing.T) {
	l.run(t, "DROP TABLE IF EXISTS aside")
	directorytest.RunResolver(t, canary, func(t *testing.T) (directory.Resolver, directorytest.AskedSite) {
		t.Cleanup(func() { // a test may leave it broken
			_ = l.try(context.Background(), realtest.DatabaseUser, func(do executor) error { return do("ALTER TABLE aside RENAME TO mailbox") })
		})
		return l.asking(t, ""), l
	})
}

func mailbox(address string) directory.Mailbox {
	local, domain, _ := strings.Cut(address, "@")
	return directory.Mailbox{Address: address, Local: local, Domain: domain}
}

// ask asks with time enough.
func ask(t *testing.T, r *Resolver, address string) (directory.Value, error) {
	t.Helper()
	v, err := r.Resolve(t.Context(), mailbox(address))
	if err != nil {
		keepsSecret(t, err)
	}
	return v, err
}

func tells(t *testing.T, r *Resolver, address string, want directory.Value) {
	t.Helper()
	if v, err := ask(t, r, address); err != nil || v != want {
		t.Errorf("%s: %+v, %v; want %+v", address, v, err, want)
	}
}

// fails wants an error that names the place and holds a text.
func fails(t *testing.T, r *Resolver, address, want string) {
	t.Helper()
	_, err := ask(t, r, address)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "asking "+r.place.where+": ") {
		t.Errorf("%s: %v; want %q", address, err, want)
	}
}
