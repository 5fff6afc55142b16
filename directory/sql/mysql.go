package sql

import (
	"cmp"
	"context"
	stdsql "database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"

	"postern/directory"
	"postern/pop3"
)

const (
	driverMySQL = "mysql"
	wantMySQL   = "USER:PASSWORD@tcp(HOST:PORT)/DATABASE?tls=true"

	// charset holds every name. What MySQL calls utf8 does not.
	charset = "utf8mb4"

	connectionLife = 30 * time.Minute
	idleLife       = 10 * time.Minute
)

// What MySQL and MariaDB say by number.
const (
	illegalMix       = 1267 // a name can't be compared: the column's character set has not all of its letters
	serverShutdown   = 1053
	connectionKilled = 1927
)

// mysql prepares the query for each question anew. It costs a round trip, leaves nothing on the server, and
// tells how many parameters there are.
type mysql struct {
	pool  *stdsql.DB
	idle  int
	query string
}

func (r *Resolver) openMySQL(o Options) error {
	config, err := mysqldriver.ParseDSN(string(o.DSN.Reveal()))
	if err != nil {
		return dsnError(err, wantMySQL)
	}
	if err := harden(config, o.Timeout); err != nil {
		return dsnError(err, wantMySQL)
	}
	if config.Net != "tcp" && config.Net != "unix" { // a piece of the password, maybe
		return fmt.Errorf("the dsn's network is neither tcp nor unix: want %s", wantMySQL)
	}
	connector, err := mysqldriver.NewConnector(config)
	if err != nil {
		return dsnError(err, wantMySQL)
	}
	pool := stdsql.OpenDB(connector)
	pool.SetMaxOpenConns(o.MaxConnections)
	pool.SetMaxIdleConns(o.MaxConnections)
	pool.SetConnMaxLifetime(connectionLife)
	pool.SetConnMaxIdleTime(idleLife)
	r.place = place{driverMySQL + " at " + config.Addr, pop3.NewSecret([]byte(config.Passwd))}
	r.database = &mysql{pool: pool, idle: o.MaxConnections, query: o.Query}
	return nil
}

// harden settles what a data source's name may not choose: how names are sent, that they never become a piece of the
// query's text, and what a server may ask of us.
func harden(c *mysqldriver.Config, timeout time.Duration) error {
	c.InterpolateParams, c.MultiStatements, c.AllowAllFiles, c.ColumnsWithAlias = false, false, false, false
	c.Logger = &mysqldriver.NopLogger{} // by default the driver writes to stderr
	c.Timeout = cmp.Or(c.Timeout, timeout)
	// A question ends by its context. These are for the farewells that have none.
	c.ReadTimeout = cmp.Or(c.ReadTimeout, timeout+closeTimeout)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, timeout+closeTimeout)
	collation := c.Collation
	if !strings.HasPrefix(collation, charset+"_") {
		collation = ""
	}
	return c.Apply(mysqldriver.Charset(charset, collation))
}

// forget closes the idle connections: database/sql has no other way to say it.
func (d *mysql) forget() {
	d.pool.SetMaxIdleConns(0)
	d.pool.SetMaxIdleConns(d.idle)
}

func (d *mysql) close() { _ = d.pool.Close() }

func (d *mysql) ask(ctx context.Context, m directory.Mailbox) (a *answer, err error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	unused := conn.Raw(func(raw any) error {
		a, err = d.put(ctx, raw.(driver.ConnPrepareContext), m)
		if hasEnded(err) {
			err = &brokenError{err}
		} else if _, server := errors.AsType[*mysqldriver.MySQLError](err); err == nil || server {
			return nil
		}
		return driver.ErrBadConn // has database/sql drop it, with the rows that nobody wants
	})
	if err == nil && unused != nil {
		return nil, unused
	}
	if e, ok := errors.AsType[*mysqldriver.MySQLError](err); ok && e.Number == illegalMix && !isASCII(m.Address) {
		return nil, directory.ErrUnknown
	}
	return a, err
}

// hasEnded tells whether an error is the end of the connection.
func hasEnded(err error) bool {
	if e, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return e.Number == serverShutdown || e.Number == connectionKilled
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysqldriver.ErrInvalidConn)
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 0x7f }) < 0
}

func (d *mysql) put(ctx context.Context, conn driver.ConnPrepareContext, m directory.Mailbox) (*answer, error) {
	statement, err := conn.PrepareContext(ctx, d.query)
	if err != nil {
		return nil, err
	}
	defer statement.Close()
	if err := checkParameters(statement.NumInput()); err != nil {
		return nil, err
	}
	var values []driver.NamedValue
	for i, text := range parameters(m) {
		values = append(values, driver.NamedValue{Ordinal: i + 1, Value: text})
	}
	rows, err := statement.(driver.StmtQueryContext).QueryContext(ctx, values[:statement.NumInput()])
	if err != nil {
		return nil, err
	}
	return drain(rows)
}

// drain reads the rows to their end. Rows that were left before it are not closed: the
// driver would first read all of them, and would not stop for a context. Their connection is dropped.
func drain(rows driver.Rows) (*answer, error) {
	names := rows.Columns()
	a, err := newAnswer(names)
	if err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(names))
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			return a, rows.Close()
		}
		if err == nil {
			err = a.add(func(column int) string { return text(values[column]) })
		}
		if err != nil {
			return nil, err
		}
	}
}

func text(v driver.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}
