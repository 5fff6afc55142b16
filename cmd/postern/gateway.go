package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"postern/configs"
	"postern/proxy"
	posterntls "postern/proxy/tls"
)

// gateway is the running parts that a configuration became. Its methods are
// called by one goroutine.
type gateway struct {
	path         string
	config       *configs.Config // in force
	log          *slog.Logger
	level        *slog.LevelVar
	server       *proxy.Server
	listeners    []*proxy.Listener // in the order of the configuration
	front        *posterntls.Front // nil: no listener has TLS
	renewal      *background       // of its certificates
	roster       *roster
	listing      *background // of Consul's backends; nil: none come from there
	learning     *background // what backends offer
	pooling      *background // how they are
	drains       *drains
	follower     *follower
	moves        *background
	redirected   chan struct{} // the directory is another one
	answers      []*background // to other servers, about the directory
	desk         *desk
	adminRenewal *background // of its certificates
	inForce      atomic.Pointer[inForce]
	telling      sync.Mutex // the directory of the backends
	draining     atomic.Bool
	notify       *notifier       // nil: nobody wants to know
	reloads      chan chan error // asked for by operators; whoever serves signals answers
	serving      sync.WaitGroup
}

// newGateway builds a gateway and begins to serve. A file of the directory that can't be read
// ends it, if there is no older state to serve from.
func newGateway(ctx context.Context, path string, config *configs.Config, logs io.Writer) (*gateway, error) {
	g := &gateway{
		path: path, config: config, level: new(slog.LevelVar), reloads: make(chan chan error), redirected: make(chan struct{}, 1),
	}
	setLevel(g.level, config.Log.Level)
	g.log = newLogger(logs, config.Log.Format, g.level)
	settings, err := g.build(config)
	if err != nil {
		return nil, usageError{err}
	}
	if g.front, err = buildFront(config, nil, g.log); err != nil {
		return nil, usageError{err}
	}
	if g.desk, err = newDesk(config); err != nil {
		return nil, err
	}
	listing, err := newListing(config, g.roster.made, stateFolder(config, g.log), g.log)
	if err != nil {
		return nil, usageError{err}
	}
	if err := g.listen(ctx); err != nil {
		return nil, err
	}
	g.follow(ctx, listing)
	if g.follower, err = serveDirectory(ctx, config, g.roster.backends(), g.log); err != nil {
		g.closeListeners()
		return nil, usageError{err}
	}
	g.server = proxy.NewServer(proxy.Options{
		Settings: settings, Directory: g.follower.dir, Logger: g.log, Observer: g.desk,
		Dialer: g.roster.dialer, Pool: g.roster.pool, Unwanted: g.unwanted,
	})
	g.publish()
	g.tellDirectory() // of a list that came while the directory was loading
	if g.drains, err = newDrains(g.roster.pool, stateFolder(config, g.log), g.endDrained); err != nil {
		g.log.Error("backends that were drained are not any more", "err", err)
	}
	if err := cmp.Or(g.openDesk(), g.openAnswers(ctx)); err != nil {
		g.closeListeners()
		g.end()
		return nil, err
	}
	g.begin()
	return g, nil
}

// begin starts all that runs beside the sessions, and serves.
func (g *gateway) begin() {
	dir := g.follower.dir
	if err := unknownBackends(dir); err != nil {
		g.log.Warn("the users of some mailboxes will hear [SYS/TEMP]", "err", err)
	}
	g.learning, g.pooling = start(g.roster.learner.Run), start(g.roster.pool.Run)
	g.renew()
	g.moves = start(g.watchMoves)
	for _, l := range g.listeners {
		g.serving.Go(func() { g.server.Serve(context.Background(), l) })
	}
	g.log.Info("serving", "version", version, "listeners", len(g.listeners),
		"backends", len(g.config.Backends.Static), "entries", entries(dir))
}

// build makes what backends are reached by, and the settings of sessions.
func (g *gateway) build(config *configs.Config) (*proxy.Settings, error) {
	var err error
	if g.roster, err = newRoster(config, g.log); err != nil {
		return nil, err
	}
	return buildSettings(config, g.roster.learner, g.log)
}

// renew follows the files of the certificates that are in force.
func (g *gateway) renew() {
	g.renewal.stop()
	g.renewal = nil
	if g.front != nil {
		g.renewal = start(g.front.Run)
	}
}

