package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"postern/configs"
	"postern/proxy"
)

// sockets are the listening sockets that systemd opened for this process, until
// the listeners of the configuration have taken them.
type sockets []*os.File

// inheritedSockets takes what systemd passed, and the variables that tell of it: a
// child must not believe that they are meant for it. Without systemd there is none.
func inheritedSockets() sockets { return activation.Files(true) }

// assign gives each listener of the configuration its socket, by the socket's name or
// by its address; nil: it has none, and is opened as usual. A socket that nobody wants is
// an error: clients would connect to it and wait for ever.
func (all sockets) assign(listeners []configs.Listener) ([]*os.File, error) {
	if slices.ContainsFunc(all, isConnection) {
		all.close()
		return nil, errConnection
	}
	assigned := make([]*os.File, len(listeners))
	left := slices.Clone(all)
	for _, fits := range [...]func(*os.File, configs.Listener) bool{all.uniquelyNamed, atAddress} {
		for i, l := range listeners {
			at := slices.IndexFunc(left, func(f *os.File) bool { return assigned[i] == nil && fits(f, l) })
			if at >= 0 {
				assigned[i] = left[at]
				left = slices.Delete(left, at, at+1)
			}
		}
	}
	if len(left) == 0 {
		return assigned, nil
	}
	defer all.close()
	var names []string
	for _, f := range left {
		names = append(names, fmt.Sprintf("%q (%s)", f.Name(), addressOf(f)))
	}
	return nil, fmt.Errorf("systemd passed sockets that no listener has the name or the address of: %s", strings.Join(names, ", "))
}

// uniquelyNamed tells whether the socket's FileDescriptorName is the listener's name. The
// sockets of one unit share theirs, which then says nothing.
func (all sockets) uniquelyNamed(f *os.File, l configs.Listener) bool {
	if f.Name() != string(l.Name) {
		return false
	}
	return !slices.ContainsFunc(all, func(other *os.File) bool { return other != f && other.Name() == f.Name() })
}

func atAddress(f *os.File, l configs.Listener) bool {
	host, port, err := net.SplitHostPort(string(l.Address))
	if err != nil {
		return false
	}
	if host == "" {
		host = "::"
	}
	want, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	got, gotErr := netip.ParseAddrPort(addressOf(f))
	return err == nil && gotErr == nil && want == got
}

// addressOf is where a socket listens, or why it doesn't.
func addressOf(f *os.File) string {
	l, err := net.FileListener(f) // a copy
	if err != nil {
		return "no listening socket"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// isConnection tells a client's own socket, as a unit with Accept=yes passes it,
// from one that listens.
func isConnection(f *os.File) bool {
	c, err := net.FileConn(f)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	return c.RemoteAddr() != nil
}

var errConnection = errors.New("systemd passed a client's own socket, as it does with Accept=yes: that is for --inetd")

// openSocket opens a listener's socket, where none was passed for it.
func openSocket(ctx context.Context, passed *os.File, l configs.Listener, keepAlive time.Duration) (net.Listener, error) {
	if passed != nil {
		return proxy.Inherit(passed, keepAlive)
	}
	return proxy.Listen(ctx, proxy.ListenOptions{Address: string(l.Address), FreeBind: l.Freebind, KeepAlive: keepAlive})
}

func (all sockets) close() {
	for _, f := range all {
		_ = f.Close()
	}
}
