package backend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Drain is an operator's word that a backend gets no new sessions.
type Drain struct {
	Name  string    `json:"name"` // of the backend
	By    string    `json:"by"`   // who said so
	Since time.Time `json:"since"`
}

// drains are kept by name and beside the members: an operator's word outlives a
// restart, and a catalogue that comes later than it.
type drains map[string]Drain

func (d drains) has(name string) bool {
	_, drained := d[name]
	return drained
}

// Drain lets no more sessions in to a backend, and tells whoever waits. Those that
// run go on. The caller saves [Pool.Drained]. The error says that there is no such backend.
func (p *Pool) Drain(name, by string) error {
	now := p.lock()
	defer p.unlock()
	m := p.members[name]
	if m == nil {
		return fmt.Errorf("no backend %q", name)
	}
	if !p.drains.has(name) {
		p.drains[name] = Drain{Name: name, By: by, Since: now}
	}
	m.dispatch(now)
	p.note(m)
	return nil
}

// Resume takes that back. Of a backend that is gone the word is dropped too; the
// error says that there was none, and no backend of that name.
func (p *Pool) Resume(name, by string) error {
	now := p.lock()
	defer p.unlock()
	m, drained := p.members[name], p.drains.has(name)
	if m == nil && !drained {
		return fmt.Errorf("no backend %q", name)
	}
	delete(p.drains, name)
	if m != nil && drained {
		m.admission.ramp.begin(now) // all its users have waited for this
		m.shown.by = "resumed by " + by
		m.dispatch(now)
		p.note(m)
	}
	return nil
}

// Drained returns what is to be saved, sorted by name.
func (p *Pool) Drained() []Drain {
	p.lock()
	defer p.unlock()
	return slices.SortedFunc(maps.Values(p.drains), func(a, b Drain) int { return strings.Compare(a.Name, b.Name) })
}

// Restore says again what was saved. It replaces what was said since.
func (p *Pool) Restore(saved []Drain) {
	now := p.lock()
	defer p.unlock()
	p.drains = make(drains, len(saved))
	for _, d := range saved {
		p.drains[d.Name] = d
	}
	for _, m := range p.members {
		m.dispatch(now)
		p.note(m)
	}
}
