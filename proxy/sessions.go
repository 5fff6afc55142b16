package proxy

import (
	"net/netip"
	"time"
)

// SessionInfo is how one session is now. What was typed as user is not in it:
// people type passwords there.
type SessionInfo struct {
	ID, Listener        string
	Client              netip.AddrPort
	Mailbox, Backend    string // empty before a login succeeded
	State               string // "login" or "relay"
	TLS                 string // version; empty without
	Since               time.Time
	ToBackend, ToClient int64  // octets relayed so far
	Verb                string // of the last command, where it is one of POP3's
	Outstanding         int    // commands without an answer
}

// List tells of all sessions that are open.
func (s *Server) List() []SessionInfo {
	open := s.all()
	all := make([]SessionInfo, len(open))
	for i, ses := range open {
		all[i] = ses.describe()
	}
	return all
}

// kickGrace is how long a session that is kicked may go on to the end of a command.
const kickGrace = 2 * time.Second

// Kick ends the sessions of these ids, between two commands where it can, and tells how many there
// were. Their records say why. It doesn't wait for their ends.
func (s *Server) Kick(ids []string, why string) (kicked int) {
	for _, id := range ids {
		s.mu.Lock()
		ses := s.sessions[id]
		if ses != nil {
			s.running.Go(func() { ses.part(why, kickGrace) }) // while the session is running itself
			kicked++
		}
		s.mu.Unlock()
	}
	return kicked
}

func (s *session) describe() SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := SessionInfo{
		ID: s.id.session, Listener: s.id.listener, Client: s.shown.client, TLS: s.shown.tls,
		State: "login", Since: s.accepted,
	}
	if s.relayed == nil {
		return info
	}
	moved := s.relayed.Progress()
	info.State, info.ToBackend, info.ToClient = "relay", moved.ToBackend, moved.ToClient
	info.Outstanding, info.Verb = s.relayed.Standing()
	info.Mailbox, info.Backend = s.verdict.route.Mailbox, s.verdict.route.Backend.Name
	return info
}
