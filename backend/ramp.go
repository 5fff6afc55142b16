package backend

import "time"

// A backend that comes back gets so many logins at once, and twice as many after
// each step in which none failed.
const (
	rampStart = 2
	rampStep  = time.Second
	rampEnd   = 1 << 10 // where max_logins sets no limit
)

// ramp bounds the logins of a backend that comes back: its caches are cold, and
// all its users wait for that moment. The zero value is no bound.
type ramp struct {
	limit int // 0: none
	since time.Time
}

func (r *ramp) begin(now time.Time) { r.limit, r.since = rampStart, now }

// slip holds the ramp where it is: a login failed.
func (r *ramp) slip(now time.Time) { r.since = now }

// climb goes on, up to where the ramp bounds nothing any more.
func (r *ramp) climb(now time.Time, full int) {
	if full == 0 {
		full = rampEnd
	}
	for r.limit > 0 && now.Sub(r.since) >= rampStep {
		r.limit, r.since = 2*r.limit, r.since.Add(rampStep)
		if r.limit >= full {
			r.limit = 0
		}
	}
}
