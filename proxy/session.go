package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/proxy/limits"
	"postern/proxy/relay"
	posterntls "postern/proxy/tls"
)

// Locator answers who owns a mailbox; *directory.Directory does.
type Locator interface {
	Locate(context.Context, directory.Query) (directory.Route, error)
}

// Dialer connects to a backend for a client; backend.Dialer does. Its errors are *backend.Error.
type Dialer interface {
	DialFor(context.Context, backend.Target, backend.Origin) (net.Conn, error)
}

// Pool gives a backend's leave to log in; *backend.Pool does. Its errors are *backend.Unavailable, or
// *backend.Error where the context ended. Ask tells what Enter would say, and takes nothing.
type Pool interface {
	Enter(context.Context, backend.Target, backend.Visit) (*backend.Turn, error)
	Ask(backend.Target, backend.Visit) error
}

// scratch is how much is read at once before the relay.
const scratch = 512

// session drives one dialogue with real connections, one goroutine from top to
// bottom. It owns both connections until the relay takes them.
type session struct {
	server   *Server
	set      *Settings
	access   *Access
	id       identity
	dialogue *dialogue
	accepted time.Time
	seat     *limits.Seat
	ticket   *limits.Ticket
	verdict  *verdict      // the last one
	turn     *backend.Turn // the backend's leave, while there is one
	eager    *eager        // what is being made ready while the client types
	gone     chan struct{} // closed when the session is over
	buf      [scratch]byte
	deadlines

	mu      sync.Mutex // for stop and describe, which others call
	socket  net.Conn   // the client's, below TLS
	client  net.Conn
	backend net.Conn
	line    net.Conn // the backend's, below TLS
	relayed *relay.Relay
	shown   shown
	cancel  context.CancelFunc // ends what waits for something else than the two connections
	stopped string             // why, if somebody outside ends the session
}

// shown is what describe tells of the client.
type shown struct {
	client netip.AddrPort
	tls    string
}

// deadlines are those that are set; to set one again costs as much as the first time.
type deadlines struct{ clientRead, clientWrite, backend time.Time }

// run is the whole session. It returns when both connections are closed.
func (s *session) run(ctx context.Context) {
	for ev := (event{kind: evBegin}); ; {
		happened := false
		for _, in := range s.dialogue.handle(time.Now(), ev) {
			switch in.kind {
			case inRelay:
				s.relay()
				return
			case inEnd:
				s.close()
				return
			}
			if happened && !in.kind.tidies() { // the client is gone: nobody waits for the rest
				continue
			}
			if next, ok := s.perform(ctx, in); ok {
				ev, happened = next, true
			}
		}
		if !happened {
			ev = s.next(ctx)
		}
	}
}

// perform does one thing. ok says that something came of it, which the dialogue
// has to hear first.
func (s *session) perform(ctx context.Context, in intent) (ev event, ok bool) {
	switch in.kind {
	case inWrite:
		return s.write(in.data)
	case inWriteBackend:
		return s.writeBackend(in.data)
	case inLocate:
		ctx, cancel := s.until(ctx, s.dialogue.wait().until)
		defer cancel()
		route, err := s.server.locator().Locate(ctx, s.dialogue.query())
		return s.unlessStopped(event{kind: evLocated, route: route, err: err}), true
	case inPrepare:
		s.prepare(ctx)
	case inEnter:
		return s.unlessStopped(event{kind: evAdmitted, err: s.enter(ctx)}), true
	case inFinish:
		s.finish(in)
	case inDial:
		return s.unlessStopped(event{kind: evConnected, err: s.dial(ctx)}), true
	case inSecureBackend:
		return s.unlessStopped(event{kind: evBackendSecured, err: s.secureBackend(ctx)}), true
	case inReplace:
		return s.unlessStopped(event{kind: evReplaced, err: s.replaceStale(ctx)}), true
	case inSeat:
		err := s.reseat()
		if err != nil {
			s.server.refused(s, err)
		}
		return event{kind: evSeated, err: err}, true
	case inSecure:
		return s.unlessStopped(event{kind: evSecured, err: s.secure(ctx)}), true
	case inHangUp:
		s.hangUp()
	case inRecord:
		s.judged(in.verdict)
	}
	return event{}, false
}

