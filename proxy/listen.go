package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Listener is one address that clients connect to.
type Listener struct {
	net.Listener
	Name   string // in logs and metrics
	access atomic.Pointer[Access]
}

// Access is what a listener's configuration may change while it is open.
type Access struct {
	Allow, Deny   []netip.Prefix // who may connect; Deny wins; no Allow is everybody
	DefaultDomain string         // over the directory's
}

func (a *Access) permits(addr netip.Addr) bool {
	if contains(a.Deny, addr) {
		return false
	}
	return len(a.Allow) == 0 || contains(a.Allow, addr)
}

// NewListener gives an open listener its name and rules.
func NewListener(l net.Listener, name string, access *Access) *Listener {
	listener := &Listener{Listener: l, Name: name}
	listener.SetAccess(access)
	return listener
}

// SetAccess changes the rules for clients that connect from now on.
func (l *Listener) SetAccess(access *Access) { l.access.Store(access) }

// ListenOptions are what a listening socket is made with.
type ListenOptions struct {
	Address   string // HOST:PORT; "[::]:110" takes IPv4 as well
	FreeBind  bool   // the address may not be here yet (keepalived, anycast)
	KeepAlive time.Duration
}

// Listen opens a TCP listener.
func Listen(ctx context.Context, o ListenOptions) (net.Listener, error) {
	l, err := listenConfig(o).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", o.Address, err)
	}
	return l, nil
}
