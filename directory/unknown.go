package directory

import (
	"iter"
	"slices"
)

// UnknownBackend is a value in the sources' entries that names no backend.
type UnknownBackend struct {
	NoBackendError     // with one of its mailboxes as example
	Entries        int // so many have it
}

// UnknownBackends lists values that name no backend, by source, at most so many. It reads all
// entries of the groups concerned, of followed sources, so it is for operators, not for sessions.
func (d *Directory) UnknownBackends(limit int) []UnknownBackend {
	var unknown []UnknownBackend
	s := d.current.Load()
	for _, p := range d.places {
		if p.follower == nil {
			continue
		}
		source := s.sources[p.follower.order]
		places := make(map[string]int) // in unknown
		for _, group := range source.groups {
			for e := range group.homeless() {
				value := group.table.backends[e.backend]
				place, seen := places[value]
				if !seen && len(unknown) == limit {
					continue
				}
				if !seen {
					place = len(unknown)
					places[value] = place
					unknown = append(unknown, UnknownBackend{NoBackendError: NoBackendError{
						Mailbox: string(e.address), Entry: string(e.address), Backend: value, Source: source.name,
					}})
				}
				unknown[place].Entries++
			}
		}
	}
	return unknown
}

// homeless returns the entries whose backend value names none.
func (g *groupView) homeless() iter.Seq[packed] {
	return func(yield func(packed) bool) {
		if !slices.Contains(g.backends, nil) {
			return
		}
		for e := range g.table.packed() {
			if g.backends[e.backend] == nil && !yield(e) {
				return
			}
		}
	}
}
