// Package directory answers one question: who owns this mailbox?
//
// What a client typed is made canonical (name.go), looked up in the sources in
// their configured order, and answered with a [Route]: the backend, the user name
// for the login there and the mailbox's state. Mailboxes and backends are read from one
// immutable snapshot, so that a mailbox never points at a backend that was just
// removed, and a lookup never waits for a load.
//
// go-memdb holds two tables: groups, one row for each piece that a source replaces as a
// whole, with the mailboxes packed into an immutable [Table]; and backends. A commit
// builds the next snapshot from both and publishes it by one atomic pointer.
//
// A source that is asked, a [Resolver], stands behind package cache, so that most sessions wait for nobody; a
// [Judge] comes last and is asked for each login. Beside them stand the policy for mailboxes
// that no source knows (policy.go) and shadows, which are compared and never used (shadow.go). What serves
// is kept on disk by package state for a start without any source (save.go).
//
// How a source gets its data is the business of the packages below this one;
// source.go has their contract and directorytest proves it. Whether a backend is
// up, and how to log in there, belongs to package backend; what a client hears, to the proxy.
package directory
