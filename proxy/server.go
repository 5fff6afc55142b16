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

	"postern/directory"
	"postern/proxy/limits"
	"postern/proxy/relay"
)

// Server accepts clients and holds their sessions. Its settings and its directory
// can be changed while it runs; sessions keep what they began with.
type Server struct {
	dialer    Dialer
	pool      Pool // nil: every backend may be logged in to
	unwanted  func(directory.Route) string
	eagers    *eagers
	log       *slog.Logger
	observer  Observer
	recorder  *recorder
	pace      *pace
	census    *limits.Census
	rate      *limits.Rate
	waiting   *limits.Waiting
	penalties *limits.Penalties
	intervals *limits.Intervals
	refusals  digest // of the log
	prefix    string // of session ids: two runs of a gateway share none
	settings  atomic.Pointer[Settings]
	owners    atomic.Pointer[Locator]
	buffers   relay.Buffers

	mu        sync.Mutex
	count     uint64
	listeners map[*Listener]struct{}
	sessions  map[string]*session
	closed    bool
	running   sync.WaitGroup
}

// NewServer returns a server that listens nowhere yet.
func NewServer(o Options) *Server {
	var id [3]byte
	_, _ = rand.Read(id[:])
	s := &Server{
		dialer: o.Dialer, pool: o.Pool, unwanted: o.Unwanted, eagers: newEagers(), log: o.Logger, observer: o.Observer, recorder: newRecorder(o.Logger),
		pace: newPace(), prefix: hex.EncodeToString(id[:]),
		census: limits.NewCensus(), rate: limits.NewRate(), waiting: limits.NewWaiting(limits.Bounds{}),
		penalties: limits.NewPenalties(), intervals: limits.NewIntervals(),
		listeners: make(map[*Listener]struct{}), sessions: make(map[string]*session),
	}
	if s.observer == nil {
		s.observer = nobody{}
	}
	if s.unwanted == nil {
		s.unwanted = func(directory.Route) string { return "" }
	}
	s.Reconfigure(o.Settings)
	s.Redirect(o.Directory)
	return s
}

// Reconfigure gives new sessions new settings.
func (s *Server) Reconfigure(set *Settings) {
	s.settings.Store(set)
	s.waiting.Limit(limits.Bounds{Memory: set.LoginMemory})
}

// Redirect gives all logins from now on another directory.
func (s *Server) Redirect(l Locator) { s.owners.Store(&l) }

func (s *Server) locator() Locator { return *s.owners.Load() }

