package directory

import "postern/directory/cache"

// Counters are what happened in a directory since its start.
type Counters struct {
	Unknown    uint64                    // mailboxes that the policy for unknown ones sent somewhere
	Caches     map[string]cache.Counters // by source that is asked, shadows included
	SaveFaults map[string]uint64         // by source whose state could not be saved, so often
	Shadows    []ShadowCounters          // in the configured order
}

// Counters tells what happened.
func (d *Directory) Counters() Counters {
	c := Counters{
		Unknown: d.policy.forwarded.Load(), Caches: make(map[string]cache.Counters), SaveFaults: make(map[string]uint64),
	}
	for _, p := range d.allPlaces() {
		switch {
		case p.follower != nil:
			c.SaveFaults[p.name] = p.follower.saver.faults.Load()
		case p.asked != nil:
			c.SaveFaults[p.name] = p.asked.saver.faults.Load()
			c.Caches[p.name] = p.asked.cache.Counters()
		}
	}
	for _, s := range d.shadows {
		c.Shadows = append(c.Shadows, s.counters())
	}
	return c
}
