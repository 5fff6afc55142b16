package proxy

import (
	"fmt"
	"net"
	"os"
	"time"
)

// Inherit makes a listener of a listening TCP socket that somebody else opened: systemd.
// The file is closed, the socket is the listener's from then on.
func Inherit(f *os.File, keepAlive time.Duration) (net.Listener, error) {
	defer func() { _ = f.Close() }() // the listener has a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %s: %w", f.Name(), err)
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		_ = l.Close()
		return nil, fmt.Errorf("descriptor %s: a socket of type %s, not tcp", f.Name(), l.Addr().Network())
	}
	return &inheritedListener{TCPListener: tcp, keepAlive: KeepAlive(keepAlive)}, nil
}

// keepAliveProbes is how many unanswered probes mean that the peer is gone.
const keepAliveProbes = 3

// KeepAlive is what [Listen] sets on its sockets, for those that it did not open.
func KeepAlive(every time.Duration) net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: every > 0, Idle: every, Interval: every, Count: keepAliveProbes}
}

// inheritedListener sets keepalive on each client's socket. What the listening one
// has would be inherited, but package net writes its own values over that, and lets only
// a listener of its own making say otherwise.
type inheritedListener struct {
	*net.TCPListener
	keepAlive net.KeepAliveConfig
}

// Accept returns the plain *net.TCPConn, or the relay could not splice.
func (l *inheritedListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	_ = conn.SetKeepAliveConfig(l.keepAlive) // fails on a client that is gone already
	return conn, nil
}
