// Package pop3test plays the two sides of a gateway in tests: mail clients that
// send and expect, backends that expect and send, and transcripts, text files that
// say what passes between them and can be read as the specification.
//
// It answers for what is seen on the wire and for nothing inside the gateway. It
// takes connections as interfaces, so that the same transcript runs over loopback
// sockets and, inside a testing/synctest bubble, over the pipes of this package.
//
// # Transcripts
//
// Four parties speak. Each line begins with who does:
//
//	C    the client                 C: what it sends to the gateway
//	S    the gateway to the client  S: what the client must get
//	b>   the gateway to a backend   b> what the backend must get
//	b    the backend                b< what it sends to the gateway
//
// A line of text stands for itself and CRLF. Nothing may come instead of it or
// before it. In an expected line " ..." at the end is any text or none: "S: +OK ..."
// is met by "+OK" and by "+OK ready", not by "+OKAY". Lines that begin with # and
// empty lines mean nothing.
//
//	# The mailbox is locked by another session; the client may try again.
//	S: +OK ...
//	C: USER alice@example.com
//	S: +OK ...
//	C: PASS secret
//	b-dial
//	b< +OK ready
//	b> USER alice
//	b< +OK
//	b> PASS secret
//	b< -ERR [IN-USE] somebody else is reading
//	b>-close
//	S: -ERR [IN-USE] ...
//	C: QUIT
//	S: +OK ...
//	S-close
//
// The other lines, by party:
//
//	S~ REGEXP            a line that the expression matches from its first to its last octet
//	b>~ REGEXP
//	C-raw: "GO STRING"   exactly these octets, without CRLF; "x" * 1000 repeats them
//	b-raw: "GO STRING"
//	S-raw: "GO STRING"   exactly these octets must come
//	b>-raw: "GO STRING"
//	C-fin, b-fin         shuts down its sending side; it can still read
//	C-rst, b-rst         resets the connection
//	C-close, b-close     closes the connection
//	S-fin, b>-fin        the gateway ends the stream in order, nothing comes before
//	S-rst, b>-rst        the gateway resets the connection, nothing comes before
//	S-close, b>-close    either of the two
//	S-quiet 3s           nothing comes for that time, neither an octet nor an end
//	b>-quiet 3s          the same; without a connection: the gateway doesn't dial
//	b-dial               the gateway dials the backend
//	C-dial               the client connects once more; its first line does it by itself
//	wait 3s              nothing is done and nothing is looked at
//	timeout 30s          from here on, how long to wait for what must come (else 5 s)
//
// Several clients are C2: and S2:, C3: and S3: and so on; several backend connections
// b2> and b2<, b3>. The connection bN comes to the backend of that number, or
// to another with "b3-dial 1": the third connection, to backend 1.
//
// That something comes at a certain time and not before is two lines: "S-quiet
// 2999ms", and what comes under "timeout 2ms". In a bubble that is exact.
//
// Every connection has an end in the transcript: one of the lines with close or
// rst, or the gateway's fin. Without it nobody would notice what else came. A
// connection to a backend that no b-dial speaks of is a failure too.
//
// What is sent to somebody who went away in the meantime is lost without a
// failure, as with TCP, where the sender can't know.
package pop3test
