package proxy

import (
	"log/slog"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
	"postern/proxy/limits"
)

// Settings are what a session lives by: it takes them once, when it is
// accepted, so that a reload never changes the rules under a running login. They are not changed
// after they were given to a [Server].
type Settings struct {
	Plaintext    Plaintext
	FailureDelay time.Duration // from PASS to an [AUTH] refusal, which comes then or at a multiple
	MaxFailures  int           // refused logins that end a session

	Mechanisms []pop3.Mechanism // of AUTH

	Handshake    time.Duration // PROXY header, TLS handshake: each
	Login        time.Duration // from accept to the end of a successful login
	Backend      time.Duration // directory, connect, greeting: each
	BackendLogin time.Duration // each answer of the backend's login
	Idle         time.Duration // no octet either way after login
	Linger       time.Duration // no progress after one side closed

	Limits               limits.Rules
	LoginMemory          int64         // octets; of all sessions that have not logged in
	LoginInterval        time.Duration // between logins of one address to one mailbox; 0 is no limit
	ConnectionsPerMinute int           // from one address; 0 is no limit

	// What is known of the backends, learnt from them.
	Common  func() pop3.Capabilities               // what all of them offer
	Offer   func(backend string) pop3.Capabilities // what one offers; the zero value: nothing is known
	Suspect func(backend string)                   // it does not offer what it was known to offer

	ReplaceStale time.Duration // on [IN-USE], own sessions that are silent for so long give way; 0: none do
	EagerConnect bool          // at USER, while the client still types

	Refusals *backend.Refusals
	Records  RecordStyle
}

// RecordStyle says what may stand in the log.
type RecordStyle struct {
	UnknownUsers UnknownUsers
	Client       ClientStyle
}

// UnknownUsers says how a name that the directory doesn't know is logged. People
// type passwords there, hence not as it is.
type UnknownUsers uint8

// The values of log.unknown_users.
const (
	HashUnknown  UnknownUsers = iota // a keyed hash: one name can be followed, none read
	OmitUnknown                      // nothing
	PlainUnknown                     // the name
)

// ClientStyle says how much of a client's address is logged.
type ClientStyle uint8

// The values of log.client.
const (
	FullClient   ClientStyle = iota // address and port
	PrefixClient                    // the /24 or /48 it is in
)

// Options are what a [Server] is built from.
type Options struct {
	Settings  *Settings
	Directory Locator
	Dialer    Dialer
	Pool      Pool // nil: every backend may be logged in to
	// Unwanted tells why a session that has just begun shall end: what led to it changed during the login, when it
	// was none that anybody could have ended. Empty: it is wanted. Nil: all are.
	Unwanted func(directory.Route) (why string)
	Logger   *slog.Logger
	Observer Observer // nil: nobody counts
}
