package proxy

import (
	"errors"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
)

// This file is the way from a route to a backend's greeting: its leave to log in, the
// connection, and TLS where that comes by command.

// enter goes on to the backend that a route names: it is asked for its leave first.
func (d *dialogue) enter(route directory.Route) {
	a := &d.attempt
	a.route = route
	if route.State == directory.Moving {
		d.fail(mailboxMoving, nil)
		return
	}
	a.running = d.guards.pace.started(route.Backend.Name, a.began)
	if !d.guards.admission {
		d.dial()
		return
	}
	d.state, d.until = queueing, d.loginBy
	d.emit(inEnter, nil)
}

// admitted takes the pool's word. There is a time for the queue, which is the pool's to keep.
func (d *dialogue) admitted(err error) {
	if d.state != queueing {
		return
	}
	var closed *backend.Unavailable
	switch {
	case err == nil:
		d.attempt.entered, d.attempt.phases.admitted = true, d.now
		d.dial()
	case errors.As(err, &closed):
		d.fail(closures[closed.Reason], err)
	default:
		d.backendFailed(err)
	}
}

// closures say what a backend that takes no login means for the client.
var closures = map[backend.Reason]failure{
	backend.Unlisted: backendUnconfigured, backend.Drained: backendDrained, backend.Broken: backendDown,
	backend.Full: backendBusy, backend.Busy: backendBusy, backend.Sick: backendDown,
}

func (d *dialogue) dial() {
	d.state, d.until = dialing, d.now.Add(d.set.Backend)
	d.emit(inDial, nil)
}

func (d *dialogue) connected(err error) {
	if d.state != dialing {
		return
	}
	if err != nil {
		d.unreached(err)
		return
	}
	a := &d.attempt
	a.open, a.phases.connected = true, d.now
	offer := d.set.Offer(a.route.Backend.Name)
	a.entry = backend.NewLogin(a.route.Backend.Entry(a.route.Login, a.forBackend(), offer, d.guards.origin(d)), d.set.Refusals)
	d.state, d.until = entering, d.now.Add(d.set.Backend)
	d.advance(backend.Greeting, nil)
}

// backendSecured goes on behind the handshake that the login asked for.
func (d *dialogue) backendSecured(err error) {
	if d.state != entering {
		return
	}
	if err != nil && d.late() {
		d.unreached(err)
		return
	}
	before := d.attempt.entry.Step()
	d.attempt.entry.Secured(err)
	d.advance(before, nil)
}

// unreached ends an attempt that didn't come through to the backend. Where our own deadline for the whole
// login cut it short, that is no word against the backend: else whoever says PASS in the last moment could
// have everybody's breaker opened.
func (d *dialogue) unreached(err error) {
	if d.late() {
		d.fail(loginTimedOut, nil)
		return
	}
	d.backendFailed(err)
}

// late tells that the time for the whole login is over.
func (d *dialogue) late() bool { return !d.now.Before(d.loginBy) }

// finish gives the leave back, with what the login says of the backend. A failure that is
// none of the backend's, such as our own deadline for the whole login, says nothing.
func (d *dialogue) finish(cause error, stay bool) {
	a := &d.attempt
	if !a.entered {
		return
	}
	a.entered = false
	if cause == nil && a.failure != succeeded && !a.failure.ofOurs() {
		cause = errNotTheBackends
	}
	p := a.phases
	d.intents = append(d.intents, intent{kind: inFinish, stay: stay, outcome: backend.Outcome{
		Err: cause, Connect: between(p.admitted, p.connected), Greeting: between(p.connected, p.greeted),
		Login: between(p.greeted, p.decided),
	}})
}

var errNotTheBackends = errors.New("the gateway ended the login")

// ofOurs tells whether a login that the backend accepted is refused all the same.
func (f failure) ofOurs() bool {
	return f == mailboxSuspended || f == mailboxFull || f == loginTooSoon
}

func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from)
}

// forBackend is what the backend gets: the client's own credentials, unless a Judge has others for it.
func (a *attempt) forBackend() pop3.Credentials {
	if len(a.route.Password.Reveal()) == 0 {
		return a.credentials
	}
	return pop3.Credentials{User: a.credentials.User, Secret: a.route.Password}
}
