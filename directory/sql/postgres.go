package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/directory"
	"postern/pop3"
)

const (
	driverPostgres = "postgres"

	// maxMessage bounds what a server may make us hold: a message is a row.
	maxMessage = 1 << 20
	// closeTimeout is how long a server may take to part with its connections.
	closeTimeout = time.Second

	wantPostgres = "postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full with %XX for what a URL can't hold, or host=HOST user=USER password=PASSWORD dbname=DATABASE"
)

// What PostgreSQL says by code (its manual, appendix A).
const (
	indeterminateType = "42P18"
	untranslatable    = "22P05"
)

// postgres asks through the extended protocol's unnamed statement, in one round trip.
type postgres struct {
	pool     *pgxpool.Pool
	end      context.CancelFunc // closes all sockets
	query    string
	expected atomic.Pointer[signature]
}

// signature is what the server expects of the query's parameters.
type signature struct {
	types   []uint32 // those that the server can't find out by itself; 0: it can; may be shorter than formats
	formats []int16  // one for each parameter
}

func (r *Resolver) openPostgres(o Options) error {
	config, err := pgxpool.ParseConfig(string(o.DSN.Reveal()))
	if err != nil {
		return dsnError(err, wantPostgres)
	}
	c := config.ConnConfig
	if strings.Contains(c.Database, "@") {
		// postgres://user:12/34@host/db is a valid URL of the host "user".
		return fmt.Errorf("the dsn's database holds an @: want %s", wantPostgres)
	}
	life, end := context.WithCancel(context.Background())
	c.DialFunc = dialUntil(life, c.DialFunc)
	c.MaxProtocolMessageBodyLen = maxMessage
	c.RuntimeParams["client_encoding"] = "UTF8" // as names are; a database's own may be another
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "postern"
	}
	if c.ConnectTimeout == 0 { // the pool connects for whoever waits, and goes on where that one has left
		c.ConnectTimeout = o.Timeout + closeTimeout
	}
	config.MaxConns = int32(o.MaxConnections)
	config.MinConns, config.MinIdleConns = 0, 0
	// A question finds out by itself whether its connection is alive, without a second round trip.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	r.place = place{postgresPlace(&c.Config), pop3.NewSecret([]byte(c.Password))}
	if r.listener, err = newListener(o, c); err == nil {
		var pool *pgxpool.Pool
		if pool, err = pgxpool.NewWithConfig(life, config); err == nil {
			r.database = &postgres{pool: pool, end: end, query: o.Query}
			return nil
		}
		err = dsnError(err, wantPostgres)
	}
	end()
	return err
}

// postgresPlace names the hosts in the order in which they are tried.
func postgresPlace(c *pgconn.Config) string {
	var hosts []string
	add := func(host string, port uint16) {
		_, address := pgconn.NetworkAddress(host, port)
		hosts = append(hosts, address)
	}
	add(c.Host, c.Port)
	for _, f := range c.Fallbacks { // the same host again without TLS, and further hosts
		add(f.Host, f.Port)
	}
	return driverPostgres + " at " + strings.Join(slices.Compact(hosts), ", ")
}

// dialUntil closes what it dialled when life ends. The driver may spend a quarter of a minute on parting
// with a server that hangs.
func dialUntil(life context.Context, dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &socket{conn, context.AfterFunc(life, func() { _ = conn.Close() })}, nil
	}
}

type socket struct {
	net.Conn
	release func() bool
}

func (s *socket) Close() error {
	s.release()
	return s.Conn.Close()
}

func (p *postgres) forget() { p.pool.Reset() }

func (p *postgres) close() {
	force := time.AfterFunc(closeTimeout, p.end)
	p.pool.Close()
	force.Stop()
	p.end()
}

func (p *postgres) ask(ctx context.Context, m directory.Mailbox) (*answer, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	pg := conn.Conn().PgConn()
	expected, err := p.signature(ctx, pg)
	var a *answer
	if err == nil {
		a, err = p.put(ctx, pg, expected, m)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == untranslatable {
		return nil, directory.ErrUnknown // the database's encoding has no such name
	}
	return a, err
}

// ended marks an error that is the end of the connection.
func ended(pg *pgconn.PgConn, err error) error {
	if err != nil && pg.IsClosed() {
		return &brokenError{err}
	}
	return err
}

// put sends the query with its parameters beside it. Values come back as text, whatever
// the columns' types.
func (p *postgres) put(ctx context.Context, pg *pgconn.PgConn, expected *signature, m directory.Mailbox) (*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var values [][]byte
	for _, text := range parameters(m) {
		values = append(values, []byte(text))
	}
	rows := pg.ExecParams(ctx, p.query, values[:len(expected.formats)], expected.types, expected.formats, nil)
	a, fault := collect(rows)
	if fault != nil && len(rows.FieldDescriptions()) > 0 {
		cancel() // ends the connection: the rest may be a whole table
		_, _ = rows.Close()
		return nil, fault
	}
	if _, err := rows.Close(); err != nil {
		return nil, ended(pg, err)
	}
	return a, fault
}

func collect(rows *pgconn.ResultReader) (*answer, error) {
	var names []string
	for _, f := range rows.FieldDescriptions() {
		names = append(names, f.Name)
	}
	a, err := newAnswer(names)
	for err == nil && rows.NextRow() {
		values := rows.Values()
		err = a.add(func(column int) string { return string(values[column]) })
	}
	return a, err
}

// signature asks the server, once, what the query's parameters are. One that the query leaves out has no
// type that could be found out: WHERE name = $2 AND domain = $3 has such a $1. It gets one; the others
// don't, or a column of type citext would be compared as plain text.
func (p *postgres) signature(ctx context.Context, pg *pgconn.PgConn) (*signature, error) {
	if known := p.expected.Load(); known != nil {
		return known, nil
	}
	s := &signature{}
	description, err := pg.Prepare(ctx, "", p.query, nil)
	for n := unknownParameter(err); n > len(s.types) && n <= maxParameters; n = unknownParameter(err) {
		s.types = append(s.types, make([]uint32, n-len(s.types))...)
		s.types[n-1] = pgtype.TextOID
		description, err = pg.Prepare(ctx, "", p.query, s.types)
	}
	if err != nil {
		return nil, ended(pg, err)
	}
	if err := checkParameters(len(description.ParamOIDs)); err != nil {
		return nil, err
	}
	for _, oid := range description.ParamOIDs {
		format := int16(pgtype.TextFormatCode)
		if oid == pgtype.ByteaOID { // as text \x61 would be an a
			format = pgtype.BinaryFormatCode
		}
		s.formats = append(s.formats, format)
	}
	p.expected.Store(s)
	return s, nil
}

// unknownParameter is the number of the parameter whose type the server asks for; 0: it does not.
// The number is in its message only, which every language writes as $N.
func unknownParameter(err error) int {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.Code != indeterminateType {
		return 0
	}
	_, behind, _ := strings.Cut(e.Message, "$")
	digits := strings.IndexFunc(behind, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(behind)
	}
	n, err := strconv.Atoi(behind[:digits])
	if err != nil {
		return 0
	}
	return n
}
