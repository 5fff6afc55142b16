package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a [Server] tells and does, and for whom. The functions are called from
// many goroutines at once.
type Options struct {
	Facts    func() Facts
	Sessions func() []Session
	Backends func() []Backend
	// Drain lets no new sessions in to a backend, on somebody's word. Those that run are ended after the
	// deadline, unless that is negative. The error is ErrNoBackend, or that the word can't be kept.
	Drain func(name, by string, deadline time.Duration) error
	// Resume takes that back.
	Resume func(name, by string) error
	// Kick ends the sessions of these ids and tells how many there were.
	Kick func(ids []string) int
	// Explain answers for what somebody would type as user. Its error is a fault of the
	// gateway: a name that can't be one is an explanation too.
	Explain func(ctx context.Context, address string) (Explanation, error)
	// Reload puts the configuration file in force, or says what is wrong with it, a fault a line.
	Reload func(context.Context) error
	// Confirm lets serve what the shrink guard holds of a source, or returns ErrNoSource or ErrNotHeld.
	Confirm func(source string) error
	// Forget drops the answers that are kept of a mailbox and tells how many there were.
	Forget func(address string) (int, error)
	// Canonical is the form in which Sessions has a mailbox.
	Canonical func(typed string) (string, error)
	// Descriptors tells how many are open, and how many may be. Nil: this process's.
	Descriptors func() (open, limit int)

	Access   *Access
	Observer *Observer
	PProf    bool // also Go's profiles, for operators
	Logger   *slog.Logger
}

// limits bound what one who reaches a door can use up. Reading waits for nobody, so a
// connection that is slow is closed, and its place is free again.
type limits struct {
	connections int           // at once, at one door; each has one request at a time
	headerTime  time.Duration // also of a TLS handshake
	readTime    time.Duration
	writeTime   time.Duration // from the request's header on
	idleTime    time.Duration // between requests
	reloadTime  time.Duration // less than writeTime, or nobody would hear of it
	header      int           // octets
	body        int64         // octets; nothing that may be asked has a body
}

func usualLimits() limits {
	return limits{
		connections: 64,
		headerTime:  5 * time.Second, readTime: 10 * time.Second, writeTime: 30 * time.Second,
		idleTime: 30 * time.Second, reloadTime: 25 * time.Second,
		header: 16 << 10, body: 64 << 10,
	}
}

// Server answers those who run the gateway.
type Server struct {
	options Options
	limits  limits
	log     *slog.Logger
	access  atomic.Pointer[Access]
	origins *http.CrossOriginProtection
	pages   http.Handler // of metrics

	mu     sync.Mutex
	closed bool
	doors  []*http.Server
}

// New returns a server that listens nowhere yet. It adds the facts to the observer's
// metrics, so an observer belongs to one server.
func New(o Options) (*Server, error) {
	if o.Facts == nil || o.Sessions == nil || o.Backends == nil || o.Kick == nil || o.Explain == nil ||
		o.Reload == nil || o.Canonical == nil || o.Observer == nil || o.Logger == nil {
		return nil, errors.New("admin: an option is missing")
	}
	if o.Descriptors == nil {
		o.Descriptors = descriptors
	}
	if o.Access == nil {
		o.Access = &Access{}
	}
	s := &Server{options: o, limits: usualLimits(), log: o.Logger, origins: http.NewCrossOriginProtection()}
	if err := s.SetAccess(o.Access); err != nil {
		return nil, err
	}
	if err := o.Observer.registry.Register(collector{server: s}); err != nil {
		return nil, err
	}
	s.pages = o.Observer.pages(o.Logger)
	return s, nil
}

// SetAccess changes who may come in by TCP. An error changes nothing.
func (s *Server) SetAccess(a *Access) error {
	if err := a.check(); err != nil {
		return err
	}
	s.access.Store(a)
	return nil
}

// ServeSocket answers whoever may open a Unix socket, as operator.
func (s *Server) ServeSocket(l net.Listener) error {
	return s.serve(l, nil, door{routes: s.allRoutes(), admit: admitSocket})
}

// ServeTCP answers those who have a token. Without a configuration for TLS it speaks plain
// HTTP, which is for loopback: a token that travels is not a secret.
func (s *Server) ServeTCP(l net.Listener, config *tls.Config) error {
	return s.serve(l, config, door{routes: s.allRoutes(), admit: s.admitToken})
}

// ServeProbes answers everybody, and tells nothing personal.
func (s *Server) ServeProbes(l net.Listener) error {
	var open []route
	for _, r := range routes {
		if r.probe {
			open = append(open, r)
		}
	}
	return s.serve(l, nil, door{routes: open, admit: admitProbe})
}

// serve owns the listener, and closes it. It returns nil after Close.
func (s *Server) serve(l net.Listener, config *tls.Config, d door) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // HTTP/2 has many requests on a connection, and the limit counts connections
	server := &http.Server{
		Handler: s.enter(d), Protocols: &protocols, MaxHeaderBytes: s.limits.header,
		ReadHeaderTimeout: s.limits.headerTime, ReadTimeout: s.limits.readTime,
		WriteTimeout: s.limits.writeTime, IdleTimeout: s.limits.idleTime,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // strangers make these errors
	}
	l = newCrowd(l, s.limits.connections)
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, config)
	}
	if !s.open(server) {
		return l.Close()
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) open(server *http.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.doors = append(s.doors, server)
	}
	return !s.closed
}

// Close shuts all doors, and lets requests end until the context does.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	doors := s.doors
	s.mu.Unlock()
	var closing sync.WaitGroup
	for _, server := range doors {
		closing.Go(func() {
			if server.Shutdown(ctx) != nil {
				_ = server.Close()
			}
		})
	}
	closing.Wait()
}
