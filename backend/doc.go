// Package backend answers three questions about the POP3 servers that own
// mailboxes: is one usable, how is it reached, and how do we log in there?
//
// A [Target] describes a backend and [Dialer] opens a connection to it, by the first
// of its addresses that answers, with TLS, and with word of who the client is
// ([Origin]). [Login] is the dialogue from greeting to verdict as a state machine that
// owns no socket, clock or goroutine. What a backend's refusal means is decided by one
// table, in refusal.go. What the backends offer beyond RFC 1939 is learnt from them
// by [Learner], so that clients are told what is true before anybody knows which
// backend is theirs.
//
// A [Pool] knows whether a backend is usable and who may log in there now: one rule,
// member.usable, out of an operator's word, the breaker, what checks and the catalogue
// say, and the limits. What counts against a backend is one table, in verdict.go.
//
// Which backend owns a mailbox is the directory's business; what the client hears
// is the proxy's.
package backend
