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

// bounded is a listener for those who may ask, with so many connections at once. Others are closed before they take
// a place: who may not ask must not keep those out who may. When there is no place, one waits here
// and the rest in the kernel's queue.
type bounded struct {
	net.Listener
	allow   []netip.Prefix
	refused func(from net.Addr)
	free    chan struct{}
	closed  chan struct{}
	once    sync.Once
}

func newBounded(l net.Listener, places int, allow []netip.Prefix, refused func(from net.Addr)) *bounded {
	return &bounded{
		Listener: l, allow: allow, refused: refused, free: make(chan struct{}, places), closed: make(chan struct{}),
	}
}

// Accept waits for somebody who may ask, then for a place.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !allowed(c.RemoteAddr(), b.allow) {
			b.refused(c.RemoteAddr())
			_ = c.Close()
			continue
		}
		select {
		case b.free <- struct{}{}:
			return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.free })}, nil
		case <-b.closed:
			_ = c.Close()
			return nil, net.ErrClosed
		}
	}
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
