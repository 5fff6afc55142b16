package backend

import "time"

// Reason is why a backend takes no login.
type Reason uint8

// The zero value is no reason.
const (
	Unlisted Reason = iota + 1 // it is no backend any more
	Drained                    // an operator said so
	Broken                     // the breaker is open
	Full                       // max_sessions
	Busy                       // max_logins: no place in the queue, or none in time
	Sick                       // this mailbox alone: the backend fails behind its login
)

var reasons = [...]string{
	Unlisted: "unlisted", Drained: "drained", Broken: "breaker open",
	Full: "full", Busy: "busy", Sick: "mailbox failing",
}

// String returns the reason as logs and metrics have it.
func (r Reason) String() string { return word(reasons[:], uint8(r)) }

// Reasons lists all there are, for metrics.
func Reasons() []Reason { return []Reason{Unlisted, Drained, Broken, Full, Busy, Sick} }

// Unavailable says why a backend isn't asked. It is temporary for the user,
// whatever it is: [SYS/TEMP].
type Unavailable struct {
	Backend string
	Reason  Reason
	Why     string        // what lies behind it, for the log: a drain's author, the last failure
	Waited  time.Duration // in the queue
}

// Error names the backend, the reason and what lies behind it.
func (e *Unavailable) Error() string {
	text := "backend " + e.Backend + ": " + e.Reason.String()
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}
