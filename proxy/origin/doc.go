// Package origin is who the client truly is, where a peer that the operator
// trusts says so: the PROXY header in front of a connection ([HeaderReader]) and
// the XCLIENT command before a login ([ParseXCLIENT]).
//
// It reads what such a peer said, within bounds, and refuses what isn't exactly in
// the form. It knows no socket, no clock and no log. Which peers are trusted, how long
// they may take, and what follows from an origin (limits, records, whether a
// password may be sent) is decided by whoever calls.
//
// Implemented: the PROXY protocol, versions 1 and 2, for TCP over IPv4 and IPv6, as
// its specification at haproxy.org has it; XCLIENT as Dovecot speaks it in POP3,
// which is not Postfix's XCLIENT of SMTP.
package origin
