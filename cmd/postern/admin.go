package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"postern/admin"
	"postern/configs"
	"postern/directory"
	directoryserve "postern/directory/serve"
	"postern/proxy"
	posterntls "postern/proxy/tls"
)

// rememberedMailboxes is how many mailboxes' last logins `explain` knows.
const rememberedMailboxes = 10_000

// desk is the admin side of a gateway: what it counts and remembers, and who may ask.
type desk struct {
	server   *admin.Server
	observer *admin.Observer
	history  *admin.History
	started  time.Time
	serving  sync.WaitGroup
}

// newDesk makes what sessions report to, which has to be there before they are.
func newDesk(config *configs.Config) (*desk, error) {
	history, err := admin.NewHistory(rememberedMailboxes)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range config.Listeners {
		names = append(names, string(l.Name))
	}
	observer := admin.NewObserver(admin.ObserverOptions{Version: version, Listeners: names, Results: proxy.Results()})
	return &desk{observer: observer, history: history, started: time.Now()}, nil
}

// Observe turns what happens to sessions into metrics and into `explain`'s memory.
func (d *desk) Observe(e proxy.Event) {
	switch e.Happening {
	case proxy.Accepted:
		d.observer.Opened(e.Listener)
	case proxy.Refused:
		d.observer.Refused(e.Listener, e.Reason)
	case proxy.Secured:
		d.observer.TLS(e.Listener, e.TLS)
	case proxy.Unsecured:
		d.observer.TLSFailed(e.Listener)
	case proxy.Judged:
		d.observer.Judged(e.Result, admin.Phases{Locate: e.Locate, Connect: e.Connect, Greeting: e.Greeting, Login: e.Login})
		if e.Mailbox != "" {
			d.history.Add(e.Mailbox, admin.LoginAttempt{
				At: time.Now(), Client: e.Client, Result: e.Result, Backend: e.Backend, Step: e.Step,
			})
		}
	case proxy.Ended:
		d.observer.Ended(e.Listener, e.By, e.Reason, e.ToClient, e.ToBackend)
	}
}

// openDesk makes the gateway answer its operators. Where the default socket can't be made,
// as for a user who tries things out or a second gateway, it goes without.
func (g *gateway) openDesk() error {
	access, err := buildAdminAccess(g.config.Admin)
	if err != nil {
		return err
	}
	g.desk.server, err = admin.New(admin.Options{
		Facts: g.facts, Sessions: g.adminSessions, Backends: g.adminBackends, Kick: func(ids []string) int { return g.server.Kick(ids, "kicked") },
		Explain: g.explain, Reload: g.reloadSoon, Canonical: g.canonical,
		Confirm: g.confirm, Forget: g.forget, Drain: g.drains.drain, Resume: g.drains.resume,
		Access: access, Observer: g.desk.observer, PProf: g.config.Admin.PProf, Logger: g.log,
	})
	if err != nil {
		return err
	}
	return errors.Join(g.openSocket(), g.openAdmin(), g.openProbes())
}

func (g *gateway) openSocket() error {
	path := string(g.config.Admin.Socket)
	if path == "" {
		return nil
	}
	l, err := directoryserve.ListenUnix(path)
	_, chosen := g.config.Position("admin.socket")
	switch {
	case err == nil:
		g.answer("socket", func() error { return g.desk.server.ServeSocket(l) })
		return nil
	case !chosen:
		g.log.Warn("no admin socket at the usual place; admin.socket chooses another", "err", err)
		return nil
	}
	return err
}

func (g *gateway) openAdmin() error {
	section := g.config.Admin
	if section.Address == "" {
		return nil
	}
	l, err := listenAdmin(section.Address)
	if err != nil {
		return err
	}
	var config *tls.Config
	if list := section.TLS.Certificates; len(list) > 0 {
		front, err := posterntls.New(posterntls.Options{
			Logger: g.log,
			Listeners: []posterntls.ListenerOptions{{
				Name: "admin", Certificates: certificates(list), Protocols: []string{"http/1.1"},
			}},
		})
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("admin.tls: %w", err)
		}
		config = front.Config("admin")
		g.adminRenewal = start(front.Run)
	} else if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		g.log.Warn("admin.address is not loopback and has no certificate: tokens travel in the clear", "address", l.Addr().String())
	}
	g.answer("admin", func() error { return g.desk.server.ServeTCP(l, config) })
	g.log.Info("listening", "listener", "admin", "address", l.Addr().String())
	return nil
}

func (g *gateway) openProbes() error {
	if g.config.Admin.Probes == "" {
		return nil
	}
	l, err := listenAdmin(g.config.Admin.Probes)
	if err != nil {
		return err
	}
	g.answer("probes", func() error { return g.desk.server.ServeProbes(l) })
	g.log.Info("listening", "listener", "probes", "address", l.Addr().String())
	return nil
}

func listenAdmin(address configs.ListenAddress) (net.Listener, error) {
	l, err := net.Listen("tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return l, nil
}

// answer serves one of the desk's doors. That it broke is no reason to end sessions.
func (g *gateway) answer(door string, serve func() error) {
	g.desk.serving.Go(func() {
		if err := serve(); err != nil {
			g.log.Error("an admin listener broke", "listener", door, "err", err)
		}
	})
}

// close shuts the desk, and lets what is asked be answered for a moment.
func (d *desk) close() {
	if d.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	d.server.Close(ctx)
	d.serving.Wait()
}

func buildAdminAccess(section configs.Admin) (*admin.Access, error) {
	access := &admin.Access{Hosts: texts(section.Hosts)}
	if host, _, err := net.SplitHostPort(string(section.Address)); err == nil && host != "" {
		access.Hosts = append(access.Hosts, host)
	}
	for _, t := range section.Tokens {
		role, err := admin.ParseRole(string(t.Role))
		if err != nil {
			return nil, err
		}
		token, err := admin.NewToken(string(t.Name), role, t.Token.Reveal())
		if err != nil {
			return nil, err
		}
		access.Tokens = append(access.Tokens, token)
	}
	return access, nil
}

// reloadSoon has the goroutine that serves signals reload, and waits for what came of it.
func (g *gateway) reloadSoon(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case g.reloads <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gateway) canonical(typed string) (string, error) {
	return directory.Canonical(typed, string(g.inForce.Load().config.Directory.DefaultDomain))
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "postern"
	}
	return name
}
