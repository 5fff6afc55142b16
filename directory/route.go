package directory

import (
	"errors"
	"fmt"
	"time"

	"postern/backend"
	"postern/pop3"
)

// Query is what a client typed, and where.
type Query struct {
	User          string
	DefaultDomain string // the listener's, as Domain returns it; empty: the directory's

	Login  *Login // what a Judge is told; nil: nobody logs in, and a Judge isn't asked
	Fresh  bool   // no kept answer older than FreshAge will do: the last one led to a refusal
	Strict bool   // the policy for unknown mailboxes is left out: only what sources say counts
	Quiet  bool   // an operator asks: it isn't counted as a mailbox that was sent somewhere, and shadows aren't compared
}

// FreshAge is how old a kept answer may be for a Query that is Fresh.
const FreshAge = 5 * time.Second

// State says whether a mailbox may be opened now.
type State uint8

// The states that an entry may name.
const (
	Active    State = iota
	Suspended       // the backend is asked, but nobody gets in
	Moving          // between two backends: come back later
)

var states = [...]string{Active: "active", Suspended: "suspended", Moving: "moving"}

// String returns the state's name as entries spell it.
func (s State) String() string { return states[s] }

// ParseState reads a state's name as entries spell it.
func ParseState(text string) (State, error) {
	for state, name := range states {
		if text == name {
			return State(state), nil
		}
	}
	return 0, fmt.Errorf("state %.40q: want active, suspended or moving", text)
}

// Route is the answer for one mailbox. A plain value.
type Route struct {
	Mailbox string // canonical: the key of limits and records
	Login   string // what the backend gets as user name, templates and forms applied
	State   State
	Backend *backend.Target // shared by many routes; nobody changes it
	Source  string          // which source answered; PolicySource: none did
	Entry   string          // what matched: the mailbox itself, or @ and its domain; empty by policy

	AskedAt  time.Time   // when a source that is asked said so; zero: it is followed, or a Judge, whose word is on this login only
	Password pop3.Secret // what a Judge wants the backend to get in place of the client's; usually empty
}

// PolicySource is the source of a route that no source knows, but the policy for unknown mailboxes.
const PolicySource = "unknown"

// Why a mailbox has no route. Only ErrUnknown is the user's mistake; the proxy
// answers it like a wrong password. A *RefusalError is a Judge's word on the password. Every other error of Locate is temporary for
// the user and an operator's to mend: telling a mail client that its password is wrong would
// make it throw the password away.
var (
	// ErrUnknown: no source knows the mailbox, or what was typed is no name.
	ErrUnknown = errors.New("no such mailbox")
	// ErrNotReady: a source that has to be asked first was never loaded. A later one
	// could send the user to the wrong mailbox.
	ErrNotReady = errors.New("a source was never loaded")
	// ErrLogin: what the backend would get as user name is empty or too long.
	ErrLogin = errors.New("no user name for the backend")
	// ErrNeedsPassword: the source that comes next judges passwords, and there is none.
	ErrNeedsPassword = errors.New("it is asked only with a password")
)

// NoBackendError says that a mailbox's entry names a backend that is not configured.
type NoBackendError struct {
	Mailbox string
	Entry   string // what matched: the mailbox itself, or @ and its domain; empty by policy
	Backend string // as the entry spells it
	Source  string
}

func (e *NoBackendError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("backend %q of the policy for unknown mailboxes is not configured", e.Backend)
	}
	return fmt.Sprintf("entry %s: backend %q of %s is not configured", e.Entry, e.Backend, e.Source)
}
