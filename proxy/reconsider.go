package proxy

import (
	"postern/directory"
)

// A source that is asked may have moved a mailbox since it was asked last. The old
// backend refuses its user then, and a mail client that hears of a wrong password throws the
// password away. So a refusal on a kept answer has the source asked once more before
// the client is answered, and another backend gets one try.

// earlier is what the first try of an attempt came to.
type earlierTry struct {
	route   directory.Route
	failure failure
	cause   error
}

// reconsider tells whether a refusal is not the last word, and asks the source again then.
func (d *dialogue) reconsider(f failure, cause error) bool {
	a := &d.attempt
	kept := !a.route.AskedAt.IsZero() && d.now.Sub(a.route.AskedAt) > directory.FreshAge
	if a.first != nil || !kept || f != wrongPassword && f != backendPermanent {
		return false
	}
	a.first = &earlierTry{a.route, f, cause}
	d.guards.pace.finished(a.running, d.now, f == wrongPassword)
	d.hangUp()
	a.entry = nil
	d.state, d.until = locating, d.now.Add(d.set.Backend)
	d.emit(inLocate, nil)
	return true
}

// relocated takes the answer to that. Where it says nothing new, the refusal stands, and it
// does where there is no answer: the backend has judged.
func (d *dialogue) relocated(route directory.Route, err error) {
	a := &d.attempt
	moved := err == nil && (route.Backend.Name != a.first.route.Backend.Name || route.Login != a.first.route.Login)
	if moved || err == nil && route.State != a.first.route.State {
		d.enter(route)
		return
	}
	d.fail(a.first.failure, a.first.cause)
}
