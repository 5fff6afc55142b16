package directory

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"postern/pop3"
)

// Mailbox is a canonical name in the parts by which a place may know it.
type Mailbox struct {
	Address string // all of it: alice@example.com, or a bare name
	Local   string // before the last @; all of a bare name
	Domain  string // behind it; empty for a bare name
}

// Resolver is a place that is asked for one mailbox at a time: a database, an LDAP
// server. Whoever asks it keeps the answers for a while; a Resolver keeps none.
//
// Package directorytest checks its contract:
//
//   - Resolve returns what the place says of the mailbox; ErrUnknown where it has nothing; any
//     other error where it can't answer, or not in a way that can be understood. An answer
//     that names no backend can't be understood, nor can two that differ.
//   - It returns promptly when ctx is done. It may be called by many at once.
//   - What a name holds never changes what is asked: it is a parameter, or escaped.
//   - An error tells which place failed and how, and never holds a secret: not a password, not
//     a data source's name with one in it.
//   - Close ends what it keeps open. Nothing that it started is left behind.
type Resolver interface {
	Resolve(ctx context.Context, m Mailbox) (Value, error)
	Close() error
}

// Listener is a Resolver that may hear of changes.
type Listener interface {
	// Listen calls forget for each mailbox of which it hears that it changed, by its canonical
	// address, and with the empty one where it may have missed something: at the start, and after each
	// loss of its connection. It returns when ctx is done, or with an error that says why it hears
	// nothing; then it may be called again, later and later. One that was
	// not told to listen returns nil at once, and that is the end of it.
	Listen(ctx context.Context, forget func(address string)) error
}

// Judge is a place that is asked with the password, and judges that too: nginx's
// auth_http service. It is asked once for each login, and nothing of its answer is kept.
type Judge interface {
	// Judge returns where the mailbox lives, a *RefusalError where the service refuses the login, or any other
	// error where it can't answer.
	Judge(ctx context.Context, m Mailbox, l Login) (Verdict, error)
	Close() error
}

// Login is what a Judge is told of a login besides the mailbox. The password stays the caller's,
// who wipes it.
type Login struct {
	User      string // as the client typed it
	Password  pop3.Secret
	Mechanism pop3.Mechanism // of AUTH; empty for USER and PASS
	Attempt   int            // of this session, from 1
	Client    netip.Addr
	TLS       bool // the client's connection is encrypted
}

// Verdict is a Judge's yes.
type Verdict struct {
	Value
	Password pop3.Secret // for the backend, in place of the client's; empty: the client's
}

// RefusalError is a Judge's no.
type RefusalError struct {
	Code pop3.Code     // pop3.Auth unless the service said otherwise
	Wait time.Duration // how long the client's next attempt should have to wait, at least; bounded by the caller
}

func (e *RefusalError) Error() string {
	return fmt.Sprintf("the service refused the login: %s", e.Code)
}
