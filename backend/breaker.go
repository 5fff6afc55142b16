package backend

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// What opens a breaker.
const (
	failuresInARow  = 5                // connects and greetings
	failuresOnTrial = 3                // the same where a check or the catalogue said so before
	refusedFor      = time.Second      // connects refused for that long, with no other answer between
	failedMailboxes = 3                // different ones, behind USER, PASS or AUTH
	failedShare     = 10               // and they are more than one in so many logins
	window          = 60 * time.Second // of both counts
	windowBucket    = 10 * time.Second
)

// What a login's end is called toward gobreaker, which sorts errors.
var (
	errCounts  = errors.New("counts as a failure")
	errNeither = errors.New("counts as neither")
)

type circuit = gobreaker.TwoStepCircuitBreaker[struct{}]

// newCircuit sets every knob that gobreaker has. Closed, it counts logins.
// Open, it is closed again from its half-open state by one success, which is that
// of a check, or of a login where only a login can tell; see [member.checkPassed].
func newCircuit(m *member) *circuit {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: m.target.Name,
		// One request at a time while half-open, and one success closes. How many
		// checks must succeed before that one is asked for is health.rise.
		MaxRequests: 1,
		// The counts of a closed breaker are those of the last minute. With no interval
		// four failures of last night and one of this morning were five in a row.
		Interval: window,
		// They leave it bucket by bucket, so that failures at the minute's turn don't
		// begin at one.
		BucketPeriod: windowBucket,
		// When an open breaker becomes half-open is not its own affair: only a check's
		// result asks, one that began after the opening, and checks have their own
		// pauses (health.down_interval). So the shortest there is; 0 would be a minute.
		Timeout: time.Nanosecond,
		// Called under the breaker's lock: it reads the member, and asks nothing of the
		// breaker.
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return m.tripping || c.ConsecutiveFailures >= m.tolerance()
		},
		// Called under the breaker's lock as well, so it only takes a note; see settle.
		OnStateChange: func(_ string, _, to gobreaker.State) {
			m.opened, m.closed = m.opened || to == gobreaker.StateOpen, m.closed || to == gobreaker.StateClosed
		},
		// Only judge says what is a success.
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return errors.Is(err, errNeither) },
	})
}

// tolerance is how many connects and greetings in a row may fail.
func (m *member) tolerance() uint32 {
	if m.rumour() != "" {
		return failuresOnTrial
	}
	return failuresInARow
}

// broken tells whether the breaker keeps logins out. Half-open, it lets one in
// where a check has proved as much as a check can.
func (m *member) broken() bool {
	switch m.circuit.State() {
	case gobreaker.StateClosed:
		return false
	case gobreaker.StateHalfOpen:
		return !m.proven
	}
	return true
}

// settle tells the breaker how a login ended, and looks at what that made of it.
func (m *member) settle(t *Turn, now time.Time, err error) {
	if t.epoch != m.epoch { // the breaker has moved since; it wouldn't listen either
		return
	}
	report := errNeither
	switch v := judge(err); {
	case v == healthy:
		report = nil
		m.succeeded(t, now)
	case v == neither || m.pool.stoodStill(t.began, now):
	case v == sickMailbox:
		m.admission.ramp.slip(now)
		report = m.mailboxFailed(t, now)
	case t.began.Before(m.provedAt): // somebody who came later was let in
	default:
		m.admission.ramp.slip(now)
		report = errCounts
		m.tripping = m.refusing(now, v)
	}
	m.tell(t.report, report, now, err)
}

// tell gives the breaker a result, and follows if that moved it. What a login or a
// check that began before the move has to say is not heard any more.
func (m *member) tell(report func(error), result error, now time.Time, cause error) {
	report(result)
	m.tripping = false
	opened, closed := m.opened, m.closed
	m.opened, m.closed = false, false
	switch {
	case opened:
		m.open(now, cause)
	case closed:
		m.comeBack(now)
	}
}

// open writes off the logins that are in progress: they hang where the breaker
// has just given up, and may not hold the places of those who come when it closes.
func (m *member) open(now time.Time, cause error) {
	m.epoch++
	m.openedAt, m.proven, m.goodChecks = now, false, 0
	m.deep = judge(cause) == sickMailbox
	m.refusedSince = time.Time{}
	m.why = "logins fail"
	if cause != nil {
		m.why = cause.Error()
	}
	m.admission.forget()
	m.jitter()
}

// comeBack lets users in again, few at first.
func (m *member) comeBack(now time.Time) {
	m.epoch++
	m.proven, m.why = false, ""
	m.refusedSince = time.Time{}
	m.admission.forget()
	m.admission.ramp.begin(now)
	m.suspects.reset()
	m.failedChecks, m.checksDown = 0, false
}

// succeeded notes what a success ends: all that was only said of the backend.
func (m *member) succeeded(t *Turn, now time.Time) {
	m.lastSuccess = now
	if t.began.After(m.provedAt) {
		m.provedAt = t.began
	}
	m.refusedSince = time.Time{}
	m.suspects.clear(t.visit.Mailbox)
	m.disprove("a login succeeded")
	if m.proven {
		m.shown.by = "a login succeeded"
	}
}

// refusing tells whether the backend has refused connections for long enough.
func (m *member) refusing(now time.Time, v verdict) bool {
	switch {
	case v != refusesToCall:
		m.refusedSince = time.Time{}
		return false
	case m.refusedSince.IsZero() || now.Sub(m.refusedSince) > window:
		m.refusedSince = now
	}
	return now.Sub(m.refusedSince) >= refusedFor
}

// mailboxFailed counts a failure for its mailbox. Three corrupt mailboxes,
// polled each minute, may not close a guest of 750; three failures where hardly
// anybody succeeds are the guest's. A half-open breaker has let this one login in to
// learn just that.
func (m *member) mailboxFailed(t *Turn, now time.Time) error {
	failed := m.suspects.failed(t.visit.Mailbox, now, m.pool.set.DownInterval)
	state := m.circuit.State() // the counts are those of the window only behind this
	if state == gobreaker.StateHalfOpen {
		return errCounts
	}
	if failed < failedMailboxes || m.circuit.Counts().TotalSuccesses >= uint32(failed*failedShare) {
		return errNeither
	}
	m.tripping = true
	return errCounts
}
