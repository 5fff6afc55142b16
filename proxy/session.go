package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/proxy/relay"
)

// Locator answers who owns a mailbox; *directory.Directory does.
type Locator interface {
	Locate(context.Context, directory.Query) (directory.Route, error)
}

// Dialer connects to a backend; backend.Dialer does. Its errors are *backend.Error.
type Dialer interface {
	Dial(context.Context, backend.Target) (net.Conn, error)
}

// scratch is how much is read at once before the relay.
const scratch = 512

// session drives one dialogue with real connections, one goroutine from top to
// bottom. It owns both connections until the relay takes them.
type session struct {
	server   *Server
	set      *Settings
	id       identity
	client   net.Conn
	dialogue *dialogue
	accepted time.Time
	verdict  *verdict // the last one
	buf      [scratch]byte
	deadlines

	mu      sync.Mutex // for stop, which others call
	backend net.Conn
	cancel  context.CancelFunc // ends what waits for something else than the two connections
	stopped string             // why, if somebody outside ends the session
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
			if next, ok := s.perform(ctx, in); ok && !happened {
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
		route, err := s.server.locator().Locate(ctx, s.dialogue.query())
		return s.unlessStopped(event{kind: evLocated, route: route, err: err}), true
	case inDial:
		return s.unlessStopped(event{kind: evConnected, err: s.dial(ctx)}), true
	case inHangUp:
		s.hangUp()
	case inRecord:
		s.verdict = in.verdict
		s.server.recorder.login(s.id, s.set.Records, in.verdict)
	}
	return event{}, false
}

func (s *session) write(data []byte) (event, bool) {
	if until := s.dialogue.loginBy; !until.Equal(s.clientWrite) {
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

func (s *session) dial(ctx context.Context) error {
	ctx, cancel := s.until(ctx, s.dialogue.wait().until)
	defer cancel()
	conn, err := s.server.dialer.Dial(ctx, *s.dialogue.target())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != "" {
		_ = conn.Close()
		return &backend.Error{Kind: backend.Canceled, Step: backend.Connect}
	}
	s.backend, s.deadlines.backend = conn, time.Time{}
	return nil
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
		_ = s.backend.Close()
		s.backend = nil
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
	moved := relay.Run(s.client, s.backend, s.dialogue.leftover(),
		relay.Timeouts{Idle: s.set.Idle, Linger: s.set.Linger}, &s.server.buffers)
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
	s.server.recorder.end(s.id, s.set.Records, e, s.verdict, moved, time.Since(s.accepted))
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
	_ = s.client.Close()
	if s.backend != nil {
		_ = s.backend.Close()
	}
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
