package tls

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"slices"
	"strings"
	"sync/atomic"
)

// sealer seals and opens the tickets of one policy for client certificates. Its
// keys are derived with that policy, so that no ticket is good under another: a
// resumed session brings its client certificate along unchecked, and one that
// was believed where the authority was another's must not be believed here.
//
// The keys are looked up with each ticket. Turning them therefore needs no list of
// the configurations that listeners, and clones of theirs, hold.
type sealer struct {
	tickets *tickets
	policy  string
	derived atomic.Pointer[derived]
}

// derived is what came of the tickets' keys.
type derived struct {
	from   *[]ticketKey
	config *tls.Config // does the sealing, nothing else
}

// wrap is a tls.Config's WrapSession.
func (s *sealer) wrap(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
	session.Extra = append(session.Extra, nameTag(state))
	return s.current().EncryptTicket(state, session)
}

// unwrap is a tls.Config's UnwrapSession. What doesn't open, or was sealed for
// another name, is no fault: there will be a full handshake (RFC 6066, section 3,
// asks for the same name: certificates are chosen by it).
func (s *sealer) unwrap(ticket []byte, state tls.ConnectionState) (*tls.SessionState, error) {
	session, err := s.current().DecryptTicket(ticket, state)
	if err != nil || session == nil {
		return nil, err
	}
	tag := nameTag(state)
	if !slices.ContainsFunc(session.Extra, func(e []byte) bool { return string(e) == string(tag) }) {
		return nil, nil
	}
	return session, nil
}

// nameTag stands for the name a client asked for, whatever its length.
func nameTag(state tls.ConnectionState) []byte {
	sum := sha256.Sum256([]byte(strings.ToLower(state.ServerName)))
	return append([]byte("postern name "), sum[:]...)
}

// current derives the keys anew after they turned. Two handshakes may do it
// at once; both come to the same.
func (s *sealer) current() *tls.Config {
	keys := s.tickets.keys.Load()
	if d := s.derived.Load(); d != nil && d.from == keys {
		return d.config
	}
	d := &derived{from: keys, config: new(tls.Config)}
	own := make([][keyLength]byte, len(*keys))
	for i, k := range *keys {
		mac := hmac.New(sha256.New, k.secret[:]) // one block of HKDF's second step would be the same
		mac.Write([]byte("postern session tickets, " + s.policy))
		mac.Sum(own[i][:0])
	}
	d.config.SetSessionTicketKeys(own)
	clear(own)
	s.derived.Store(d)
	return d.config
}
