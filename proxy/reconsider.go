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
	d.again(cause, f == wrongPassword)
	d.state, d.until = locating, d.now.Add(d.set.Backend)
	d.emit(inLocate, nil)
	return true
}

// again leaves the backend, so that another login can be tried for the same attempt.
func (d *dialogue) again(cause error, refused bool) {
	a := &d.attempt
	d.finish(cause, false)
	d.guards.pace.finished(a.running, d.now, refused)
	d.hangUp()
	a.entry = nil
}

// A mail client that lost its connection comes back before anybody noticed, and its old
// session still has the maildrop. So where a backend says [IN-USE], this gateway's own session of
// the mailbox, if nothing was said in it for replace_stale, is ended and the login tried
// once more. It ends without QUIT, which deletes nothing (RFC 1939, section 6).

// replace tells whether a refusal may be due to such a session, and has it ended.
func (d *dialogue) replace(f failure, cause error) bool {
	a := &d.attempt
	if f != mailboxInUse || d.set.ReplaceStale <= 0 || a.replaced {
		return false
	}
	a.replaced, a.inUse = true, cause
	d.again(cause, false)
	d.state, d.until = replacing, d.now.Add(d.set.Backend)
	d.emit(inReplace, nil)
	return true
}

// replacedOld takes the news of it: an error says that there was none.
func (d *dialogue) replacedOld(err error) {
	if d.state != replacing {
		return
	}
	if err != nil {
		d.fail(mailboxInUse, d.attempt.inUse)
		return
	}
	d.enter(d.attempt.route)
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
