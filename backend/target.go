package backend

import (
	"fmt"

	"postern/pop3"
)

// LoginForm says which form of a mailbox's name a backend gets as its user name.
type LoginForm uint8

// The forms a configuration may name under `login`.
const (
	LoginMailbox LoginForm = iota // the canonical address, alice@example.com
	LoginLocal                    // its local part, alice
	LoginTyped                    // what the client typed, to the octet
)

var loginForms = [...]string{LoginMailbox: "mailbox", LoginLocal: "local", LoginTyped: "typed"}

// String returns the form's name as the configuration spells it.
func (f LoginForm) String() string { return loginForms[f] }

// ParseLoginForm reads a form's name as the configuration spells it.
func ParseLoginForm(s string) (LoginForm, error) {
	for f, name := range loginForms {
		if s == name {
			return LoginForm(f), nil
		}
	}
	return 0, fmt.Errorf("login form %q: want mailbox, local or typed", s)
}

// Target is what is known of a backend before anybody connects to it. It is a
// plain value: built once from configuration, never changed afterwards, because
// the directory hands the same slices to many sessions.
type Target struct {
	Name      string    // unique, as in logs and metrics
	Addresses []string  // HOST:PORT, several ways to one machine, tried in order; never empty
	Aliases   []string  // further names that a directory may use
	Login     LoginForm // what the backend gets as user name where the directory says nothing
	Weight    int       // its share of mailboxes, against the others'; below 1 counts as 1
	Declared  bool      // an operator wrote it down, rather than a machine that said it is here

	// Capabilities are what the backend offers, where an operator knows better than
	// the backend's CAPA: it has none but more than TOP and UIDL, or lists what
	// doesn't work, such as an AUTH PLAIN behind which no password is accepted. Nil:
	// the backend is asked. Not changed afterwards.
	Capabilities *pop3.Capabilities
}
