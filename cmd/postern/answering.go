package main

import (
	"cmp"
	"context"
	"errors"
	"net"

	"postern/backend"
	"postern/configs"
	"postern/directory"
	directoryserve "postern/directory/serve"
)

// answerer is something that answers other servers at one listener.
type answerer interface {
	Serve(ctx context.Context, l net.Listener) error
}

// openAnswers makes the gateway answer the rest of the mail system, which asks the same directory.
func (g *gateway) openAnswers(ctx context.Context) error {
	var faults []error
	for _, s := range g.config.Directory.Socketmap {
		faults = append(faults, g.openSocketmap(ctx, s))
	}
	for _, a := range g.config.Directory.AuthHTTP {
		faults = append(faults, g.openAuthHTTP(ctx, a))
	}
	return errors.Join(faults...)
}

func (g *gateway) openSocketmap(ctx context.Context, s configs.Socketmap) error {
	transport, err := directoryserve.NewTransport(string(s.Transport), g.ports)
	if err != nil {
		return usageError{err}
	}
	server, err := directoryserve.NewSocketmap(directoryserve.SocketmapOptions{
		Locate: g.locate, Transport: transport, Allow: s.Allow, Logger: g.log,
	})
	if err != nil {
		return err
	}
	var l net.Listener
	if s.Socket != "" {
		l, err = directoryserve.ListenUnix(string(s.Socket))
	} else {
		l, err = listenTCP(ctx, s.Address)
	}
	return cmp.Or(err, g.answerAt("socketmap", server, l))
}

func (g *gateway) openAuthHTTP(ctx context.Context, a configs.AuthHTTP) error {
	server, err := directoryserve.NewAuthHTTP(directoryserve.AuthHTTPOptions{
		Locate: g.locate, Ports: g.ports, Allow: a.Allow, Key: secret(a.Key), Logger: g.log,
	})
	if err != nil {
		return err
	}
	l, err := listenTCP(ctx, a.Address)
	return cmp.Or(err, g.answerAt("auth_http", server, l))
}

func listenTCP(ctx context.Context, address configs.ListenAddress) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", string(address))
}

// answerAt has what serves run until the gateway ends.
func (g *gateway) answerAt(kind string, server answerer, l net.Listener) error {
	if l == nil {
		return nil
	}
	g.log.Info("answering", "protocol", kind, "address", l.Addr().String())
	g.answers = append(g.answers, start(func(ctx context.Context) {
		if err := server.Serve(ctx, l); err != nil {
			g.log.Error("answering ended", "protocol", kind, "err", err)
		}
	}))
	return nil
}

// locate asks the directory that is in force.
func (g *gateway) locate(ctx context.Context, q directory.Query) (directory.Route, error) {
	return g.inForce.Load().dir.Locate(ctx, q)
}

// ports are those that the configuration gives a backend.
func (g *gateway) ports(t *backend.Target, protocol string) (port uint16, served bool) {
	return portsOf(g.inForce.Load().config.Backends, t, protocol)
}

func portsOf(section configs.Backends, t *backend.Target, protocol string) (port uint16, served bool) {
	ports := section.Defaults.Ports
	for _, b := range section.Static {
		if string(b.Name) == t.Name {
			ports = b.Ports
		}
	}
	switch protocol {
	case "imap":
		return uint16(ports.IMAP), true
	case "smtp":
		return uint16(ports.SMTP), true
	case "lmtp":
		return uint16(ports.LMTP), true
	}
	return 0, false
}
