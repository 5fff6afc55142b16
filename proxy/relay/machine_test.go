package relay

import (
	"testing"
	"time"
)

var timeouts = Timeouts{Idle: 15 * time.Minute, Linger: 30 * time.Second}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return epoch.Add(d) }

type machineTest struct {
	name     string
	events   func(m *Machine)
	deadline time.Duration
	over     bool
	result   Result
}

func machineTests() []machineTest {
	return []machineTest{
		{"fresh", func(*Machine) {}, 15 * time.Minute, false, Result{}},
		{
			"progress moves the deadline, whichever the direction",
			func(m *Machine) {
				m.Moved(ToBackend, 6, at(time.Minute))
				m.Moved(ToClient, 100, at(2*time.Minute))
			},
			17 * time.Minute, false, Result{ToBackend: 6, ToClient: 100},
		},
		{
			"a FIN leaves the other direction its linger",
			func(m *Machine) { m.Ended(ToBackend, at(time.Minute)) },
			time.Minute + 30*time.Second, false, Result{By: Client, Reason: "fin"},
		},
		{
			"progress after a FIN moves the linger",
			func(m *Machine) {
				m.Ended(ToBackend, at(0))
				m.Moved(ToClient, 10, at(29*time.Second))
			},
			59 * time.Second, false, Result{ToClient: 10, By: Client, Reason: "fin"},
		},
		{
			"two FINs end it; the first one did",
			func(m *Machine) {
				m.Ended(ToClient, at(0))
				m.Ended(ToBackend, at(time.Second))
			},
			31 * time.Second, true, Result{By: Backend, Reason: "fin"},
		},
		{
			"a reset ends both at once",
			func(m *Machine) { m.Failed(Client) },
			15 * time.Minute, true, Result{By: Client, Reason: "reset"},
		},
		{
			"what follows a reset changes nothing",
			func(m *Machine) {
				m.Failed(Backend)
				m.Failed(Client)
				m.Ended(ToClient, at(0))
				m.Expired(at(time.Hour))
			},
			15 * time.Minute, true, Result{By: Backend, Reason: "reset"},
		},
		{
			"idle",
			func(m *Machine) {
				if m.Expired(at(15*time.Minute - 1)) {
					panic("expired too early")
				}
				m.Expired(at(15 * time.Minute))
			},
			15 * time.Minute, true, Result{By: Gateway, Reason: "idle"},
		},
		{
			"linger",
			func(m *Machine) {
				m.Ended(ToClient, at(0))
				m.Expired(at(30 * time.Second))
			},
			30 * time.Second, true, Result{By: Gateway, Reason: "linger"},
		},
	}
}

func TestMachine(t *testing.T) {
	for _, tt := range machineTests() {
		t.Run(tt.name, func(t *testing.T) {
			m := NewMachine(timeouts, epoch)
			tt.events(m)
			if got := m.Deadline().Sub(epoch); got != tt.deadline {
				t.Errorf("deadline after %v, want %v", got, tt.deadline)
			}
			if m.Over() != tt.over || m.Result() != tt.result {
				t.Errorf("over %v with %+v, want %v with %+v", m.Over(), m.Result(), tt.over, tt.result)
			}
		})
	}
}
