package backend

import (
	"log/slog"
	"time"
)

// distrustWithin is the time in which so many backends can't all have broken.
const distrustWithin = 30 * time.Second

// distrust is the gateway's doubt of itself. When more than half of the backends
// look down within 30 s, its own network, or the catalogue, is the likelier fault: what
// checks and the catalogue say is ignored then, and logins decide as if nothing had been
// said. Breakers are not touched: logins opened them, and checks that succeed close
// them. It ends when no more than half look down.
type distrust struct {
	on    bool
	since time.Time
}

// weigh looks at all backends. Two are needed: of a single one "most" says nothing.
func (p *Pool) weigh(now time.Time) {
	all, down, lately := 0, 0, 0
	for _, m := range p.members {
		if !m.listed {
			continue
		}
		all++
		if !m.looksDown() {
			m.downSince = time.Time{}
			continue
		}
		if m.downSince.IsZero() {
			m.downSince = now
		}
		down++
		if now.Sub(m.downSince) <= distrustWithin {
			lately++
		}
	}
	switch {
	case !p.distrust.on && lately >= 2 && 2*lately > all:
		p.doubt(now, true, down, all)
	case p.distrust.on && 2*down <= all:
		p.doubt(now, false, down, all)
	}
}

func (m *member) looksDown() bool { return m.why != "" || m.rumour() != "" }

// doubt begins or ends it, with one record. The members' states follow in
// silence: a hundred records beside the alarm would say nothing more.
func (p *Pool) doubt(now time.Time, on bool, down, all int) {
	p.distrust = distrust{on: on, since: now}
	level, text := slog.LevelError, "most backends look down at once: the gateway distrusts itself and ignores checks"
	if !on {
		level, text = slog.LevelWarn, "most backends look well again: checks count again"
	}
	p.say(entry{level: level, text: text, attrs: []any{"down", down, "backends", all}})
	for _, m := range p.members {
		m.show(now)
		m.dispatch(now)
	}
}
