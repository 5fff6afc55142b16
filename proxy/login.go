package proxy

import (
	"errors"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
)

// attempt is one login: everything between PASS, or the end of AUTH, and its
// reply. When that is given, nothing of it remains in the session.
type attempt struct {
	began       time.Time // PASS
	credentials pop3.Credentials
	route       directory.Route
	first       *earlierTry    // what came of the first backend, while another one is tried
	entered     bool           // it has the backend's leave
	entry       *backend.Login // into the backend; nil before it is connected
	open        bool           // there is a connection to the backend
	replaced    bool           // sessions of the mailbox were ended for it
	inUse       error          // the refusal that led to that
	running     *running
	failure     failure
	checks      int           // times a decoy was asked whether it would have refused by now
	penalty     int           // multiples of failure_delay that a refusal comes later for
	asked       time.Duration // how long a Judge wants the next attempt to wait
	phases      phases
}

// phases are the moments of an attempt, for the record.
type phases struct{ located, admitted, connected, greeted, decided time.Time }

// login begins an attempt: the directory is asked. It can fail at once where the
// session had to give way to others in this very moment.
func (d *dialogue) login(credentials pop3.Credentials) {
	d.attempt = attempt{began: d.now, credentials: credentials}
	d.named = false
	d.attempts++
	if !d.guards.ticket.InFlight(true) {
		d.end(byGateway, "gave way")
		return
	}
	d.state, d.until = locating, d.now.Add(d.set.Backend)
	d.flush()
	d.emit(inLocate, nil)
}

// refuse answers credentials that can't be passed on, because of octets that would end
// a line, as it answers wrong ones. Nobody is asked.
func (d *dialogue) refuse() {
	d.attempt = attempt{began: d.now, credentials: pop3.Credentials{User: d.user}}
	d.named = false
	d.fail(badCredentials, nil)
}

func (d *dialogue) query() directory.Query {
	c := d.attempt.credentials
	return directory.Query{
		User: c.User, DefaultDomain: d.peer.defaultDomain, Fresh: d.attempt.first != nil,
		Login: &directory.Login{
			User: c.User, Password: c.Secret, Mechanism: c.Mechanism, Attempt: d.attempts,
			Client: d.client.address.Addr(), TLS: d.client.encrypted,
		},
	}
}

func (d *dialogue) target() *backend.Target { return d.attempt.route.Backend }

func (d *dialogue) located(route directory.Route, err error) {
	if d.state != locating {
		return
	}
	d.attempt.phases.located = d.now
	if d.attempt.first != nil {
		d.relocated(route, err)
		return
	}
	d.attempt.route = route
	var noBackend *directory.NoBackendError
	var judged *directory.RefusalError
	switch {
	case err == nil:
		d.enter(route)
	case errors.Is(err, directory.ErrUnknown):
		d.fail(unknownMailbox, nil)
	case errors.As(err, &judged):
		d.attempt.asked = judged.Wait
		d.fail(refused(judged.Code), err)
	case errors.As(err, &noBackend):
		d.attempt.route.Mailbox, d.attempt.route.Entry = noBackend.Mailbox, noBackend.Entry
		d.fail(backendUnconfigured, err)
	case errors.Is(err, directory.ErrLogin):
		d.fail(backendUnconfigured, err)
	default:
		d.fail(directoryUnavailable, err)
	}
}