func (s *session) observe(e Event) {
	e.Listener = s.id.listener
	s.server.observer.Observe(e)
}

// judged notes a verdict. From then on the session is known by its mailbox.
func (s *session) judged(v *verdict) {
	s.mu.Lock()
	s.verdict = v
	s.mu.Unlock()
	s.server.recorder.login(s.id, s.set.Records, v)
	e := v.event()
	e.Client = clientText(s.id.client, s.set.Records.Client)
	s.observe(e)
}

// reseat counts the session as that of the client whom a trusted peer speaks for: the
// limits and the listener's rules are for clients, not for who stands between.
func (s *session) reseat() error {
	s.dropEager()
	c := s.dialogue.client
	s.id.client, s.id.via, s.id.origin = c.address, s.dialogue.via(), c.session
	s.mu.Lock()
	s.shown.client = c.address
	s.mu.Unlock()
	if c.local {
		s.seat.Leave()
		return nil
	}
	if !s.access.permits(c.address.Addr()) {
		return errNotAllowed
	}
	if !s.server.mayConnect(s, c.address.Addr()) {
		return errTooOften
	}
	return s.seat.Move(c.address.Addr())
}

// secure is the TLS handshake, bounded by its step's time and ended by stop.
func (s *session) secure(ctx context.Context) error {
	s.dropEager()
	ctx, cancel := s.until(ctx, s.dialogue.wait().until)
	defer cancel()
	_ = s.client.SetDeadline(time.Time{}) // the step before had less time, and the context has it now
	hello := &bounded{Conn: s.client, left: maxHandshake}
	conn := tls.Server(hello, s.access.TLS)
	err := conn.HandshakeContext(ctx)
	if hello.left = -1; err != nil {
		s.server.log.Debug("tls handshake failed", "session", s.id.session, "err", err)
		s.observe(Event{Happening: Unsecured})
		return err
	}
	s.id.tls = posterntls.StateOf(conn.ConnectionState())
	s.observe(Event{Happening: Secured, TLS: s.id.tls.Version})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.deadlines, s.shown.tls = conn, deadlines{}, s.id.tls.Version
	return nil
}

func (s *session) write(data []byte) (event, bool) {
	if until := s.dialogue.writeBy(); !until.Equal(s.clientWrite) {
		s.clientWrite = until
		_ = s.client.SetWriteDeadline(until)
	}
	if _, err := s.client.Write(data); err != nil {
		return s.unlessStopped(event{kind: evClientGone}), true
	}
	return event{}, false
}

func (s *session) writeBackend(data []byte) (event, bool) {
	s.boundBackend(s.dialogue.wait().until)
	if _, err := s.backend.Write(data); err != nil {
		return s.unlessStopped(event{kind: evBackendEnd, err: err}), true
	}
	return event{}, false
}

// boundBackend sets the time for reading and writing: a step's bound is for both.
func (s *session) boundBackend(until time.Time) {
	if !until.Equal(s.deadlines.backend) {
		s.deadlines.backend = until
		_ = s.backend.SetDeadline(until)
	}
}

