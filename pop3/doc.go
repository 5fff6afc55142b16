// Package pop3 is the wire grammar of POP3: lines, commands, replies with their
// response codes, capability lists, the messages of SASL and dot-stuffed bodies.
//
// The proxy as a server, the backend package as a client, the embedded server
// and the tests all read and write through it, because two parsers on the two
// sides of one relay would one day disagree on where a line ends, and that is
// how smuggling bugs are born. It knows no socket, no clock and no log; what a command means is
// decided by whoever calls.
//
// Implemented: RFC 1939 (POP3), RFC 2449 (CAPA, line lengths, response codes),
// RFC 3206 (AUTH and SYS response codes), RFC 5034 (AUTH and the SASL capability)
// with the mechanisms PLAIN (RFC 4616), LOGIN, OAUTHBEARER (RFC 7628) and XOAUTH2,
// both sides of each. Of RFC 2595 (STLS) only the keyword and the capability.
package pop3
