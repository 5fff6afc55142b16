package proxy

import (
	"postern/backend"
	"postern/proxy/limits"
)

// guards are the limits and the memory of past logins, as one session sees them.
// They do no I/O and take the dialogue's time, so it may ask them itself.
type guards struct {
	pace      *pace
	penalties *limits.Penalties
	intervals *limits.Intervals
	seat      *limits.Seat   // among all sessions
	ticket    *limits.Ticket // among those that have not logged in

	admission bool                           // backends are asked for their leave
	origin    func(*dialogue) backend.Origin // who the client is, as backends are told
}
