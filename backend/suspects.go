package backend

import "time"

const (
	maxSuspects   = 1024        // remembered for each backend
	maxSuspicion  = time.Minute // how long one failed mailbox is refused at most
	maxSuspectLog = 5           // doublings of down_interval before that
)

// suspects are the mailboxes of one backend behind whose USER, PASS or AUTH it
// failed. Such a mailbox alone hears [SYS/TEMP] for a while, which doubles with each
// failure: it holds a slot until its time-out each time.
type suspects map[string]suspect

type suspect struct {
	last  time.Time // failure
	until time.Time // refused
	times int       // in a row
	trial bool      // a login of it is in progress
}

// failed counts a failure, and returns how many mailboxes failed in the window.
func (s suspects) failed(mailbox string, now time.Time, pause time.Duration) int {
	one, known := s[mailbox]
	if !known && len(s) >= maxSuspects {
		s.dropOldest()
	}
	one.last, one.trial = now, false
	one.until = now.Add(min(pause<<min(one.times, maxSuspectLog), maxSuspicion))
	one.times++
	s[mailbox] = one
	count := 0
	for _, other := range s {
		if now.Sub(other.last) <= window {
			count++
		}
	}
	return count
}

// refuses tells whether a mailbox has to wait. When its time is over one of its
// logins finds out, and the others wait for that.
func (s suspects) refuses(mailbox string, now time.Time) bool {
	one, known := s[mailbox]
	return known && (one.trial || now.Before(one.until))
}

// tried marks that a login of it is, or is not, in progress.
func (s suspects) tried(mailbox string, trial bool) {
	if one, known := s[mailbox]; known {
		one.trial = trial
		s[mailbox] = one
	}
}

func (s suspects) clear(mailbox string) { delete(s, mailbox) }

func (s suspects) reset() { clear(s) }

// expire forgets those that have been quiet for so long that the next failure is
// a new one.
func (s suspects) expire(now time.Time) {
	for mailbox, one := range s {
		if !one.trial && now.Sub(one.last) > 2*window {
			delete(s, mailbox)
		}
	}
}

func (s suspects) dropOldest() {
	oldest, found := "", false
	for mailbox, one := range s {
		if !found || one.last.Before(s[oldest].last) {
			oldest, found = mailbox, true
		}
	}
	delete(s, oldest)
}
