package consul

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"postern/directory"
)

// maxFaults bounds how many faults an update names.
const maxFaults = 20

// update returns what is to be sent, and whether there is anything. Until everything could be read, an
// update has nothing but the reason: a piece of the first state must not serve.
func (r *run) update() (u directory.Update, news bool) {
	r.sweep()
	u.Err = r.faults()
	if !r.ready && u.Err == nil && !r.complete() {
		if !r.asked {
			return u, false
		}
		u.Err = errLoading
	}
	if r.ready || u.Err == nil {
		for name, table := range r.changed {
			u.Groups = append(u.Groups, directory.Group{Name: name, Table: table})
		}
	}
	return u, len(u.Groups) > 0 || r.asked || text(u.Err) != r.said
}

// sent notes what was sent.
func (r *run) sent(u directory.Update) {
	for _, group := range u.Groups {
		if r.changed[group.Name] == group.Table {
			delete(r.changed, group.Name)
		}
		if k := r.keys[group.Name]; k != nil {
			k.sent = true
		}
	}
	r.ready = r.ready || u.Err == nil
	r.asked, r.said = false, text(u.Err)
}

// complete tells whether all keys were read.
func (r *run) complete() bool {
	if !r.names.loaded {
		return false
	}
	for _, w := range r.watchers {
		if !w.loaded {
			return false
		}
	}
	return true
}

// faults is what is wrong now: first with Consul, then with the keys in the order of their names.
func (r *run) faults() error {
	texts := make(map[string]error)
	note := func(err error) {
		if err != nil {
			texts[err.Error()] = err
		}
	}
	note(r.names.err)
	note(r.lookErr)
	for _, w := range r.watchers {
		note(w.err)
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		faults = append(faults, texts[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.keys)) {
		if err := r.keys[name].err; err != nil {
			faults = append(faults, err)
		}
	}
	// A wrong prefix, or a Consul that was wiped before this start, must not make every user unknown.
	if !r.ready && len(faults) == 0 && r.complete() && len(r.keys) == 0 {
		faults = append(faults, fmt.Errorf("%s: %w", r.prefix, errNoKeys))
	}
	if more := len(faults) - maxFaults; more > 0 {
		faults = append(faults[:maxFaults], fmt.Errorf("and %d more", more))
	}
	return errors.Join(faults...)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
