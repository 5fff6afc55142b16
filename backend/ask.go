package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"postern/pop3"
)

// patience is how long each step of an inquiry may take. Nobody waits for its
// end, so it isn't the operator's to tune.
const patience = 10 * time.Second

// Connector connects to a backend; [Dialer] does. Its errors are an *[Error].
type Connector interface {
	Dial(context.Context, Target) (net.Conn, error)
}

// ask asks a backend what it offers, on the way that logins take. The error is an *Error.
func ask(ctx context.Context, connector Connector, t Target) (pop3.Capabilities, error) {
	dialing, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := connector.Dial(dialing, t)
	if err != nil {
		return pop3.Capabilities{}, err
	}
	defer func() { _ = conn.Close() }()
	interrupt := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(0, 0)) })
	defer interrupt()
	offer, fault := converse(ctx, conn, t)
	if fault != nil { // a nil *Error in an error would be none
		return pop3.Capabilities{}, fault
	}
	return offer, nil
}

// converse moves an inquiry's octets over a connection. What is to be sent is
// sent even if there is a result: it is the QUIT of an inquiry that failed. The
// connection stays the caller's, also below TLS.
func converse(ctx context.Context, conn net.Conn, t Target) (pop3.Capabilities, *Error) {
	q := NewInquiry()
	if t.TLS.Mode() == TLSByCommand {
		q = NewInquiryBehindSTLS()
	}
	var waiting Step
	for {
		if out := q.Output(); len(out) > 0 {
			_ = conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := conn.Write(out); err != nil {
				q.Stop(Closed, err)
			}
		}
		if offer, err, done := q.Result(); done {
			return offer, err
		}
		if q.NeedsTLS() {
			conn = secure(ctx, conn, t, q)
			continue
		}
		if q.Step() != waiting { // the time is the step's, however its octets trickle
			waiting = q.Step()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
		}
		hear(ctx, conn, q)
	}
}

// secure returns the connection to go on with, the plain one if there is no TLS.
func secure(ctx context.Context, conn net.Conn, t Target, q *Inquiry) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	encrypted, err := Handshake(ctx, conn, t)
	q.Secured(err)
	if err != nil {
		return conn
	}
	return encrypted
}

// hear waits for the backend's next octets. That our side gave up is looked at
// once more behind SetReadDeadline, which may have undone the interrupt.
func hear(ctx context.Context, conn net.Conn, q *Inquiry) {
	if ctx.Err() != nil {
		q.Stop(Canceled, ctx.Err())
		return
	}
	var buf [512]byte
	n, err := conn.Read(buf[:])
	q.Input(buf[:n])
	switch {
	case err == nil:
	case ctx.Err() != nil:
		q.Stop(Canceled, ctx.Err())
	case errors.Is(err, os.ErrDeadlineExceeded):
		q.Stop(TimedOut, nil)
	case errors.Is(err, io.EOF):
		q.Stop(Closed, nil)
	default:
		q.Stop(Closed, err)
	}
}
