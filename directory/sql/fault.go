package sql

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/directory"
	"postern/pop3"
)

// maxWords bounds what is repeated of a driver's or a server's words.
const maxWords = 400

// minQuoted is from which length on a name in a server's words is taken for what was asked.
const minQuoted = 3

// brokenError says that a connection ended under a question.
type brokenError struct{ error }

// Unwrap gives what ended it.
func (e *brokenError) Unwrap() error { return e.error }

// place is where a database is, for people.
type place struct {
	where    string      // its driver and its hosts, without anything of the credentials
	password pop3.Secret // that no text may hold
}

func (p place) String() string { return p.where }

// words says why something failed, on one line and within bounds. A server's own words are
// withheld where they quote the mailbox's name: people type passwords as names, and what
// becomes of the names that a directory does not know is for the log to say.
func (p place) words(err error, m directory.Mailbox) string {
	text := err.Error()
	if code, message := serverError(err); code != "" {
		text = fmt.Sprintf("%s (%s)", message, code)
		if quotes(code, message, m) {
			text = fmt.Sprintf("the server refuses the query in words that quote the name (%s)", code)
		}
	}
	if password := string(p.password.Reveal()); password != "" {
		text = strings.ReplaceAll(text, password, "[redacted]")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	return text
}

// quotes tells whether a server's message repeats a parameter. Those of class 22, data exceptions, do.
func quotes(code, message string, m directory.Mailbox) bool {
	if strings.HasPrefix(code, "SQLSTATE 22") {
		return true
	}
	return len(m.Local) >= minQuoted && strings.Contains(strings.ToLower(message), m.Local)
}

// serverError takes apart what a server said; code is empty where it said nothing.
func serverError(err error) (code, message string) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "SQLSTATE " + e.Code, e.Message
	}
	if e, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return fmt.Sprintf("SQLSTATE %s, error %d", e.SQLState[:], e.Number), e.Message
	}
	return "", ""
}

// dsnError says what is wrong with a data source's name. Both drivers put pieces of it into their
// errors, and where it can't be read nobody knows which of them is the password. So of their words only
// those are repeated that are known to hold none.
func dsnError(err error, want string) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("the dsn names a file that can't be read: %w", e.Err)
	}
	why := ""
	if text := err.Error(); strings.HasPrefix(text, "invalid DSN: ") { // the MySQL driver's constants
		why = strings.TrimPrefix(text, "invalid DSN: ") + "; "
	}
	return fmt.Errorf("the dsn can't be read: %swant %s", why, want)
}
