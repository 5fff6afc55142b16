package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"postern/backend"
	"postern/configs"
	"postern/directory"
	"postern/proxy"
)

// inetd serves the one client whose socket is descriptors 0 and 1, with the settings of a
// listener, by its name or the first. The log goes to syslog, also what is wrong with
// the configuration: standard error may be the client.
func inetd(ctx context.Context, path, listener string) error {
	conn, err := takeStandardSocket()
	if err != nil {
		return usageError{err}
	}
	defer func() { _ = conn.Close() }()
	sink, level := dialSyslog("", ""), new(slog.LevelVar)
	log := sink.logger(configs.FormatText, level)
	config, err := configs.Load(path)
	if err == nil {
		setLevel(level, config.Log.Level)
		log = sink.logger(config.Log.Format, level)
		err = serveOne(ctx, conn, config, listener, log)
	}
	if err != nil {
		log.Error("the session can't be served", "err", err)
		return usageError{err}
	}
	return nil
}

// serveOne returns when the session has ended.
func serveOne(ctx context.Context, conn *net.TCPConn, config *configs.Config, name string, log *slog.Logger) error {
	at := 0
	if name != "" {
		at = slices.IndexFunc(config.Listeners, func(l configs.Listener) bool { return string(l.Name) == name })
	}
	if at < 0 {
		return fmt.Errorf("--listener: no listener is called %q", name)
	}
	front, err := buildFront(config, nil, log)
	if err != nil {
		return err
	}
	rules, err := buildAccesses(config, front)
	if err != nil {
		return err
	}
	server, err := soloServer(config, log)
	if err != nil {
		return err
	}
	_ = conn.SetKeepAliveConfig(proxy.KeepAlive(config.Timeouts.Keepalive)) // fails on a client that is gone already
	ends, release := patience(ctx, config.Timeouts.Drain)
	defer release()
	server.Serve(ctx, proxy.NewListener(&solo{conn: conn}, string(config.Listeners[at].Name), rules[at]))
	server.Shutdown(ends)
	return nil
}

// soloServer is the server of one session. It asks no backend what it offers: that
// would be a connection to each of them for each client.
func soloServer(config *configs.Config, log *slog.Logger) (*proxy.Server, error) {
	made, err := buildBackends(config)
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler) // how many sessions the descriptors allow doesn't matter
	dialer := backend.Dialer{KeepAlive: config.Timeouts.Keepalive}
	learner := backend.NewLearner(dialer, quiet)
	learner.Sync(made.targets)
	settings, err := buildSettings(config, learner, quiet)
	if err != nil {
		return nil, err
	}
	return proxy.NewServer(proxy.Options{Settings: settings, Directory: scan{config}, Logger: log, Dialer: dialer}), nil
}

// patience ends some time after a signal to end. A second one ends the process.
func patience(ctx context.Context, drain time.Duration) (context.Context, context.CancelFunc) {
	signalled, release := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	ends, cancel := context.WithCancel(ctx)
	context.AfterFunc(signalled, func() {
		release()
		time.AfterFunc(drain, cancel)
	})
	return ends, func() { release(); cancel() }
}

// solo is a listener with one client.
type solo struct {
	conn  net.Conn
	taken atomic.Bool
}

// Accept returns the client once.
func (s *solo) Accept() (net.Conn, error) {
	if s.taken.Swap(true) {
		return nil, net.ErrClosed
	}
	return s.conn, nil
}

// Close leaves the client alone: it is the session's.
func (s *solo) Close() error { return nil }

// Addr is where the client came in.
func (s *solo) Addr() net.Addr { return s.conn.LocalAddr() }

// scan is a directory for one lookup: it reads the sources when it is asked, and keeps of
// them the rows of one mailbox only.
type scan struct{ config *configs.Config }

// Locate implements proxy.Locator.
func (s scan) Locate(ctx context.Context, q directory.Query) (directory.Route, error) {
	domain := cmp.Or(q.DefaultDomain, string(s.config.Directory.DefaultDomain))
	mailbox, err := directory.Canonical(q.User, domain)
	if err != nil {
		return directory.Route{}, directory.ErrUnknown
	}
	rows := []string{mailbox}
	if at := strings.LastIndexByte(mailbox, '@'); at >= 0 {
		rows = append(rows, mailbox[at:])
	}
	f, err := loadDirectory(ctx, s.config, slog.New(slog.DiscardHandler), rows...)
	if err != nil {
		return directory.Route{}, err
	}
	defer f.stop()
	return f.dir.Locate(ctx, q)
}
