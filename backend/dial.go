package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// keepAliveProbes is how many probes in a row may stay without an answer.
const keepAliveProbes = 3

// maxResolved is how many of a host name's addresses are tried.
const maxResolved = 8

// Dialer opens connections to backends. The zero value sends no keepalive probes.
type Dialer struct {
	// KeepAlive is how long a connection may be silent before the kernel probes
	// it, and the pause from one probe to the next. After three that nobody
	// answered it is dead, and on Linux also one whose data nobody acknowledged
	// for three times as long. Whole seconds; 0 means never.
	KeepAlive time.Duration

	// Winners remembers which of a backend's addresses answered. Nil: none does.
	Winners *Winners

	// Connect and Resolve are what the network does, for tests. Nil: the net
	// package's.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
	Resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Dial connects as [Dialer.DialFor] does, on the gateway's own behalf: to ask or to probe.
func (d Dialer) Dial(ctx context.Context, t Target) (net.Conn, error) {
	return d.DialFor(ctx, t, Origin{})
}

// DialFor connects to a backend for a client. The target's addresses are tried in
// order, each with a head start before the next; the first connection that is up
// wins and all others are closed, so that there is one login for one attempt.
// The PROXY header is sent and implicit TLS is up when it returns; for STLS see [Login].
//
// Without TLS the connection is a *net.TCPConn and nothing around it, since
// splice and half-close are lost behind a wrapper. It belongs to the caller. The
// error is an *Error of the step Connect, or Secure for TLS.
func (d Dialer) DialFor(ctx context.Context, t Target, o Origin) (net.Conn, error) {
	plain, err := d.connect(ctx, t)
	if err != nil {
		return nil, &Error{Kind: connectKind(ctx, err), Step: Connect, Err: err}
	}
	if err := announce(ctx, plain, t.ProxyProtocol, o); err != nil {
		_ = plain.Close()
		return nil, err
	}
	if t.TLS.Mode() != TLSImplicit {
		return plain, nil
	}
	conn, err := Handshake(ctx, plain, t)
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	return conn, nil
}

func (d Dialer) connect(ctx context.Context, t Target) (net.Conn, error) {
	connect := d.Connect
	if connect == nil {
		connect = d.netDialer(t.Source).DialContext
	}
	order := d.Winners.order(t)
	conn, won, err := race(ctx, len(order), func(ctx context.Context, i int) (net.Conn, error) {
		return d.reach(ctx, connect, order[i], t.Source)
	})
	if err == nil {
		d.Winners.won(t, order[won])
	}
	return conn, err
}

type connector = func(ctx context.Context, network, address string) (net.Conn, error)

// reach connects to one address, HOST:PORT. Where the host is a name, the addresses
// behind it race as the backend's do.
func (d Dialer) reach(ctx context.Context, connect connector, address string, source netip.Addr) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return connect(ctx, "tcp", address)
	}
	hosts, err := d.resolve(ctx, host, source)
	if err != nil {
		return nil, err
	}
	conn, _, err := race(ctx, len(hosts), func(ctx context.Context, i int) (net.Conn, error) {
		return connect(ctx, "tcp", net.JoinHostPort(hosts[i].String(), port))
	})
	return conn, err
}

// resolve finds a name's addresses, both families in turn, so that one whose
// network is broken costs one head start (RFC 8305, section 4). From a source
// address only its own family can be reached.
func (d Dialer) resolve(ctx context.Context, host string, source netip.Addr) ([]netip.Addr, error) {
	lookup := d.Resolve
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	found, err := lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var families [2][]netip.Addr // in the order in which they came up
	for _, a := range found {
		if a = a.Unmap(); source.IsValid() && a.Is4() != source.Unmap().Is4() {
			continue
		}
		if f := families[0]; len(f) == 0 || f[0].Is4() == a.Is4() {
			families[0] = append(f, a)
		} else {
			families[1] = append(families[1], a)
		}
	}
	hosts := inTurn(families)
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%s has no address that can be reached from here", host)
	}
	return hosts, nil
}

// inTurn takes one of each for as long as there are, and at most maxResolved.
func inTurn(families [2][]netip.Addr) []netip.Addr {
	var hosts []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) && len(hosts) < maxResolved {
				hosts = append(hosts, f[i])
			}
		}
	}
	return hosts
}

// netDialer sets what each connection gets: TCP_NODELAY (the net package's
// default), four system calls for the probes, and what only this system knows.
func (d Dialer) netDialer(source netip.Addr) *net.Dialer {
	dialer := &net.Dialer{
		KeepAlive: -1, // without this, Enable false means the net package's own probes
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   d.KeepAlive > 0,
			Idle:     d.KeepAlive,
			Interval: d.KeepAlive,
			Count:    keepAliveProbes,
		},
	}
	if source.IsValid() {
		dialer.LocalAddr = &net.TCPAddr{IP: source.Unmap().AsSlice(), Zone: source.Zone()}
	}
	if d.KeepAlive > 0 || source.IsValid() {
		dialer.Control = socketOptions(keepAliveProbes*d.KeepAlive, source.IsValid())
	}
	return dialer
}

// announce sends the PROXY header, if the backend wants one.
func announce(ctx context.Context, conn net.Conn, version ProxyProtocol, o Origin) error {
	if version == ProxyNone {
		return nil
	}
	header, err := o.appendHeader(nil, version)
	if err != nil {
		return &Error{Kind: Local, Step: Connect, Err: fmt.Errorf("writing a PROXY header: %w", err)}
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetWriteDeadline(deadline)
		defer func() { _ = conn.SetWriteDeadline(time.Time{}) }()
	}
	_, err = conn.Write(header)
	switch {
	case err == nil:
		return nil
	case isTimeout(err):
		return &Error{Kind: TimedOut, Step: Connect, Err: err}
	}
	return &Error{Kind: Closed, Step: Connect, Err: err}
}

// connectKind sorts a failed connect. One address that didn't answer makes the
// whole a time-out: more time might have helped. It is this machine's own fault
// only if no address had a chance.
func connectKind(ctx context.Context, err error) Kind {
	faults := attempts{err}
	if several, ok := errors.AsType[attempts](err); ok {
		faults = several
	}
	local, timedOut := 0, false
	for _, fault := range faults {
		timedOut = timedOut || isTimeout(fault)
		if isLocal(fault) {
			local++
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return Canceled
	case timedOut:
		return TimedOut
	case local == len(faults):
		return Local
	}
	return Unreachable
}

// isLocal tells whether this machine lacks something: descriptors, memory, ports,
// or the address to connect from. No backend may be blamed for that.
func isLocal(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE:
		return true
	}
	return false
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
