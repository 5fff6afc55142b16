package backend

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"postern/pop3"
)

const (
	maxProbes   = 128             // at once: a check holds a descriptor
	maxChecking = 3               // of them, of one backend that is down
	firstCheck  = 5 * time.Second // within that time, but not all backends at one moment
)

// checks are what the gateway's own checks found of one backend.
type checks struct {
	checking     int       // checks in progress
	passedAt     time.Time // when the latest good one began
	notBefore    time.Time
	checkedAt    time.Time // when the last one began
	factor       float64   // of the pause behind it: 1, give or take a tenth
	checkError   string
	failedChecks int // in a row
	goodChecks   int // in a row
	checksDown   bool
	lastSuccess  time.Time // of a login
}

func (c *checks) jitter() { c.factor = 0.9 + 0.2*rand.Float64() }

// due tells whether it is time for a check: never while logins succeed, now and then
// while nothing is known, often while the backend is down or said to be.
func (m *member) due(now time.Time) bool {
	pause, since := m.pool.set.Interval, later(m.checkedAt, m.lastSuccess)
	switch {
	case m.checking >= maxChecking || m.checking > 0 && !m.broken() || now.Before(m.notBefore):
		return false
	case m.broken() || m.failedChecks > 0 || m.rumour() != "":
		pause, since = m.pool.set.DownInterval, later(m.checkedAt, m.openedAt)
	case !m.listed || pause <= 0: // a visitor's address is only checked to bring it back
		return false
	}
	return now.Sub(since) >= time.Duration(float64(pause)*m.factor)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// startChecks starts what is due. The pause counts from a check's beginning, and
// one that hangs does not put off the next of a backend that is down: it may hang on
// a machine that has started anew since.
func (p *Pool) startChecks(ctx context.Context, now time.Time) {
	if p.prober == nil || ctx.Err() != nil {
		return
	}
	for _, m := range p.members {
		if p.probing >= maxProbes {
			return
		}
		if !m.due(now) {
			continue
		}
		m.checking, m.checkedAt = m.checking+1, now
		p.probing++
		target, timeout := m.target, p.set.Timeout
		p.probes.Go(func() {
			entered, err := p.probe(ctx, target, timeout)
			p.checked(ctx, m, target, now, entered, err)
		})
	}
}

// probe asks the prober, and knows a time-out from our own end.
func (p *Pool) probe(ctx context.Context, t Target, timeout time.Duration) (bool, error) {
	probing, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	entered, err := p.prober.Probe(probing, t)
	if err == nil || ctx.Err() != nil || probing.Err() == nil {
		return entered, err
	}
	late := &Error{Kind: TimedOut, Step: Connect, Err: context.DeadlineExceeded}
	if fault, ok := errors.AsType[*Error](err); ok {
		late.Step = fault.Step
	}
	return false, late
}

// checked takes a check's result.
func (p *Pool) checked(ctx context.Context, m *member, t Target, began time.Time, entered bool, err error) {
	now := p.lock()
	defer p.unlock()
	p.probing--
	m.checking--
	m.jitter()
	if ctx.Err() != nil || !slices.Equal(m.target.Addresses, t.Addresses) {
		return
	}
	fault, _ := errors.AsType[*Error](err)
	switch {
	case checkPasses(err):
		m.checkPassed(began, now, entered && err == nil)
	case fault == nil || fault.Kind == Local || fault.Kind == Canceled || p.stoodStill(began, now) || !began.After(later(m.provedAt, m.passedAt)):
		return
	default:
		m.checkFailed(err)
	}
	m.dispatch(now)
	p.note(m)
}

// checkPasses tells whether a check's end speaks for the backend. A probe mailbox
// that is refused has had an answer; [SYS/TEMP] to it is not the one hoped for.
func checkPasses(err error) bool {
	fault, refused := errors.AsType[*Error](err)
	return err == nil || refused && fault.Kind == Refused && fault.Code != pop3.SysTemp
}

// checkPassed closes the breaker, if the check began behind its opening and proves
// what logins failed at. A greeting proves nothing where logins failed behind PASS:
// there one login at a time is let in, and the first that succeeds closes it.
func (m *member) checkPassed(began, now time.Time, entered bool) {
	m.failedChecks, m.checkError = 0, ""
	m.goodChecks++
	m.passedAt = later(m.passedAt, began)
	if m.goodChecks < max(1, m.pool.set.Rise) {
		return
	}
	if m.checksDown {
		m.checksDown, m.shown.by = false, "checks succeed"
	}
	if entered {
		m.disprove("a check has logged in")
	}
	if m.why == "" || !began.After(m.openedAt) {
		return
	}
	if m.deep && !entered {
		m.proven = true
		return
	}
	if report, err := m.circuit.Allow(); err == nil {
		m.shown.by = "a check got through"
		m.tell(report, nil, now, nil)
	}
}

// checkFailed makes a rumour of it when it happens health.fall times in a row.
func (m *member) checkFailed(err error) {
	m.goodChecks, m.proven = 0, false
	m.failedChecks++
	m.checkError = err.Error()
	if m.failedChecks >= max(1, m.pool.set.Fall) {
		m.checksDown = true
	}
}
