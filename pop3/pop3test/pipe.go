package pop3test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

const (
	pipeBacklog = 128   // connections that nobody has accepted yet
	firstPort   = 40000 // of the dialling side
)

// PipeListener is a net.Listener in memory. Its connections behave as TCP's do
// where a gateway can tell: each direction is buffered and ends by itself
// (CloseWrite), SetLinger(0) and Close reset, deadlines work, addresses look real.
// Inside a testing/synctest bubble all waiting is durable, so time passes by itself.
type PipeListener struct {
	addr    net.Addr
	arrived chan net.Conn
	closed  chan struct{}

	mu   sync.Mutex
	port uint16
	done bool
}

// ListenPipe opens a listener that calls itself by address, an IP:PORT that exists
// in its name only.
func ListenPipe(address string) (*PipeListener, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("listening on a pipe: %w", err)
	}
	return &PipeListener{
		addr:    net.TCPAddrFromAddrPort(addr),
		arrived: make(chan net.Conn, pipeBacklog),
		closed:  make(chan struct{}),
		port:    firstPort,
	}, nil
}

// Addr returns the address given to ListenPipe, as a *net.TCPAddr.
func (l *PipeListener) Addr() net.Addr { return l.addr }

// Accept waits for the next connection.
func (l *PipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arrived:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
	}
}

// Close ends Accept and resets the connections that nobody accepted.
func (l *PipeListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return net.ErrClosed
	}
	l.done = true
	close(l.closed)
	for {
		select {
		case c := <-l.arrived:
			_ = c.(*pipeConn).SetLinger(0)
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Dial connects from 127.0.0.1.
func (l *PipeListener) Dial() (net.Conn, error) {
	return l.DialFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// DialFrom connects from an address, with a port that no other connection has. A closed
// listener and a full backlog refuse.
func (l *PipeListener) DialFrom(source netip.Addr) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.port++
	there, here := newPipe(net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, l.port)), l.addr)
	if !l.done {
		select {
		case l.arrived <- here:
			return there, nil
		default:
		}
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: l.addr, Err: syscall.ECONNREFUSED}
}

// DialPipes returns a dialling function, of net.Dialer.DialContext's form, that
// knows the addresses of these listeners and no others.
func DialPipes(listeners ...*PipeListener) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, l := range listeners {
			if l.addr.String() == address {
				return l.Dial()
			}
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("no pipe listens on %s", address)}
	}
}
