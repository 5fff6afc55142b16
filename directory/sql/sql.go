package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"postern/directory"
	"postern/pop3"
)

const (
	defaultConnections = 4
	maxConnections     = 1000
	defaultTimeout     = 5 * time.Second
	defaultBeat        = time.Minute
)

// Options are what a resolver is made of.
type Options struct {
	Driver string // postgres or mysql, which is MariaDB's too

	// DSN is the data source's name, with the password in it. PostgreSQL: a URL or
	// host=... pairs, as libpq knows them. MySQL: USER:PASSWORD@tcp(HOST:PORT)/DATABASE?tls=true.
	DSN pop3.Secret

	Query          string        // with the parameters that the package describes
	Listen         string        // the channel to listen to, letter for letter; PostgreSQL only; empty: none
	DefaultDomain  string        // for bare names in notifications
	MaxConnections int           // for questions; 0: 4. Listening takes one more
	Timeout        time.Duration // of a question with all it takes, connecting included; 0: 5 s
}

// database is one kind of database, and the connections to it.
type database interface {
	// ask puts the query once. A *brokenError says that a kept connection was of no use.
	ask(ctx context.Context, m directory.Mailbox) (*answer, error)
	// forget closes the connections that are not in use.
	forget()
	close()
}

// Resolver asks a database. It is a directory.Resolver and a directory.Listener.
type Resolver struct {
	database database
	place    place
	timeout  time.Duration
	listener *listener // nil: not told to listen
}

// New returns a resolver. It asks nothing over the network: a database that is down is no fault
// of the options.
func New(o Options) (*Resolver, error) {
	o.MaxConnections = cmp.Or(o.MaxConnections, defaultConnections)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Resolver{timeout: o.Timeout}
	open := r.openPostgres
	if o.Driver == driverMySQL {
		open = r.openMySQL
	}
	if err := open(o); err != nil {
		return nil, err
	}
	return r, nil
}

func (o Options) validate() error {
	switch {
	case o.Driver != driverPostgres && o.Driver != driverMySQL:
		return fmt.Errorf("driver %.40q: want %s or %s", o.Driver, driverPostgres, driverMySQL)
	case len(o.DSN.Reveal()) == 0:
		return errors.New("the dsn is empty")
	case o.MaxConnections < 1 || o.MaxConnections > maxConnections:
		return fmt.Errorf("%d connections: want 1 to %d", o.MaxConnections, maxConnections)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %v: want more than nothing", o.Timeout)
	case o.Listen != "" && o.Driver != driverPostgres:
		return errors.New("only postgres can be listened to")
	case len(o.Listen) > maxChannel || strings.ContainsRune(o.Listen, 0):
		return fmt.Errorf("channel %.80q: want at most %d octets", o.Listen, maxChannel)
	case strings.TrimSpace(o.Query) == "":
		return errors.New("the query is empty")
	case !mayHaveParameters(o.Driver, o.Query):
		return errNoParameter
	}
	return nil
}

var errNoParameter = errors.New("the query has no parameter, and would tell everybody the same: want $1, $2 or $3 (postgres), ? (mysql)")

// mayHaveParameters is for faults that can be seen without the database. Only that
// knows what is a parameter and what a piece of text.
func mayHaveParameters(driver, query string) bool {
	if driver == driverMySQL {
		return strings.Contains(query, "?")
	}
	_, behind, found := strings.Cut(query, "$")
	for ; found; _, behind, found = strings.Cut(behind, "$") {
		if behind != "" && '0' <= behind[0] && behind[0] <= '9' {
			return true
		}
	}
	return false
}

// maxParameters is how many parts of a mailbox's name there are.
const maxParameters = 3

func checkParameters(n int) error {
	switch {
	case n == 0:
		return errNoParameter
	case n > maxParameters:
		return fmt.Errorf("the query has %d parameters: want address, local part and domain at most", n)
	}
	return nil
}

// parameters are the parts of a name in the order of a query's parameters.
func parameters(m directory.Mailbox) [maxParameters]string {
	return [...]string{m.Address, m.Local, m.Domain}
}

// Resolve implements directory.Resolver. A question that hits a connection which the
// server has ended meanwhile is put once more, on a new one.
func (r *Resolver) Resolve(ctx context.Context, m directory.Mailbox) (directory.Value, error) {
	if !utf8.ValidString(m.Address) || strings.ContainsRune(m.Address, 0) {
		return directory.Value{}, directory.ErrUnknown // no column can hold it, so no database has to refuse it
	}
	asking, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	a, err := r.database.ask(asking, m)
	if broken := (*brokenError)(nil); errors.As(err, &broken) && asking.Err() == nil {
		r.database.forget() // a server that was started again has ended all of them
		a, err = r.database.ask(asking, m)
	}
	var v directory.Value
	if err == nil {
		v, err = a.result()
	}
	switch {
	case err == nil, errors.Is(err, directory.ErrUnknown):
		return v, err
	case ctx.Err() != nil:
		return directory.Value{}, fmt.Errorf("asking %v: %w", r.place, ctx.Err())
	case asking.Err() != nil:
		return directory.Value{}, fmt.Errorf("asking %v: no answer within %v", r.place, r.timeout)
	}
	return directory.Value{}, fmt.Errorf("asking %v: %s", r.place, r.place.words(err, m))
}

// Close implements directory.Resolver.
func (r *Resolver) Close() error {
	r.database.close()
	return nil
}

// Format keeps the resolver, which holds the password many times over, out of anything printed.
func (r *Resolver) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.place.String()) }

// Check connects, and puts the query for a name that nobody can have (RFC 2606, section 2). It finds
// what New can't: a wrong password, a table that is not there, a query without a backend.
func (o Options) Check(ctx context.Context) error {
	r, err := New(o)
	if err != nil {
		return err
	}
	defer r.Close()
	nobody := directory.Mailbox{Address: "nobody@postern.invalid", Local: "nobody", Domain: "postern.invalid"}
	if _, err = r.Resolve(ctx, nobody); err != nil && !errors.Is(err, directory.ErrUnknown) {
		return err
	}
	return r.checkListening(ctx)
}
