// Package pop3 is the wire grammar of POP3: lines, commands, replies with their
// response codes, capability lists and dot-stuffed bodies.
//
// The proxy as a server, the backend package as a client, the embedded server
// and the tests all read and write through it, because two parsers on the two
// sides of one relay would one day disagree on where a line ends, and that is
// how smuggling bugs are born. It knows no socket, no clock and no log; what a command means is
// decided by whoever calls.
//
// Implemented: RFC 1939 (POP3), RFC 2449 (CAPA, line lengths, response codes),
// RFC 3206 (AUTH and SYS response codes). Of RFC 5034 (AUTH) only the empty form.
package pop3
