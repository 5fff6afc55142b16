// Package tls is what the gateway's own TLS is made of: certificates and which one a
// client sees, versions, suites and key exchanges, ALPN, session tickets, client
// certificates, and the renewal of all that while sessions run.
//
// A [Front] holds it for all listeners and gives each the configuration for
// crypto/tls. It reads files only, and reads them again when they change (run.go).
// A file that went bad never takes the place of a good one: what served goes on
// serving, and one record says so.
//
// # Files with secrets
//
// A file with a private key or with ticket keys is refused if others may read
// or write it. The group may: that is how a service without privileges reads
// root's files, and what systemd's LoadCredential looks like.
//
// # Ticket keys
//
// Without a file the keys are random, of this process, and turn by time
// (tickets.go). Gateways that share a name share a file, so that a client resumes
// on any of them: one key a line, 32 octets as 64 hexadecimal digits or as base64;
// the first seals new tickets, all of them open old ones; empty lines and those
// that begin with # don't count.
//
//	openssl rand -hex 32 >> ticket.keys
//
// The file is only read here, never written: which gateway would be the one to
// turn the keys, and how the others get the file, is for whoever distributes it. To
// turn them without a client having to start anew, put the new key second on
// every gateway, then first, and drop the last. Turn them at least once a day:
// whoever gets hold of a key can read what was recorded under its tickets in
// TLS 1.2.
//
// When a handshake begins, how long it may take, what is plain text before it
// and what a log says of it is the business of package proxy.
package tls
