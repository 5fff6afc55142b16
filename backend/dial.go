package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// keepAliveProbes is how many probes in a row may stay without an answer.
const keepAliveProbes = 3

// Dialer opens connections to backends. The zero value sends no keepalive probes.
type Dialer struct {
	// KeepAlive is how long a connection may be silent before the kernel probes
	// it, and the pause from one probe to the next. After three that nobody
	// answered it is dead. Whole seconds; 0 means never.
	KeepAlive time.Duration
}

// Dial connects to the first of a target's addresses that answers, in their
// order. Within the context's deadline each has its fair share of what is left,
// so that one which swallows packets can't eat the time of the others.
//
// Without TLS the connection is a *net.TCPConn and nothing around it, since
// splice and half-close are lost behind a wrapper. It belongs to the caller. The
// error is an *Error of the step Connect.
func (d Dialer) Dial(ctx context.Context, t Target) (net.Conn, error) {
	dialer := d.netDialer()
	err := errors.New("no address")
	timedOut := false
	for i, address := range t.Addresses {
		conn, fault := dialShare(ctx, dialer, address, len(t.Addresses)-i)
		if fault == nil {
			return conn, nil
		}
		if i == 0 {
			err = fault
		} else {
			err = fmt.Errorf("%w; %w", err, fault)
		}
		timedOut = timedOut || isTimeout(fault)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &Error{Kind: connectKind(ctx, timedOut), Step: Connect, Err: err}
}

// netDialer sets what each connection gets: TCP_NODELAY (the net package's
// default) and four system calls for the probes, once. An own Control function
// would need the same four.
func (d Dialer) netDialer() *net.Dialer {
	return &net.Dialer{
		KeepAlive: -1, // without this, Enable false means the net package's own probes
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   d.KeepAlive > 0,
			Idle:     d.KeepAlive,
			Interval: d.KeepAlive,
			Count:    keepAliveProbes,
		},
	}
}

// dialShare gives an address its part of the time that is left for it and those
// behind it.
func dialShare(ctx context.Context, d *net.Dialer, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	return d.DialContext(ctx, "tcp", address)
}

// connectKind sorts a failed Dial. One address that didn't answer makes the whole
// a time-out: more time might have helped.
func connectKind(ctx context.Context, timedOut bool) Kind {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Canceled
	case timedOut:
		return TimedOut
	}
	return Unreachable
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
