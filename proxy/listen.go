package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"postern/proxy/limits"
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
	DefaultDomain string         // the listener's own, else the directory's
	Proxies       []netip.Prefix // peers that have to send a PROXY header, which is believed
	XCLIENT       []netip.Prefix // peers whose XCLIENT is believed
	TLS           *tls.Config    // nil: none
	Implicit      bool           // TLS from the first octet, else by STLS
}

func (a *Access) permits(addr netip.Addr) bool {
	if limits.Contains(a.Deny, addr) {
		return false
	}
	return len(a.Allow) == 0 || limits.Contains(a.Allow, addr)
}

// peer is what the listener wants of who connects.
func (a *Access) peer(address netip.AddrPort) peer {
	return peer{
		address: address, hails: limits.Contains(a.Proxies, address.Addr()),
		xclient: limits.Contains(a.XCLIENT, address.Addr()), believed: a.XCLIENT, defaultDomain: a.DefaultDomain,
		implicit: a.Implicit, stls: a.TLS != nil && !a.Implicit,
	}
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