// Accept errors are waited out: running out of descriptors must not end the
// gateway, nor spin it.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Serve accepts clients until the context or the server ends, and closes the listener
// then. Nothing else ends it.
func (s *Server) Serve(ctx context.Context, l *Listener) {
	if !s.register(l) {
		_ = l.Close()
		return
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
			return
		}
		s.log.Error("accepting a client", "listener", l.Name, "err", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// Why a client is turned away, besides what package limits says.
var (
	errNotAllowed = errors.New("not allowed")
	errTooOften   = errors.New("too many connections from this address")
	errClosed     = errors.New("shutting down")
)

// admit begins a session, or refuses it: silently whom the listener doesn't
// allow (as tcp wrappers do), with a word whom the limits don't.
func (s *Server) admit(ctx context.Context, l *Listener, conn net.Conn) {
	set, access := s.settings.Load(), l.access.Load()
	ses := &session{
		server: s, set: set, access: access, accepted: time.Now(), socket: conn, client: conn,
		id: identity{client: addrPort(conn.RemoteAddr()), listener: l.Name}, gone: make(chan struct{}),
	}
	ses.shown.client = ses.id.client
	p := access.peer(ses.id.client)
	err := s.seat(ses, p)
	if err == nil {
		ses.dialogue = newDialogue(set, p, guards{
			pace: s.pace, penalties: s.penalties, intervals: s.intervals, seat: ses.seat, ticket: ses.ticket,
			admission: s.pool != nil, origin: ses.origin,
		})
		err = s.enroll(ses)
	}
	if err != nil {
		s.turnAway(ses, p, err)
		return
	}
	ses.observe(Event{Happening: Accepted})
	go s.host(ctx, ses)
}

// seat takes a session's places. A peer that speaks for others takes its place when it
// has said for whom.
func (s *Server) seat(ses *session, p peer) (err error) {
	addr := ses.id.client.Addr()
	switch {
	case p.hails:
		addr = netip.Addr{}
	case !ses.access.permits(addr):
		return errNotAllowed
	case !s.mayConnect(ses, addr):
		return errTooOften
	}
	ses.seat, err = s.census.Enter(addr, &ses.set.Limits)
	if errors.Is(err, limits.ErrTotal) && s.waiting.Yield() { // strangers make room for who may be a user
		ses.seat, err = s.census.Enter(addr, &ses.set.Limits)
	}
	if err == nil {
		ses.ticket, err = s.waiting.Enter(limits.SessionMemory, ses.giveWay)
	}
	return err
}

// mayConnect asks how often an address connects.
func (s *Server) mayConnect(ses *session, addr netip.Addr) bool {
	return ses.set.Limits.Exempts(addr) || s.rate.Allow(time.Now(), addr, ses.set.ConnectionsPerMinute)
}

// turnAway ends a connection that became no session.
func (s *Server) turnAway(ses *session, p peer, err error) {
	ses.leave()
	if s.refused(ses, err) && !p.hails && !p.implicit {
		refuse(ses.client)
	}
	_ = ses.client.Close()
}

// refused notes that a client is turned away, and tells whether he may hear of it: not
// whom the listener's own rules keep out. Each is counted; the log gets a line now
// and then, or strangers would fill it.
func (s *Server) refused(ses *session, err error) (aloud bool) {
	ses.observe(Event{Happening: Refused, Reason: err.Error()})
	aloud = !errors.Is(err, errNotAllowed)
	level, more := slog.LevelDebug, 0
	if aloud {
		if n, due := s.refusals.due(ses.accepted, ses.id.listener+err.Error()); due {
			level, more = slog.LevelWarn, n
		}
	}
	s.log.Log(context.Background(), level, "client refused", "listener", ses.id.listener,
		"client", clientText(ses.id.client, ses.set.Records.Client), "err", err, "since_last", more)
	return aloud
}

// host runs one session. Whatever goes wrong in it is its own end only.
func (s *Server) host(ctx context.Context, ses *session) {
	defer s.running.Done()
	defer s.dismiss(ses)
	defer ses.leave()
	defer func() {
		if fault := recover(); fault != nil {
			s.log.Error("session panicked", "session", ses.id.session, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
			ses.stop("panic")
			ses.observe(Event{Happening: Ended, By: string(byGateway), Reason: "panic"})
		}
	}()
	ses.run(ctx)
}

// leave gives the session's places back.
func (s *session) leave() {
	s.dropEager()
	if s.turn != nil {
		s.turn.Leave()
		s.turn = nil
	}
	if s.ticket != nil {
		s.ticket.Leave()
	}
	if s.seat != nil {
		s.seat.Leave()
	}
}

// refuse tells a client that there is no room. Nothing was written to the socket
// yet, so this doesn't block.
func refuse(conn net.Conn) {
	_ = conn.SetWriteDeadline(time.Now().Add(farewellTime))
	_, _ = conn.Write(tooMany.Append(nil))
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
func (s *Server) enroll(ses *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.count++
	ses.id.session = s.prefix + "-" + strconv.FormatUint(s.count, 36)
	s.sessions[ses.id.session] = ses
	s.running.Add(1) // under the lock that Shutdown closes under, so that Wait sees it
	return nil
}

func (s *Server) dismiss(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ses.id.session)
	close(ses.gone)
}

// Sessions tells how many are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// lastGrace is how long a session may go on to the end of a command when all others are ended.
const lastGrace = time.Second

// Shutdown closes the listeners and waits for the sessions to end by themselves.
// When the context ends first, it ends those that are left, between two commands where it can, and
// tells how many those were.
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
	open := s.all()
	s.endEach(open, "shutdown", lastGrace)
	for _, ses := range open {
		ses.stop("shutdown")
	}
	<-done
	return len(open)
}

// all returns the sessions that are open.
func (s *Server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*session, 0, len(s.sessions))
	for _, ses := range s.sessions {
		open = append(open, ses)
	}
	return open
}

// endEach ends sessions, all at the same time, and returns when each has come to its end, or could have.
func (s *Server) endEach(sessions []*session, why string, grace time.Duration) {
	var ending sync.WaitGroup
	for _, ses := range sessions {
		ending.Go(func() {
			ses.part(why, grace)
			select {
			case <-ses.gone:
			case <-time.After(grace + farewellTime):
			}
		})
	}
	ending.Wait()
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
