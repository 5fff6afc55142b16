package directory

import (
	"errors"
	"fmt"

	"postern/directory/cache"
)

// CacheOptions say how long a Resolver's answers are kept, and how hard it is asked.
type CacheOptions = cache.Options

// NamedSource is a source as logs, routes and the operator call it. Exactly one of Source,
// Resolver and Judge is set. A Judge comes last, and there is one at most: whoever else came behind
// it would be asked for mailboxes whose password it refused.
type NamedSource struct {
	Name     string // unique
	Source   Source
	Resolver Resolver
	Judge    Judge

	Cache CacheOptions // of a Resolver

	// Fingerprint is a text that differs where the source does: its path, address, query. State that was
	// saved under another is not this one's. Empty: the name does.
	Fingerprint string
}

// place is one of the sources in the order of search.
type place struct {
	name string
	// Exactly one of these is set.
	follower *follower
	asked    *asked
	judge    Judge
}

func (d *Directory) addSources(o Options) error {
	names := map[string]bool{PolicySource: true}
	for i, s := range o.Sources {
		if err := checkSource(s, names); err != nil {
			return err
		}
		if s.Judge != nil && i != len(o.Sources)-1 {
			return fmt.Errorf("source %s: one that judges passwords comes last", s.Name)
		}
		d.places = append(d.places, d.newPlace(s))
	}
	for _, s := range o.Shadow {
		if err := checkSource(s, names); err != nil {
			return err
		}
		if s.Judge != nil {
			return fmt.Errorf("source %s: one that judges passwords can't be a shadow", s.Name)
		}
		d.shadows = append(d.shadows, newShadow(d.newPlace(s)))
	}
	return nil
}

func checkSource(s NamedSource, names map[string]bool) error {
	if s.Name == "" || names[s.Name] {
		return fmt.Errorf("source %q: every source needs a name of its own", s.Name)
	}
	names[s.Name] = true
	kinds := 0
	for _, set := range [...]bool{s.Source != nil, s.Resolver != nil, s.Judge != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("source %s: it has to be followed, or asked, or a judge", s.Name)
	}
	return nil
}

func (d *Directory) newPlace(s NamedSource) *place {
	p := &place{name: s.Name, judge: s.Judge}
	switch {
	case s.Source != nil:
		p.follower = newFollower(d, uint32(len(d.followers)), s)
		d.followers = append(d.followers, p.follower)
	case s.Resolver != nil:
		p.asked = newAsked(d, s)
	}
	return p
}

// close closes what the place asks.
func (p *place) close() error {
	switch {
	case p.asked != nil:
		return p.asked.close()
	case p.judge != nil:
		return p.judge.Close()
	}
	return nil
}

// ErrNoSource means that no source has a name.
var ErrNoSource = errors.New("no such source")

// placeOf returns a source by its name, a shadow's too, or nil.
func (d *Directory) placeOf(name string) *place {
	for _, p := range d.allPlaces() {
		if p.name == name {
			return p
		}
	}
	return nil
}

// allPlaces are the sources and, behind them, the shadows.
func (d *Directory) allPlaces() []*place {
	all := append(make([]*place, 0, len(d.places)+len(d.shadows)), d.places...)
	for _, s := range d.shadows {
		all = append(all, s.place)
	}
	return all
}
