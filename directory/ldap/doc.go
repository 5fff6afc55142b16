// Package ldap reads the directory from LDAP servers, in two ways: a [Resolver] asks for one
// mailbox at a time, a [Source] holds a copy of all entries and follows their changes.
//
// It answers for: connections that are as private as was configured, or none; a user's
// name that stays a name in the question; servers that fail over; an answer that is one, or an
// error. Keeping answers, and what becomes of a source's state, is the business of package
// directory.
//
// go-ldap speaks the protocol. Its contexts don't reach into a connection that hangs, so
// every question here is bounded from outside: when its time is up, the socket is closed below it.
package ldap
