package serve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// serveConns accepts connections until ctx is done, and waits for serve to be done with all of
// them. It owns the listener; serve owns the connection.
func serveConns(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	defer l.Close()
	for {
		c, err := l.Accept()
		if err == nil {
			conns.Go(func() { serve(ctx, c) })
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		select { // no descriptors are left, perhaps: that passes
		case <-time.After(acceptInterval):
		case <-ctx.Done():
		}
	}
}

// allowed tells whether who is at the other end may ask. At a Unix socket its mode has told.
func allowed(from net.Addr, networks []netip.Prefix) bool {
	if from == nil || from.Network() == "unix" {
		return true
	}
	at, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return false
	}
	addr := at.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// bounded is a listener with so many connections at once. Who comes when there is no place
// waits in the kernel's queue.
type bounded struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newBounded(l net.Listener, places int) *bounded {
	return &bounded{Listener: l, free: make(chan struct{}, places), closed: make(chan struct{})}
}

// Accept waits for a place, then for somebody to take it.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.free <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.free })}, nil
}

// Close ends an Accept that waits.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close may be called more than once.
func (p *placed) Close() error {
	p.leave()
	return p.Conn.Close()
}
