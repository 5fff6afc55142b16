// Package relay moves octets between a client and its backend, after the login
// and until both directions have ended. It does not look into them.
//
// The rules (when does a direction end, when both, how long may nothing happen)
// are a state machine without I/O, [Machine]; [Relay] drives it with two goroutines.
package relay
