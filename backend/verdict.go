package backend

import (
	"errors"

	"postern/pop3"
)

// verdict says what the end of a login, or of a check, tells of the backend's health.
type verdict uint8

const (
	neither       verdict = iota // nothing: our side gave up, or it was our own fault
	healthy                      // it answers; a refused password is an answer
	sickBackend                  // it let nobody in: counts at once
	sickMailbox                  // it let us in and failed behind USER, PASS or AUTH: maybe it is the mailbox
	refusesToCall                // sickBackend, and told at once: nobody listens, no way there
)

// judge is THE table of what counts. An error of another type than *Error never
// reached the backend, so it says nothing of it.
func judge(err error) verdict {
	if err == nil {
		return healthy
	}
	fault, ok := errors.AsType[*Error](err)
	if !ok || fault.Unlearnt() { // it answers, only not what was learnt of it
		return neither
	}
	switch fault.Kind {
	case Refused:
		return judgeRefusal(fault)
	case Unreachable:
		return refusesToCall
	case TimedOut, Closed, Protocol, Temporary, Unsecured:
		if fault.Step.ofMailbox() {
			return sickMailbox
		}
		return sickBackend
	}
	// Canceled: who left says nothing of where he went. Local: a breaker that opened for
	// it would take down every backend at once. Loop: it never came so far.
	return neither
}

// judgeRefusal tells a verdict about the user from one about the server. A server
// that says [SYS/TEMP] answers, so that nobody waits for nothing; but it doesn't prove
// either that somebody can log in there.
func judgeRefusal(fault *Error) verdict {
	if fault.Code == pop3.SysTemp {
		return neither
	}
	return healthy
}

// ofMailbox tells whether the backend knew by then whose login it is.
func (s Step) ofMailbox() bool {
	switch s {
	case User, Pass, Auth, Message, Challenge:
		return true
	}
	return false
}
