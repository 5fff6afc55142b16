package consul

import (
	"cmp"
	"slices"

	"postern/backend"
)

// maxTold bounds the records that one change makes: ten thousand instances that fail
// together are one event.
const maxTold = 50

// tell writes what is new in a state, a record for each thing.
func (r *run) tell(old, now State) {
	log := r.options.Logger.With("service", r.options.Service)
	left := maxTold
	say := func(level func(string, ...any), text string, attrs ...any) {
		if left--; left >= 0 {
			level(text, attrs...)
		} else if left == -1 {
			log.Warn("Consul's catalogue: there is more of it than is told")
		}
	}
	if text(old.Err) != text(now.Err) {
		if now.Err != nil {
			say(log.Error, "Consul's catalogue is not well", "error", now.Err, "held", len(now.Held))
		} else {
			say(log.Info, "Consul's catalogue is well", "backends", len(now.Targets))
		}
	}
	for _, t := range now.Targets {
		if was, ok := find(old.Targets, t.Name); !ok {
			say(log.Info, "backend joined", "backend", t.Name, "addresses", t.Addresses)
		} else if !slices.Equal(was.Addresses, t.Addresses) {
			say(log.Info, "backend moved", "backend", t.Name, "addresses", t.Addresses)
		}
	}
	for _, t := range old.Targets {
		if _, ok := find(now.Targets, t.Name); !ok {
			say(log.Info, "backend left", "backend", t.Name)
		}
	}
	for name, fault := range now.Faults {
		if old.Faults[name] != fault {
			say(log.Warn, "backend in Consul's catalogue can't be taken as it is", "backend", name, "fault", fault)
		}
	}
}

func find(sorted []backend.Target, name string) (backend.Target, bool) {
	i, ok := slices.BinarySearchFunc(sorted, name, func(t backend.Target, name string) int { return cmp.Compare(t.Name, name) })
	if !ok {
		return backend.Target{}, false
	}
	return sorted[i], true
}
