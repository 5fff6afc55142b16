// Package backend answers two questions about the POP3 servers that own
// mailboxes: how is one reached, and how do we log in there?
//
// A [Target] describes a backend, [Dialer] opens a connection to it, and [Login]
// is the dialogue from greeting to verdict as a state machine that owns no
// socket, clock or goroutine. What a backend's refusal means is decided by one
// table, in refusal.go. What the backends offer beyond RFC 1939 is learnt from them
// by [Learner], so that clients are told what is true before anybody knows which
// backend is theirs.
//
// Which backend owns a mailbox is the directory's business; what the client hears
// is the proxy's.
package backend
