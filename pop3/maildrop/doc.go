// Package maildrop is a small POP3 server that lives inside a program: the guest
// behind the gateway in the demo and in tests.
//
// It answers for being right by RFC 1939, since what the demo shows and the tests prove
// rests on it: an exclusive lock on each mailbox, message numbers that stay for a
// session, unique ids that stay for ever, deletion in the UPDATE state and nowhere
// else, sizes as the client will have them, every octet unchanged. Its capabilities
// are those of RFC 2449 that it lists, its response codes those of RFC 2449 and 3206.
//
// It does not keep mail beyond the process, speaks no TLS, SASL or APOP, delivers
// nothing and is no place for faults on purpose: those are pop3test's.
package maildrop
