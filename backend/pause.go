package backend

import (
	"log/slog"
	"time"
)

// The gateway's heartbeat, and how late it may be before that means that the
// gateway itself stood still: stopped, swapped out, or its machine was.
const (
	heartbeat = 250 * time.Millisecond
	maxStill  = 3 * time.Second
)

// pulse notices that the gateway stood still. Whatever timed out meanwhile timed out
// here, and says nothing of backends. The moment it goes on, every reader
// hears of its deadline, maybe before the heartbeat is back: so each looks for
// itself.
type pulse struct {
	last   time.Time // zero: nobody beats
	resume time.Time // the end of the last standstill
}

// look notes a standstill that ends now. It returns its length, 0 for none.
func (h *pulse) look(now time.Time) time.Duration {
	if h.last.IsZero() || now.Sub(h.last) <= maxStill {
		return 0
	}
	h.resume = now
	return now.Sub(h.last)
}

// stoodStill tells whether the gateway did at some time since began.
func (p *Pool) stoodStill(began, now time.Time) bool {
	p.pulse.look(now)
	return !p.pulse.resume.IsZero() && !began.After(p.pulse.resume)
}

// beat does everything that time does, four times a second.
func (p *Pool) beat(now time.Time) {
	if still := p.pulse.look(now); still > 0 {
		p.say(entry{slog.LevelWarn, "the gateway itself stood still: what failed meanwhile counts for nobody", []any{"for", still.Round(time.Millisecond)}})
	}
	p.pulse.last = now
	for name, m := range p.members {
		m.beat(now)
		if m.idle() && (m.gone || !m.listed && now.Sub(m.idleSince) > forgetAfter) {
			delete(p.members, name)
			continue
		}
		p.note(m)
	}
	p.weigh(now)
}