// wipe overwrites all secrets of the attempt.
func (a *attempt) wipe() {
	a.credentials.Secret.Wipe()
	a.route.Password.Wipe()
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
	if _, asked := a.entry.Challenge(); asked { // the client's answer would say nothing
		a.entry.Acknowledge()
	}
	if out := a.entry.Output(); len(out) > 0 {
		d.emit(inWriteBackend, out)
	}
	if a.entry.NeedsTLS() {
		d.until = d.now.Add(d.set.Backend)
		d.emit(inSecureBackend, nil)
		return
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
	var fault *backend.Error
	switch {
	case !errors.As(err, &fault):
	case fault.Unlearnt():
		d.set.Suspect(d.attempt.route.Backend.Name)
	case fault.Kind == backend.Refused:
		if f := refused(fault.Code); !d.replace(f, err) && !d.reconsider(f, err) {
			d.fail(f, err)
		}
		return
	}
	d.fail(backendUnreachable, err)
}

// admit ends the dialogue, if the limits that only the mailbox's owner may learn of
// allow it: the client hears the backend's own text, then what the backend said
// behind it, and the relay takes over.
func (d *dialogue) admit(reply pop3.Reply, rest []byte) {
	a := &d.attempt
	if f := d.tooMuch(a.route.Mailbox); f != succeeded {
		d.fail(f, nil)
		return
	}
	a.phases.decided = d.now
	d.finish(nil, true)
	d.guards.pace.finished(a.running, d.now, false)
	d.guards.ticket.Leave()
	d.emitVerdict(nil)
	d.say(reply)
	d.out = append(append(d.out, a.entry.Rest()...), rest...)
	d.flush()
	a.wipe()
	d.state = relaying
	d.emit(inRelay, nil)
}

// tooMuch asks the limits of the mailbox.
func (d *dialogue) tooMuch(mailbox string) failure {
	client := d.client.address.Addr()
	d.guards.penalties.Succeeded(d.now, client, mailbox)
	switch {
	case d.guards.seat.EnterMailbox(mailbox) != nil:
		return mailboxFull
	case !d.set.Limits.Exempts(client) && !d.guards.intervals.Allow(d.now, client, mailbox, d.set.LoginInterval):
		d.guards.seat.LeaveMailbox()
		return loginTooSoon
	}
	return succeeded
}

// leftover is what the client sent behind its login: the backend gets it first.
func (d *dialogue) leftover() []byte { return d.in.Rest() }

// fail ends an attempt: the verdict is recorded now, and told now or at its time.
func (d *dialogue) fail(f failure, cause error) {
	a := &d.attempt
	a.failure, a.phases.decided = f, d.now
	d.finish(cause, false)
	d.guards.pace.finished(a.running, d.now, f == wrongPassword)
	d.emitVerdict(cause)
	d.hangUp()
	a.wipe()
	d.release()
	if !f.secret() {
		d.tell()
		return
	}
	d.punish()
	d.state, d.until = delaying, nextMultiple(a.began, d.now, d.set.FailureDelay)
}

// maxAsked bounds what a Judge may ask for: each waiting session holds a place.
const maxAsked = time.Minute

// punish counts a refused login. It does so by the name that was typed, whether the
// mailbox exists or not: the delay would tell.
func (d *dialogue) punish() {
	client := d.client.address.Addr()
	if d.set.Limits.Exempts(client) {
		return
	}
	name := d.attempt.route.Mailbox
	if name == "" {
		var err error
		if name, err = directory.Canonical(d.attempt.credentials.User, d.peer.defaultDomain); err != nil {
			name = d.attempt.credentials.User
		}
	}
	d.attempt.penalty = max(d.guards.penalties.Extra(d.now, client, name, d.set.FailureDelay),
		int(min(d.attempt.asked, maxAsked)/d.set.FailureDelay))
	d.guards.penalties.Failed(d.now, client, name)
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
// have; see pace. The penalty comes on top. Whoever waits for that alone is no login in
// flight any more: else strangers could hold their places by guessing.
func (d *dialogue) delayed() {
	a := &d.attempt
	if d.now.Before(d.until) {
		return
	}
	if a.failure != wrongPassword && a.checks >= 0 && d.until.Before(d.loginBy) {
		a.checks++
		if !d.guards.pace.refusedBy(a.credentials.User, a.checks, d.set.FailureDelay, d.now) {
			d.until = d.until.Add(d.set.FailureDelay)
			return
		}
		a.checks = -1 // refused by now
	}
	if a.penalty > 0 {
		d.until = d.until.Add(time.Duration(a.penalty) * d.set.FailureDelay)
		a.penalty, a.checks = 0, -1
		d.rest()
		return
	}
	if a.credentials.Mechanism.OAuth() {
		d.challengeToken()
		return
	}
	d.tell()
}

// challengeToken tells why a token is refused before it is refused, as both OAuth
// mechanisms have it (RFC 7628, section 3.2.2). Every refusal comes so, and an
// unknown mailbox's with the words of a backend.
func (d *dialogue) challengeToken() {
	a := &d.attempt
	text := ""
	if a.entry != nil {
		text, _ = a.entry.Challenge()
	}
	text = d.guards.pace.challenge(a.credentials.Mechanism, a.credentials.User, a.route.Backend, text)
	d.out = pop3.AppendChallenge(d.out, text)
	d.state = conceding
	d.rest()
}

// rest says that no login is in flight: the session may give way to others from now on.
func (d *dialogue) rest() {
	if !d.guards.ticket.InFlight(false) {
		d.end(byGateway, "gave way")
	}
}

// concede takes the client's answer to that, which says nothing.
func (d *dialogue) concede() step {
	d.tell()
	return step{outcome: await}
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
	if d.state != ended {
		d.rest()
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
	d.finish(errNotTheBackends, false)
	d.guards.pace.finished(d.attempt.running, d.now, false)
	if d.attempt.entry != nil {
		d.attempt.entry.Stop(backend.Canceled, nil) // it overwrites what it sent
	}
	d.attempt.wipe()
	d.attempt = attempt{}
	d.user, d.named = "", false
}

func (a *attempt) step() backend.Step {
	if a.entry == nil {
		return backend.Connect
	}
	return a.entry.Step()
}
