package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/proxy/limits"
)

// eagerTime is how long a connection waits for its password.
const eagerTime = 5 * time.Second

// maxEager is how many connections a backend has to bear that nobody has logged in through.
const maxEager = 20

// eager is a connection that is made ready between USER and PASS, in the background of one session. The
// answer to USER neither waits for it nor shows whether there was anything to make ready, and
// neither does that to a wrong password, whose time is fixed.
//
// Only the connection is kept, not the route that it was made for: PASS may come long after USER, and the mailbox may
// have moved meanwhile.
type eager struct {
	user   string
	cancel context.CancelFunc
	done   chan struct{} // closed when target and conn are final

	mu     sync.Mutex
	target *backend.Target // where conn leads
	conn   net.Conn
	over   bool // nobody wants it any more
}

// prepare begins with a name that was given, and drops what was made ready for another.
func (s *session) prepare(ctx context.Context) {
	s.dropEager()
	q := s.dialogue.query()
	q.User, q.Login = s.dialogue.user, nil
	client := s.dialogue.client.address.Addr()
	if !s.server.eagers.takeClient(client) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, eagerTime)
	e := &eager{user: q.User, cancel: cancel, done: make(chan struct{})}
	s.eager = e
	origin, visit := s.origin(s.dialogue), s.visit(directory.Route{})
	s.server.running.Go(func() { // Shutdown waits for it; the session that counts itself is still there
		defer s.server.eagers.leaveClient(client)
		s.server.makeReady(ctx, e, q, visit, origin)
		<-ctx.Done() // taken, dropped or too old
		e.close()
	})
}

// makeReady locates and dials, where the backend would take a login now. Whatever goes wrong in it
// is nobody's end: the login will meet it again.
func (s *Server) makeReady(ctx context.Context, e *eager, q directory.Query, visit backend.Visit, origin backend.Origin) {
	defer close(e.done)
	defer func() {
		if fault := recover(); fault != nil {
			s.log.Error("making a connection ready panicked", "session", origin.Session, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
		}
	}()
	route, err := s.locator().Locate(ctx, q)
	if err != nil || route.State != directory.Active {
		return
	}
	visit.Mailbox = route.Mailbox
	if s.pool != nil && s.pool.Ask(*route.Backend, visit) != nil || !s.eagers.takeBackend(route.Backend.Name) {
		return
	}
	context.AfterFunc(ctx, func() { s.eagers.leaveBackend(route.Backend.Name) })
	e.aim(route.Backend)
	conn, err := s.dialer.DialFor(ctx, *route.Backend, origin)
	if err != nil {
		return
	}
	e.keep(conn)
}

func (e *eager) aim(target *backend.Target) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.target = target
}

func (e *eager) keep(conn net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		_ = conn.Close()
		return
	}
	e.conn = conn
}

// aimsAt tells whether a connection to that backend is there or about to be.
func (e *eager) aimsAt(target *backend.Target) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.target == target
}

// takeEager returns the connection for a user to that backend, if it is there or about to be. It is the
// caller's then. What was made ready for another user, or by an older configuration, is dropped.
func (s *session) takeEager(ctx context.Context, user string, target *backend.Target) (net.Conn, error) {
	defer s.dropEager()
	e := s.eager
	if e == nil || e.user != user || !e.aimsAt(target) { // what it waits for may be another backend's fault
		return nil, nil
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, &backend.Error{Kind: backend.TimedOut, Step: backend.Connect, Err: ctx.Err()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	conn := e.conn
	e.conn, e.over = nil, true
	return conn, nil
}

// close drops the connection, if nobody took it.
func (e *eager) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	if e.conn != nil {
		_ = e.conn.Close()
		e.conn = nil
	}
}

// dropEager ends what is made ready. It is called too where what was said of the client doesn't hold any
// more, by XCLIENT or TLS: the backend was told of the former one.
func (s *session) dropEager() {
	if s.eager != nil {
		s.eager.cancel()
		s.eager = nil
	}
}

// eagers bounds what is made ready: one for each client's address, and some for each backend.
type eagers struct {
	mu       sync.Mutex
	clients  map[netip.Addr]struct{}
	backends map[string]int
}

func newEagers() *eagers {
	return &eagers{clients: make(map[netip.Addr]struct{}), backends: make(map[string]int)}
}

func (e *eagers) takeClient(a netip.Addr) bool {
	a = limits.AddressKey(a)
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, taken := e.clients[a]; taken {
		return false
	}
	e.clients[a] = struct{}{}
	return true
}

func (e *eagers) leaveClient(a netip.Addr) {
	a = limits.AddressKey(a)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.clients, a)
}

func (e *eagers) takeBackend(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.backends[name] >= maxEager {
		return false
	}
	e.backends[name]++
	return true
}

func (e *eagers) leaveBackend(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.backends[name]--; e.backends[name] <= 0 {
		delete(e.backends, name)
	}
}
