package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"postern/pop3"
	"postern/proxy/relay"
)

// Server accepts clients and holds their sessions. Its settings and its directory
// can be changed while it runs; sessions keep what they began with.
type Server struct {
	dialer   Dialer
	log      *slog.Logger
	recorder *recorder
	census   *census
	pace     *pace
	prefix   string // of session ids: two runs of a gateway share none
	settings atomic.Pointer[Settings]
	owners   atomic.Pointer[Locator]
	buffers  relay.Buffers

	mu        sync.Mutex
	count     uint64
	listeners map[*Listener]struct{}
	sessions  map[*session]struct{}
	closed    bool
	running   sync.WaitGroup
}

// NewServer returns a server that listens nowhere yet.
func NewServer(o Options) *Server {
	var id [3]byte
	_, _ = rand.Read(id[:])
	s := &Server{
		dialer: o.Dialer, log: o.Logger, recorder: newRecorder(o.Logger),
		census: newCensus(), pace: newPace(), prefix: hex.EncodeToString(id[:]),
		listeners: make(map[*Listener]struct{}), sessions: make(map[*session]struct{}),
	}
	s.Reconfigure(o.Settings)
	s.Redirect(o.Directory)
	return s
}

// Reconfigure gives new sessions new settings.
func (s *Server) Reconfigure(set *Settings) { s.settings.Store(set) }

// Redirect gives all logins from now on another directory.
func (s *Server) Redirect(l Locator) { s.owners.Store(&l) }

func (s *Server) locator() Locator { return *s.owners.Load() }

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = errors.New("server closed")

// Accept errors are waited out: running out of descriptors must not end the
// gateway, nor spin it.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Serve accepts clients until the context or the server ends; the listener is
// closed then. It returns ErrClosed, or what broke the listener.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	if !s.register(l) {
		_ = l.Close()
		return ErrClosed
	}
	defer s.unregister(l)
	pause := firstPause
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = firstPause
			s.admit(ctx, l, conn)
			continue
		case errors.Is(err, net.ErrClosed):
			return ErrClosed
		}
		s.log.Error("accepting a client", "listener", l.Name, "err", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ErrClosed
		}
		pause = min(2*pause, lastPause)
	}
}

// admit begins a session, or refuses it: silently whom the listener doesn't
// allow (as tcp wrappers do), with a word whom the limits don't.
func (s *Server) admit(ctx context.Context, l *Listener, conn net.Conn) {
	set, access := s.settings.Load(), l.access.Load()
	client := addrPort(conn.RemoteAddr())
	if !access.permits(client.Addr()) {
		s.log.Debug("client not allowed", "listener", l.Name, "client", clientText(client, set.Records.Client))
		_ = conn.Close()
		return
	}
	seat, err := s.census.enter(client.Addr(), set)
	if err != nil {
		s.log.Warn("client refused", "listener", l.Name, "client", clientText(client, set.Records.Client), "err", err)
		refuse(conn)
		return
	}
	ses := &session{
		server: s, set: set, client: conn, accepted: time.Now(),
		id: identity{client: client, listener: l.Name},
		dialogue: newDialogue(set, s.pace, peer{
			loopback: client.Addr().IsLoopback(), defaultDomain: access.DefaultDomain,
		}),
	}
	if !s.enroll(ses) {
		seat.leave()
		_ = conn.Close()
		return
	}
	go s.host(ctx, ses, seat)
}

// host runs one session. Whatever goes wrong in it is its own end only.
func (s *Server) host(ctx context.Context, ses *session, seat seat) {
	defer s.running.Done()
	defer s.dismiss(ses)
	defer seat.leave()
	defer func() {
		if fault := recover(); fault != nil {
			s.log.Error("session panicked", "session", ses.id.session, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			ses.stop("panic")
		}
	}()
	ses.run(ctx)
}

// refuse tells a client that there is no room. Nothing was written to the socket
// yet, so this doesn't block.
func refuse(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(farewellTime))
	_, _ = conn.Write(pop3.Reply{Code: pop3.SysTemp, Text: "Too many connections, try again later"}.Append(nil))
	_ = conn.Close()
}

func (s *Server) register(l *Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

func (s *Server) unregister(l *Listener) {
	_ = l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// enroll gives a session its id and a place in the table, unless the server is closed.
func (s *Server) enroll(ses *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.count++
	ses.id.session = s.prefix + "-" + strconv.FormatUint(s.count, 36)
	s.sessions[ses] = struct{}{}
	s.running.Add(1) // under the lock that Shutdown closes under, so that Wait sees it
	return true
}

func (s *Server) dismiss(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ses)
}

// Sessions tells how many are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Shutdown closes the listeners and waits for the sessions to end by themselves.
// When the context ends first, it ends those that are left, and tells how many those were.
func (s *Server) Shutdown(ctx context.Context) (cut int) {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Wait()
	}()
	select {
	case <-done:
		return 0
	case <-ctx.Done():
	}
	s.mu.Lock()
	cut = len(s.sessions)
	for ses := range s.sessions {
		ses.stop("shutdown")
	}
	s.mu.Unlock()
	<-done
	return cut
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
