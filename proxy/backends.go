package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"postern/backend"
	"postern/directory"
)

// This file is what a session does with backends, on the dialogue's word.

// enter waits for the backend's leave. A turn that comes when the session was stopped is given back.
func (s *session) enter(ctx context.Context) error {
	ctx, cancel := s.until(ctx, s.dialogue.wait().until)
	defer cancel()
	turn, err := s.server.pool.Enter(ctx, *s.dialogue.target(), s.visit(s.dialogue.attempt.route))
	s.turn = turn
	return err
}

// visit is who wants to log in. Networks that have a limit of their own are many people: no share of the
// places is theirs alone.
func (s *session) visit(route directory.Route) backend.Visit {
	v := backend.Visit{Client: s.dialogue.client.address.Addr(), Mailbox: route.Mailbox}
	if s.set.Limits.Shared(v.Client) {
		v.Client = netip.Addr{}
	}
	return v
}

// finish gives the leave back, or makes it the session's place.
func (s *session) finish(in intent) {
	if s.turn == nil {
		return
	}
	if in.stay {
		s.turn.Stay()
		s.turn.Done(in.outcome)
		return
	}
	s.turn.Done(in.outcome)
	s.turn = nil
}

func (s *session) dial(ctx context.Context) error {
	ctx, cancel := s.until(ctx, s.dialogue.wait().until)
	defer cancel()
	conn, err := s.takeEager(ctx, s.dialogue.attempt.credentials.User, s.dialogue.target())
	if conn == nil && err == nil {
		conn, err = s.server.dialer.DialFor(ctx, *s.dialogue.target(), s.origin(s.dialogue))
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped != "" {
		_ = conn.Close()
		return &backend.Error{Kind: backend.Canceled, Step: backend.Connect}
	}
	s.backend, s.line, s.deadlines.backend = conn, below(conn), time.Time{}
	return nil
}

// below is the connection that TLS runs over.
func below(conn net.Conn) net.Conn {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return conn
}

// secureBackend is the TLS handshake behind STLS.
func (s *session) secureBackend(ctx context.Context) error {
	ctx, cancel := s.until(ctx, s.dialogue.wait().until)
	defer cancel()
	_ = s.backend.SetDeadline(time.Time{}) // the context has the time now
	conn, err := backend.Handshake(ctx, s.backend, *s.dialogue.target())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backend, s.deadlines.backend = conn, time.Time{}
	return nil
}

// origin is who the client is, for backends that believe this gateway.
func (s *session) origin(d *dialogue) backend.Origin {
	o := backend.Origin{Local: addrPort(s.socket.LocalAddr()), Session: s.id.session, TTL: d.client.ttl}
	if !d.client.unnamed {
		o.Client = d.client.address
	}
	t := s.id.tls
	o.TLS = backend.ClientTLS{
		Version: t.Version, Cipher: t.CipherSuite, ServerName: t.ServerName, CommonName: t.ClientCommon, Verified: t.ClientSubject != "",
	}
	if d.client.encrypted && o.TLS.Version == "" { // by the word of who stands in front
		o.TLS.Version = "TLS"
	}
	return o
}

// errNoneStale says that no session of the mailbox gave way.
var errNoneStale = errors.New("no session of this gateway is stale")

// releaseTime is how long a backend has to notice that a session ended, and to let its lock go.
const releaseTime = 500 * time.Millisecond

// replaceStale ends this gateway's own sessions of the mailbox in which nothing was said for long, and
// waits for them.
func (s *session) replaceStale(ctx context.Context) error {
	ctx, cancel := s.until(ctx, s.dialogue.wait().until)
	defer cancel()
	mailbox, ended := s.dialogue.attempt.route.Mailbox, false
	for _, other := range s.server.all() {
		if other != s && other.stale(mailbox, s.set.ReplaceStale) {
			other.stop("replaced")
			ended = true
			select {
			case <-other.gone:
			case <-ctx.Done():
			}
		}
	}
	if !ended {
		return errNoneStale
	}
	select {
	case <-time.After(releaseTime):
	case <-ctx.Done():
	}
	return nil
}

// stale tells whether a session of the mailbox has been silent for so long.
func (s *session) stale(mailbox string, silent time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relayed != nil && s.verdict.route.Mailbox == mailbox && s.relayed.Silent() >= silent
}
