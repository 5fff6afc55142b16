package proxy

import (
	"errors"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
)

// attempt is one login: everything between PASS and its reply. When that is
// given, nothing of it remains in the session.
type attempt struct {
	began    time.Time // PASS
	password pop3.Secret
	route    directory.Route
	entry    *backend.Login // into the backend; nil before it is connected
	open     bool           // there is a connection to the backend
	running  *running
	failure  failure
	checks   int // times a decoy was asked whether it would have refused by now
	phases   phases
}

// phases are the moments of an attempt, for the record.
type phases struct{ located, connected, greeted, decided time.Time }

// login begins an attempt with the password of PASS: the directory is asked.
func (d *dialogue) login(password pop3.Secret) {
	d.attempt = attempt{began: d.now, password: password}
	d.named = false
	if pop3.HasControl([]byte(d.user)) || pop3.HasControl(password.Reveal()) {
		d.fail(badCredentials, nil)
		return
	}
	d.state, d.until = locating, d.now.Add(d.set.Backend)
	d.flush()
	d.emit(inLocate, nil)
}

func (d *dialogue) query() directory.Query {
	return directory.Query{User: d.user, DefaultDomain: d.peer.defaultDomain}
}

func (d *dialogue) target() *backend.Target { return d.attempt.route.Backend }

func (d *dialogue) located(route directory.Route, err error) {
	if d.state != locating {
		return
	}
	d.attempt.phases.located = d.now
	d.attempt.route = route
	var noBackend *directory.NoBackendError
	switch {
	case err == nil && route.State == directory.Moving:
		d.fail(mailboxMoving, nil)
	case err == nil:
		d.state, d.until = dialing, d.now.Add(d.set.Backend)
		d.attempt.running = d.pace.started(route.Backend.Name, d.attempt.began)
		d.emit(inDial, nil)
	case errors.Is(err, directory.ErrUnknown):
		d.fail(unknownMailbox, nil)
	case errors.As(err, &noBackend):
		d.attempt.route.Mailbox = noBackend.Mailbox
		d.fail(backendUnconfigured, err)
	case errors.Is(err, directory.ErrLogin):
		d.fail(backendUnconfigured, err)
	default:
		d.fail(directoryUnavailable, err)
	}
}

func (d *dialogue) connected(err error) {
	if d.state != dialing {
		return
	}
	if err != nil {
		d.backendFailed(err)
		return
	}
	a := &d.attempt
	a.open, a.phases.connected = true, d.now
	a.entry = backend.NewLogin(a.route.Login, a.password, d.set.Refusals)
	d.state, d.until = entering, d.now.Add(d.set.Backend)
	d.advance(backend.Greeting, nil)
}

func (d *dialogue) fromBackend(data []byte) {
	if d.state != entering {
		return
	}
	before := d.attempt.entry.Step()
	taken := d.attempt.entry.Input(data)
	d.advance(before, data[taken:])
}

func (d *dialogue) backendEnded(err error) {
	if d.state != entering {
		return
	}
	d.stopEntry(backend.Closed, err)
}

// stopEntry ends the login into the backend from our side of it.
func (d *dialogue) stopEntry(kind backend.Kind, err error) {
	d.attempt.entry.Stop(kind, err)
	d.advance(d.attempt.entry.Step(), nil)
}

// advance looks at where the login into the backend stands after something
// happened. rest is what the backend sent and the login did not take.
func (d *dialogue) advance(before backend.Step, rest []byte) {
	a := &d.attempt
	if out := a.entry.Output(); len(out) > 0 {
		d.emit(inWriteBackend, out)
	}
	if step := a.entry.Step(); step != before {
		if before == backend.Greeting {
			a.phases.greeted = d.now
		}
		d.until = d.now.Add(d.set.BackendLogin) // each answer has its own time
	}
	reply, err, done := a.entry.Result()
	switch {
	case !done:
	case err != nil:
		d.backendFailed(err)
	case a.route.State == directory.Suspended: // told only to who knows the password
		d.fail(mailboxSuspended, nil)
	default:
		d.admit(reply, rest)
	}
}

// backendFailed turns the error of package backend into a failure of the login.
func (d *dialogue) backendFailed(err error) {
	var refusal *backend.Error
	if errors.As(err, &refusal) && refusal.Kind == backend.Refused {
		d.fail(refused(refusal.Code), err)
		return
	}
	d.fail(backendUnreachable, err)
}

// admit ends the dialogue: the client hears the backend's own text, then what the
// backend said behind it, and the relay takes over.
func (d *dialogue) admit(reply pop3.Reply, rest []byte) {
	a := &d.attempt
	a.phases.decided = d.now
	d.pace.finished(a.running, d.now, false)
	d.emitVerdict(nil)
	d.say(reply)
	d.out = append(append(d.out, a.entry.Rest()...), rest...)
	d.flush()
	a.password.Wipe()
	d.state = relaying
	d.emit(inRelay, nil)
}

// leftover is what the client sent behind its login: the backend gets it first.
func (d *dialogue) leftover() []byte { return d.in.Rest() }

// fail ends an attempt: the verdict is recorded now, and told now or at its time.
func (d *dialogue) fail(f failure, cause error) {
	a := &d.attempt
	a.failure, a.phases.decided = f, d.now
	d.pace.finished(a.running, d.now, f == wrongPassword)
	d.emitVerdict(cause)
	d.hangUp()
	if f.secret() {
		d.state, d.until = delaying, nextMultiple(a.began, d.now, d.set.FailureDelay)
		return
	}
	d.tell()
}

// nextMultiple is the first moment after began, by a multiple of the delay, that
// is not before now.
func nextMultiple(began, now time.Time, delay time.Duration) time.Time {
	if delay <= 0 {
		return now
	}
	n := max(1, (now.Sub(began)+delay-1)/delay)
	return began.Add(n * delay)
}

// delayed is called at a multiple of failure_delay. No backend has judged
// an unknown mailbox, so its answer waits as long as a backend's refusal would
// have; see pace.
func (d *dialogue) delayed() {
	a := &d.attempt
	if d.now.Before(d.until) {
		return
	}
	if a.failure != wrongPassword && d.set.FailureDelay > 0 && d.until.Before(d.loginBy) {
		a.checks++
		if !d.pace.refusedBy(d.user, a.checks, d.set.FailureDelay, d.now) {
			d.until = d.until.Add(d.set.FailureDelay)
			return
		}
	}
	d.tell()
}

// tell gives the reply of a failed attempt and forgets it. The session is in the
// AUTHORIZATION state again, and the next USER may live elsewhere.
func (d *dialogue) tell() {
	f := d.attempt.failure
	d.forget()
	d.state = authorizing
	d.say(failures[f].reply)
	switch {
	case f == loginTimedOut:
		d.end(byGateway, "login timeout")
	case f.secret():
		if d.failures++; d.failures >= d.set.MaxFailures {
			d.end(byGateway, "failed logins")
		}
	}
}

// hangUp gives the backend's connection back; the driver closes it.
func (d *dialogue) hangUp() {
	if d.attempt.open {
		d.attempt.open = false
		d.emit(inHangUp, nil)
	}
}

// forget drops the attempt with its secrets, and the user.
func (d *dialogue) forget() {
	d.pace.finished(d.attempt.running, d.now, false)
	d.attempt.password.Wipe()
	d.attempt = attempt{}
	d.user, d.named = "", false
}

func (a *attempt) step() backend.Step {
	if a.entry == nil {
		return backend.Connect
	}
	return a.entry.Step()
}
