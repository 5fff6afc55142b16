// Package realtest runs the mail servers and mail clients that users really
// have, so that tests can put the gateway between them: Dovecot, Courier,
// popa3d and solid-pop3d on one side, curl, fetchmail, mpop, getmail, Python's
// poplib and a person at a terminal on the other.
//
// It answers for: private instances on loopback ports, each with its own
// users, ended with the test; messages that are hard to carry; clients told to
// leave each message's bytes alone. It knows nothing of the gateway, and only
// tests import it. The programs come from .ci/deps; the servers need root,
// because each changes to the user whose mailbox it opens.
package realtest
