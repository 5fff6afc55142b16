// Package sql is the asked source for databases: an operator's own query, put to
// PostgreSQL, MySQL or MariaDB for one mailbox at a time.
//
// The query's parameters are the parts of a mailbox's canonical name. In PostgreSQL $1 is the
// address, $2 what stands before the last @ (all of a bare name), $3 what stands behind it; a query
// may use any of them. In MySQL and MariaDB each ? takes the next of the same three.
//
//	SELECT backend, login FROM mailbox WHERE address = $1
//	SELECT host AS backend FROM users WHERE name = $2 AND domain = $3 AND NOT deleted
//
// Columns are known by their names, in any case, so an alias can give them theirs: backend has to be
// there; login and state (active, suspended, moving) may be; others are passed over. NULL is the
// same as empty. No row means that the mailbox is unknown. More than one row is a fault, unless
// all of them say the same.
//
// Which names are equal is for the database to say, and for many of MySQL's collations é is e.
// Names come here in their canonical form, so a column with a binary collation
// (utf8mb4_bin) is right.
//
// In PostgreSQL a channel may be listened to. A notification's payload is the name of a mailbox that
// changed, in any form, or empty for all of them:
//
//	SELECT pg_notify('postern', 'alice@example.com')
//
// It answers for: connections, parameters that stay parameters, the sense of rows, and
// errors without secrets. How long an answer is kept, and whether an old one may
// stand in for one that can't be had, is the business of package directory.
//
// TLS is set by the data source's name: PostgreSQL's sslmode and sslrootcert, MySQL's tls=true, which
// trusts what the system trusts (Go reads SSL_CERT_FILE for further authorities). What a
// PostgreSQL name leaves out is taken from libpq's environment variables and password file.
//
// Nothing is kept on the server between two questions, neither prepared statements nor
// settings. So a PostgreSQL pooler such as PgBouncer may stand in between in any of its
// modes, whatever default_query_exec_mode the data source's name has; only listening
// needs a session of its own.
package sql
