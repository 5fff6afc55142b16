package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"

	"postern/backend"
	"postern/configs"
	"postern/proxy"
)

// gateway is the running parts that a configuration became. Its methods are
// called by one goroutine.
type gateway struct {
	path      string
	config    *configs.Config // in force
	log       *slog.Logger
	level     *slog.LevelVar
	server    *proxy.Server
	listeners []*proxy.Listener // in the order of the configuration
	follower  *follower
	serving   sync.WaitGroup
	broken    chan error // what ended a listener, if it was not us
}

// newGateway builds a gateway and begins to serve. A directory that can't be read
// at the start ends it: there is no older state to serve from.
func newGateway(ctx context.Context, path string, config *configs.Config, logs io.Writer) (*gateway, error) {
	g := &gateway{path: path, config: config, level: new(slog.LevelVar), broken: make(chan error, len(config.Listeners))}
	setLevel(g.level, config.Log.Level)
	g.log = newLogger(logs, config.Log.Format, g.level)
	settings, err := buildSettings(config, g.log)
	if err != nil {
		return nil, usageError{err}
	}
	if err := g.listen(ctx); err != nil {
		return nil, err
	}
	if g.follower, err = loadDirectory(ctx, config, g.log); err != nil {
		g.closeListeners()
		return nil, usageError{err}
	}
	dir := g.follower.dir
	if err := unknownBackends(dir); err != nil {
		g.log.Warn("the users of some mailboxes will hear [SYS/TEMP]", "err", err)
	}
	g.server = proxy.NewServer(proxy.Options{
		Settings: settings, Directory: dir, Logger: g.log,
		Dialer: backend.Dialer{KeepAlive: config.Timeouts.Keepalive},
	})
	for _, l := range g.listeners {
		g.serving.Go(func() { g.accept(l) })
	}
	g.log.Info("serving", "version", version, "listeners", len(g.listeners),
		"backends", len(config.Backends.Static), "entries", entries(dir))
	return g, nil
}

func (g *gateway) listen(ctx context.Context) error {
	rules, err := buildAccesses(g.config)
	if err != nil {
		return usageError{err}
	}
	for i, l := range g.config.Listeners {
		socket, err := proxy.Listen(ctx, proxy.ListenOptions{
			Address: string(l.Address), FreeBind: l.Freebind, KeepAlive: g.config.Timeouts.Keepalive,
		})
		if err != nil {
			g.closeListeners()
			return err
		}
		g.listeners = append(g.listeners, proxy.NewListener(socket, string(l.Name), rules[i]))
		g.log.Info("listening", "listener", string(l.Name), "address", socket.Addr().String())
	}
	return nil
}

func (g *gateway) closeListeners() {
	for _, l := range g.listeners {
		_ = l.Close()
	}
}

func (g *gateway) accept(l *proxy.Listener) {
	if err := g.server.Serve(context.Background(), l); !errors.Is(err, proxy.ErrClosed) {
		g.broken <- fmt.Errorf("listener %s: %w", l.Name, err)
	}
}

// close ends the gateway: new clients find nobody, sessions have until the context
// ends. It tells how many had to be cut.
func (g *gateway) close(ctx context.Context) (cut int) {
	cut = g.server.Shutdown(ctx)
	g.serving.Wait()
	g.follower.stop()
	return cut
}

// reload puts the configuration file in force as it is now. What is wrong is
// refused whole and the old stays; the directory's files are read again in any case.
func (g *gateway) reload(ctx context.Context) error {
	err := g.reconfigure(ctx)
	if err != nil {
		g.log.Error("reload refused, the old configuration stays", "err", err)
	} else {
		g.log.Info("reloaded", "config", g.path)
	}
	if fault := g.follower.dir.Reload(ctx); fault != nil {
		g.log.Error("a directory source can't be read, its last good state stays", "err", fault)
		err = errors.Join(err, fault)
	}
	return err
}

func (g *gateway) reconfigure(ctx context.Context) error {
	next, err := configs.Load(g.path)
	if err != nil {
		return err
	}
	if err := unchangeable(g.config, next); err != nil {
		return err
	}
	settings, err := buildSettings(next, g.log)
	if err != nil {
		return err
	}
	rules, err := buildAccesses(next)
	if err != nil {
		return err
	}
	if err := g.redirect(ctx, next); err != nil {
		return err
	}
	setLevel(g.level, next.Log.Level)
	for i, l := range g.listeners {
		l.SetAccess(rules[i])
	}
	g.server.Reconfigure(settings)
	g.config = next
	return nil
}

// redirect brings the directory in line with a new configuration. One whose
// sources or rules changed is made anew, has to load before it takes over, and may not
// have lost too much of a source that both have; else the old one only learns the
// backends, and its shrink guard keeps what it holds.
func (g *gateway) redirect(ctx context.Context, next *configs.Config) error {
	if reflect.DeepEqual(g.config.Directory, next.Directory) {
		return setBackends(g.follower.dir, next)
	}
	fresh, err := loadDirectory(ctx, next, g.log)
	if err == nil {
		err = heldBack(shrinkGuard(next), g.follower.dir, fresh.dir)
	}
	if err != nil {
		fresh.stop()
		return err
	}
	g.server.Redirect(fresh.dir)
	g.follower.stop()
	g.follower = fresh
	return nil
}
