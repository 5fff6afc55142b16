package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Session is a client's session as it is now. Mailbox and backend are empty before
// a login. What a client typed as user is not in it: people type passwords there.
type Session struct {
	ID        string         `json:"id"`
	Client    netip.AddrPort `json:"client"`
	Listener  string         `json:"listener"`
	Mailbox   string         `json:"mailbox,omitempty"`
	Backend   string         `json:"backend,omitempty"`
	State     string         `json:"state"`
	Since     time.Time      `json:"since"`      // accepted
	ToClient  int64          `json:"to_client"`  // octets after the login
	ToBackend int64          `json:"to_backend"` // octets after the login
	TLS       string         `json:"tls,omitempty"`
	// Verb is the last command, if POP3 has it, and Outstanding how many have no answer yet.
	Verb        string `json:"verb,omitempty"`
	Outstanding int    `json:"outstanding,omitempty"`
}

// SessionList is the answer to GET /api/v1/sessions: the oldest first.
type SessionList struct {
	Gateway  string    `json:"gateway"`
	Matching int       `json:"matching"` // so many there are; Sessions may be cut
	Sessions []Session `json:"sessions"`
}

// Kicked is the answer to DELETE /api/v1/sessions and /api/v1/sessions/{id}.
type Kicked struct {
	Gateway string `json:"gateway"`
	Kicked  int    `json:"kicked"`
}

// How many sessions are listed.
const (
	usualSessions = 1000
	mostSessions  = 100_000
)

// selection says which sessions are meant: those that all of its fields fit.
// A field's zero value fits every session.
type selection struct {
	mailbox string // canonical
	backend string
	address netip.Prefix
	limit   int // of a list; 0: the usual one
}

// parseSelection reads a query. A parameter that it doesn't know, or that is empty or there twice, is
// an error: what was meant to end one user's session must not end a backend's
// because of a letter.
func parseSelection(query string, canonical func(string) (string, error)) (selection, error) {
	var s selection
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return s, errors.New("the query can't be read")
	}
	for name, given := range parameters {
		if len(given) != 1 || given[0] == "" {
			return s, fmt.Errorf("want %.40q once, and not empty", name)
		}
		if err := s.set(name, given[0], canonical); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *selection) set(name, value string, canonical func(string) (string, error)) (err error) {
	switch name {
	case "mailbox":
		if s.mailbox, err = canonical(value); err != nil {
			return fmt.Errorf("mailbox: %w", err)
		}
	case "backend":
		s.backend = value
	case "address":
		if s.address, err = parseNetwork(value); err != nil {
			return errors.New("address: want an IP address or a network such as 192.0.2.0/24")
		}
	case "limit":
		if s.limit, err = strconv.Atoi(value); err != nil || s.limit < 1 || s.limit > mostSessions {
			return fmt.Errorf("limit: want a number from 1 to %d", mostSessions)
		}
	default:
		return fmt.Errorf("%.40q is no parameter: want mailbox, backend, address or limit", name)
	}
	return nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Unmap().Prefix(addr.Unmap().BitLen())
}

// everything tells whether the selection would take every session there is.
func (s selection) everything() bool {
	return s.mailbox == "" && s.backend == "" && !s.address.IsValid()
}

func (s selection) fits(session Session) bool {
	switch {
	case s.mailbox != "" && s.mailbox != session.Mailbox,
		s.backend != "" && !strings.EqualFold(s.backend, session.Backend),
		s.address.IsValid() && !s.address.Contains(plainAddr(session.Client.Addr())):
		return false
	}
	return true
}

// of returns the sessions that are meant, the oldest first.
func (s selection) of(sessions []Session) []Session {
	chosen := slices.DeleteFunc(append([]Session{}, sessions...), func(session Session) bool { return !s.fits(session) })
	slices.SortFunc(chosen, func(a, b Session) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return chosen
}

func ids(sessions []Session) []string {
	all := make([]string, len(sessions))
	for i, session := range sessions {
		all[i] = session.ID
	}
	return all
}