// until bounds something in time that stop ends as well.
func (s *session) until(ctx context.Context, t time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadline(ctx, t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel = cancel; s.stopped != "" {
		cancel()
	}
	return ctx, cancel
}

func (s *session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backend != nil {
		_ = s.line.Close() // without TLS's goodbye, which may block
		s.backend, s.line = nil, nil
	}
}

// next waits for what the dialogue waits for.
func (s *session) next(ctx context.Context) event {
	if s.dialogue.more() {
		return event{kind: evResume}
	}
	w := s.dialogue.wait()
	switch {
	case w.backend:
		return s.readBackend(w.until)
	case w.client:
		return s.read(w.until)
	}
	return s.sleep(ctx, w.until)
}

// read waits for what the client says, its FIN, or the time.
func (s *session) read(until time.Time) event {
	if !until.Equal(s.clientRead) {
		s.clientRead = until
		_ = s.client.SetReadDeadline(until)
	}
	n, err := s.client.Read(s.buf[:min(scratch, s.dialogue.room())])
	switch {
	case n > 0:
		return event{kind: evClient, data: s.buf[:n]}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return event{kind: evTimer}
	case errors.Is(err, io.EOF):
		return event{kind: evClientEnd}
	}
	return s.unlessStopped(event{kind: evClientGone})
}

// readBackend waits for what the backend says, its end, or the time.
func (s *session) readBackend(until time.Time) event {
	s.boundBackend(until)
	n, err := s.backend.Read(s.buf[:])
	switch {
	case n > 0:
		return event{kind: evBackend, data: s.buf[:n]}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return event{kind: evTimer}
	case errors.Is(err, io.EOF):
		return event{kind: evBackendEnd}
	}
	return s.unlessStopped(event{kind: evBackendEnd, err: err})
}

// sleep waits for a time when there is nothing to read.
func (s *session) sleep(ctx context.Context, until time.Time) event {
	ctx, cancel := s.until(ctx, until)
	defer cancel()
	<-ctx.Done()
	return s.unlessStopped(event{kind: evTimer})
}

// relay hands both connections over and writes the record when it is done with them.
func (s *session) relay() {
	r := relay.New(s.client, s.backend, s.dialogue.leftover(),
		relay.Timeouts{Idle: s.set.Idle, Linger: s.set.Linger}, &s.server.buffers)
	clear(s.buf[:]) // the password went through it
	s.mu.Lock()
	s.relayed = r
	s.mu.Unlock()
	if why := s.server.unwanted(s.verdict.route); why != "" { // now that whoever looks for such sessions finds it
		s.server.running.Go(func() { s.part(why, kickGrace) })
	}
	moved := r.Run()
	s.dialogue.in.Wipe()
	s.record(ending{by: sides[moved.By], why: moved.Reason}, moved)
}

var sides = [...]party{relay.Client: byClient, relay.Backend: byBackend, relay.Gateway: byGateway}

// What close does for a client that may still be sending.
const (
	farewellTime = time.Second
	farewellData = 64 << 10
)

// close ends a session that was not relayed. To close a socket with unread data
// resets it, and a reset overtakes the last reply; so the client's data is thrown away
// for a moment, within bounds.
func (s *session) close() {
	end := s.dialogue.ending
	s.hangUp()
	if c, ok := s.client.(interface{ CloseWrite() error }); ok && end.by == byGateway && c.CloseWrite() == nil {
		_ = s.client.SetReadDeadline(time.Now().Add(farewellTime))
		_, _ = io.CopyN(io.Discard, s.client, farewellData)
	}
	_ = s.client.Close()
	s.record(end, relay.Result{})
}

func (s *session) record(e ending, moved relay.Result) {
	if why := s.stopReason(); why != "" {
		e = ending{by: byGateway, why: why}
	}
	s.observe(Event{Happening: Ended, By: string(e.by), Reason: e.why, ToBackend: moved.ToBackend, ToClient: moved.ToClient})
	if s.verdict == nil && s.unremarkable() {
		return
	}
	s.server.recorder.end(s.id, s.set.Records, e, s.verdict, moved, time.Since(s.accepted))
}

// unremarkable tells whether a connection that came to no login is the operator's own:
// a load balancer's health check, a probe.
func (s *session) unremarkable() bool {
	return s.dialogue.client.local || s.set.Limits.Exempts(s.id.client.Addr())
}

// stop ends the session from outside, without a word to the client.
func (s *session) stop(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != "" {
		return
	}
	s.stopped = why
	if s.cancel != nil {
		s.cancel()
	}
	_ = s.socket.Close() // without TLS's goodbye, which may block
	if s.line != nil {
		_ = s.line.Close()
	}
}

// part ends the session from outside for the reason why: in the relay with a word, where it is certain to
// come between two commands within grace, before that without one. It may take a second.
func (s *session) part(why string, grace time.Duration) {
	s.mu.Lock()
	relayed := s.relayed
	s.mu.Unlock()
	if relayed == nil {
		s.stop(why)
		return
	}
	relayed.End(why, parting.Append(nil), grace)
}

// giveWay ends the session for the sake of others that want its place, which is free at once.
func (s *session) giveWay() {
	s.seat.Leave()
	s.stop("gave way")
}

func (s *session) stopReason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// unlessStopped is ev, or the news that somebody outside ended the session, which
// explains why ev happened.
func (s *session) unlessStopped(ev event) event {
	if s.stopReason() != "" {
		return event{kind: evStop}
	}
	return ev
}
