package relay

import "time"

// Direction is one of the two ways that octets go.
type Direction uint8

// The two directions.
const (
	ToBackend Direction = iota
	ToClient
)

// Side is one of the two connections, or the gateway between them.
type Side uint8

// The sides.
const (
	Client Side = iota
	Backend
	Gateway
)

// from is the side that sends in a direction.
func (d Direction) from() Side { return Side(d) }

// Timeouts are how long a relay lives without progress.
type Timeouts struct {
	Idle   time.Duration // no octet either way; RFC 1939's autologout, at least ten minutes
	Linger time.Duration // no octet either way after one side sent its FIN
}

// Result is what a relay did, and how it ended.
type Result struct {
	ToBackend, ToClient int64  // octets
	By                  Side   // who ended it
	Reason              string // "fin", "reset", "idle", "linger", or what End was told
}

// Machine holds the rules of one relay. It owns no connection, clock or goroutine.
//
//   - A FIN ends its direction and is passed on; the other direction lives on to its
//     own end: a client that sends QUIT and FIN must not lose the answers before it.
//   - A RST, or a write that fails, ends both at once.
//   - Without progress in either direction, both end after Idle, or after Linger
//     once one direction has ended: a stalled session must not live for ever.
type Machine struct {
	timeouts Timeouts
	last     time.Time // of progress
	closed   [2]bool
	over     bool
	result   Result
}

// NewMachine begins a relay.
func NewMachine(t Timeouts, now time.Time) *Machine { return &Machine{timeouts: t, last: now} }

// Moved notes that n octets were delivered.
func (m *Machine) Moved(d Direction, n int, now time.Time) {
	if d == ToBackend {
		m.result.ToBackend += int64(n)
	} else {
		m.result.ToClient += int64(n)
	}
	m.last = now
}

// Ended notes a direction's FIN, all before it being delivered. The driver passes the FIN on.
func (m *Machine) Ended(d Direction, now time.Time) {
	if m.over || m.closed[d] {
		return
	}
	if !m.closed[ToBackend] && !m.closed[ToClient] {
		m.result.By, m.result.Reason = d.from(), "fin"
	}
	m.closed[d], m.last = true, now
	m.over = m.closed[ToBackend] && m.closed[ToClient]
}

// Failed notes that a side's connection broke. The driver closes both.
func (m *Machine) Failed(by Side) { m.finish(by, "reset") }

// Deadline is the time at which Expired has to be asked, unless progress moves it.
func (m *Machine) Deadline() time.Time { return m.last.Add(m.Patience()) }

// Patience is how long a relay lives without progress as it stands.
func (m *Machine) Patience() time.Duration {
	if m.lingering() {
		return m.timeouts.Linger
	}
	return m.timeouts.Idle
}

// Expired tells whether nothing has happened for too long. The driver closes both then.
func (m *Machine) Expired(now time.Time) bool {
	if !m.over && !now.Before(m.Deadline()) {
		m.Stalled()
	}
	return m.over
}

// Parted notes that somebody outside ended it, and why. The driver closes both.
func (m *Machine) Parted(why string) { m.finish(Gateway, why) }

// Stalled notes that a driver gave up waiting for progress. It closes both.
func (m *Machine) Stalled() {
	if m.lingering() {
		m.finish(Gateway, "linger")
	} else {
		m.finish(Gateway, "idle")
	}
}

// Silent tells how long nothing was delivered.
func (m *Machine) Silent(now time.Time) time.Duration { return now.Sub(m.last) }

// Over tells that both directions have ended.
func (m *Machine) Over() bool { return m.over }

// Result tells what was moved so far, and how the relay ended when it is over.
func (m *Machine) Result() Result { return m.result }

func (m *Machine) lingering() bool { return m.closed[ToBackend] || m.closed[ToClient] }

func (m *Machine) finish(by Side, reason string) {
	if m.over {
		return
	}
	m.over = true
	m.result.By, m.result.Reason = by, reason
}