func (g *gateway) listen(ctx context.Context) error {
	rules, err := buildAccesses(g.config, g.front)
	if err != nil {
		return usageError{err}
	}
	passed, err := inheritedSockets().assign(g.config.Listeners)
	if err != nil {
		return usageError{err}
	}
	for i, l := range g.config.Listeners {
		socket, err := openSocket(ctx, passed[i], l, g.config.Timeouts.Keepalive)
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

// close ends the gateway: new clients find nobody, sessions have until the context
// ends. It tells how many had to be cut.
func (g *gateway) close(ctx context.Context) (cut int) {
	cut = g.server.Shutdown(ctx)
	g.serving.Wait()
	g.end()
	return cut
}

// endDrained ends the sessions that are left on a drained backend.
func (g *gateway) endDrained(name string) {
	var left []string
	for _, s := range g.server.List() {
		if s.Backend == name {
			left = append(left, s.ID)
		}
	}
	g.log.Info("sessions of a drained backend ended", "backend", name, "sessions", g.server.Kick(left, "drained"))
}

// end stops what ran beside the sessions.
func (g *gateway) end() {
	for _, a := range g.answers {
		a.stop()
	}
	g.desk.close()
	g.drains.close()
	g.moves.stop()
	g.follower.stop()
	g.learning.stop()
	g.pooling.stop()
	g.listing.stop()
	g.renewal.stop()
	g.adminRenewal.stop()
}

// patienceWithLook is how long a reload waits for sources to look once more. What they find later serves then.
const patienceWithLook = time.Minute

// reload puts the configuration file in force as it is now. What is wrong is
// refused whole and the old stays; certificates and the directory's files are read
// again in any case.
func (g *gateway) reload(ctx context.Context) error {
	g.notify.reloading()
	defer g.notify.ready()
	err := g.reconfigure(ctx)
	if err != nil {
		g.log.Error("reload refused, the old configuration stays", "err", err)
	} else {
		g.log.Info("reloaded", "config", g.path)
	}
	if g.front != nil {
		err = errors.Join(err, g.front.Reload()) // logged
	}
	looking, cancel := context.WithTimeout(ctx, patienceWithLook)
	defer cancel()
	if fault := g.follower.dir.Reload(looking); fault != nil {
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
	settings, err := buildSettings(next, g.roster.learner, g.log)
	if err != nil {
		return err
	}
	made, err := buildBackends(next)
	if err != nil {
		return err
	}
	listing, err := newListing(next, made, stateFolder(next, g.log), g.log)
	if err != nil {
		return err
	}
	tokens, err := buildAdminAccess(next.Admin)
	if err != nil {
		return err
	}
	front, err := g.nextFront(next)
	if err != nil {
		return err
	}
	rules, err := buildAccesses(next, front)
	if err != nil {
		return err
	}
	if err := g.desk.server.SetAccess(tokens); err != nil {
		return err
	}
	if err := g.redirect(ctx, next, g.roster.with(made)); err != nil {
		return err
	}
	g.roster.take(next, made)
	setLevel(g.level, next.Log.Level)
	for i, l := range g.listeners {
		l.SetAccess(rules[i])
	}
	g.server.Reconfigure(settings)
	relisted := listing != nil || !reflect.DeepEqual(g.config.Backends, next.Backends) // also for renewed authorities
	g.config = next
	if relisted {
		g.follow(ctx, listing)
	}
	if front != g.front {
		g.front = front
		g.renew()
	}
	g.publish()
	g.tellDirectory()
	return nil
}

// nextFront is the TLS side of a new configuration: the old one where nothing of it
// changed, so that its certificates are renewed one by one.
func (g *gateway) nextFront(next *configs.Config) (*posterntls.Front, error) {
	if reflect.DeepEqual(g.config.TLS, next.TLS) && reflect.DeepEqual(g.config.Listeners, next.Listeners) {
		return g.front, nil
	}
	return buildFront(next, g.front, g.log)
}

// redirect brings the directory in line with a new configuration. One whose
// sources or rules changed is made anew, has to load before it takes over, and may not
// have lost too much of a source that both have; else the old one only learns the
// backends, and its shrink guard keeps what it holds.
func (g *gateway) redirect(ctx context.Context, next *configs.Config, made *backends) error {
	if reflect.DeepEqual(g.config.Directory, next.Directory) {
		return made.giveTo(g.follower.dir)
	}
	g.follower.dir.Save(ctx) // the fresh one begins with what this one saved
	fresh, err := followDirectory(ctx, next, made, stateFolder(next, g.log), g.log)
	if fresh == nil {
		return err
	}
	if err := cmp.Or(err, heldBack(g.config, g.follower.dir, fresh.dir)); err != nil {
		fresh.stop()
		return err
	}
	g.server.Redirect(fresh.dir)
	old := g.follower
	g.follower = fresh
	g.publish()
	old.stop() // nobody asks it any more
	select {
	case g.redirected <- struct{}{}:
	default: // it will look anyway
	}
	return nil
}
