package proxy

import (
	"sync"
	"time"
)

// digestPause is how often the same thing is worth a line.
const digestPause = time.Minute

// digest keeps what strangers can cause as often as they like from filling the log.
// The words that it is asked of are few and ours. The zero value is ready for use.
type digest struct {
	mu    sync.Mutex
	lines map[string]*line
}

type line struct {
	last   time.Time
	unsaid int
}

// due tells whether to write a line now, and how often the same was not written since the last.
func (d *digest) due(now time.Time, what string) (unsaid int, due bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil {
		d.lines = make(map[string]*line)
	}
	l := d.lines[what]
	if l == nil {
		l = new(line)
		d.lines[what] = l
	}
	if !l.last.IsZero() && now.Sub(l.last) < digestPause {
		l.unsaid++
		return 0, false
	}
	unsaid, l.last, l.unsaid = l.unsaid, now, 0
	return unsaid, true
}
