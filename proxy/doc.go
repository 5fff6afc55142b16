// Package proxy is the session: from accepting a client to the last octet of its
// mail.
//
//	accept -> limits -> authorize -> locate -> dial -> login -> relay -> record
//
// The dialogue with the client is a state machine without I/O (dialogue.go). What
// may be said before login is one table (authorization.go), what a client hears
// when a login fails is another (failure.go). A session (session.go) drives the
// machine with real connections; a [Server] holds the sessions and their limits.
//
// Which backend owns a mailbox is the directory's answer, how to get into one is
// package backend's. Moving octets after the login is package relay's.
package proxy
