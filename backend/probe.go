package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"postern/pop3"
)

// ProbeMailbox is one that checks may log in to: of the operator's, on that backend.
type ProbeMailbox struct {
	User     string
	Password pop3.Secret
}

// Checker is the [Prober] over sockets. It connects, takes the greeting and says
// QUIT, on the way that logins take: who only connects and disappears looks like
// an attack in a backend's log. The context bounds it all.
type Checker struct {
	Connector Connector
	Refusals  *Refusals // for a login's
	Capa      bool      // ask for CAPA as well
	// Mailbox is where a check of a backend logs in. Nil, or not ok: nowhere.
	Mailbox func(backend string) (m ProbeMailbox, ok bool)
}

// Probe checks a backend once. Behind STLS it always asks CAPA, because a greeting
// in plain text says nothing about the TLS that logins depend on.
func (c Checker) Probe(ctx context.Context, t Target) (entered bool, err error) {
	if c.Mailbox != nil {
		if m, ok := c.Mailbox(t.Name); ok {
			return true, c.converse(ctx, t, func(conn net.Conn) *Error { return c.login(ctx, conn, t, m) })
		}
	}
	if c.Capa || t.TLS.Mode() == TLSByCommand {
		_, err = ask(ctx, c.Connector, t)
		return false, err
	}
	return false, c.converse(ctx, t, greet)
}

// converse connects, and closes what it connected. When the context ends so does
// every wait on the connection.
func (c Checker) converse(ctx context.Context, t Target, talk func(net.Conn) *Error) error {
	conn, err := c.Connector.Dial(ctx, t)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	interrupt := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer interrupt()
	if fault := talk(conn); fault != nil { // a nil *Error in an error would be none
		return fault
	}
	return nil
}

// greet takes the greeting and says QUIT. What comes of that is no matter.
func greet(conn net.Conn) *Error {
	line, fault := readLine(conn, pop3.NewLineReader(maxBuffered))
	if fault == nil {
		fault = greeted(line)
		quit(conn)
	}
	return fault
}

func greeted(line []byte) *Error {
	reply, err := pop3.ParseReply(line)
	switch {
	case err != nil:
		return &Error{Kind: Protocol, Step: Greeting, Text: quoted(line), Err: err}
	case !reply.OK:
		return &Error{Kind: Temporary, Step: Greeting, Text: quoted(line)}
	}
	return nil
}

// quitTime is how long the answer to QUIT is waited for: it is only politeness.
const quitTime = time.Second

func quit(conn net.Conn) {
	if _, err := conn.Write([]byte(sendQuit)); err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(quitTime))
	lines := pop3.NewLineReader(maxBuffered)
	_, _ = readLine(conn, lines)
}

// readLine waits for a line.
func readLine(conn net.Conn, lines *pop3.LineReader) ([]byte, *Error) {
	var buf [512]byte
	for {
		line, ok, err := lines.Next(maxReplyLine)
		if ok || err != nil {
			return line, protocolFault(err)
		}
		n, err := conn.Read(buf[:])
		if n == 0 && err != nil {
			return nil, &Error{Kind: Closed, Step: Greeting, Err: err}
		}
		lines.Write(buf[:n])
	}
}

func protocolFault(err error) *Error {
	if err == nil {
		return nil
	}
	return &Error{Kind: Protocol, Step: Greeting, Err: err}
}

// login logs in, and out again: nothing is read and nothing deleted.
func (c Checker) login(ctx context.Context, plain net.Conn, t Target, m ProbeMailbox) *Error {
	t.XCLIENT = false // there is no client behind a check
	l := NewLogin(t.Entry(m.User, pop3.Credentials{User: m.User, Secret: m.Password}, pop3.Capabilities{}, Origin{}), c.Refusals)
	conn := plain
	for {
		if out := l.Output(); len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				l.Stop(Closed, err)
			}
		}
		if _, fault, done := l.Result(); done {
			if fault == nil || fault.Kind == Refused {
				quit(conn)
			}
			return fault
		}
		if l.NeedsTLS() {
			encrypted, err := Handshake(ctx, plain, t)
			if l.Secured(err); err == nil {
				conn = encrypted
			}
			continue
		}
		await(conn, l)
	}
}

// await waits for the backend's next octets.
func await(conn net.Conn, l *Login) {
	var buf [512]byte
	n, err := conn.Read(buf[:])
	l.Input(buf[:n])
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		l.Stop(Closed, nil)
	default:
		l.Stop(Closed, err)
	}
}
