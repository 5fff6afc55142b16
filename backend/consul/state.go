package consul

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"postern/backend"
)

// State is what the catalogue says, whole. It is not changed any more.
type State struct {
	// Targets are the backends, sorted by name. A critical one is among them.
	Targets []backend.Target
	// Absent are declared backends that the catalogue doesn't have: they take no session, but who
	// spreads mailboxes over the declared ones has to count them, or users of a guest that is away
	// would be sent to another. They have no addresses. The directory is to know them, the pool not.
	Absent []backend.Target
	// Bad says what the checks have against a backend, by name. It is hearsay.
	Bad map[string]string
	// Held are the names that Consul has no more and that stay until they are back or confirmed: too
	// many left at once.
	Held []string
	// Faults say why a backend is not, or not in all, as the catalogue has it, by name.
	Faults map[string]string
	// At is when Consul last named the instances. It alone doesn't make a state new. Zero: a
	// list was never known; the others are empty and mean nothing.
	At time.Time
	// Saved tells that the list is the one from disk, and that Consul has not answered yet.
	Saved bool
	// Err is why it may be old or not whole. It repeats no token.
	Err error

	kept kept
}

// target is what was made of a record.
type target struct {
	of record
	backend.Target
}

// state makes the whole state.
func (b *book) state() State {
	s := State{At: b.at, Saved: !b.services.current, Err: b.err(), Faults: make(map[string]string)}
	if !b.services.known || !b.declarations.known {
		s.At, s.Saved = time.Time{}, false
		s.Err = cmp.Or(s.Err, errNotAsked)
		return s
	}
	s.Bad = maps.Clone(b.bad)
	for name, err := range b.refused {
		s.Faults[clean(name)] = err.Error()
	}
	claimed := b.claims()
	made := make(map[string]target, len(b.records))
	for _, name := range slices.Sorted(maps.Keys(b.records)) {
		t := b.make(b.records[name])
		made[name] = t
		s.Targets = append(s.Targets, b.finish(t.Target, claimed, s.Faults))
		if t.of.Held {
			s.Held = append(s.Held, name)
		}
	}
	b.made = made
	s.Absent = b.absent()
	for _, name := range slices.Sorted(maps.Keys(b.declared)) {
		if b.declared[name].Held && !slices.Contains(s.Held, name) {
			s.Held = append(s.Held, name)
		}
	}
	s.kept = b.kept()
	return s
}

// err puts what is wrong into one error.
func (b *book) err() error {
	err := b.services.err
	if other := b.declarations.err; err == nil || other != nil && other.Error() == err.Error() {
		err = cmp.Or(err, other)
	} else if other != nil {
		err = fmt.Errorf("%w; %w", err, other)
	}
	switch {
	case err != nil:
		return err
	case b.services.known && !b.services.current:
		return errSaved
	case !b.services.known:
		return nil
	case len(b.records) == 0:
		return fmt.Errorf("no instance of the service %q with the tag %q can be used", b.service, b.tag)
	case b.holds():
		return errHeld
	}
	return nil
}

var (
	errSaved = errors.New("no answer of Consul yet: the saved list serves")
	errHeld  = errors.New("more than half of the backends or of the declared names left Consul at once: they are held until they are back or confirmed")
)

func (b *book) holds() bool {
	for _, r := range b.records {
		if r.Held {
			return true
		}
	}
	for _, d := range b.declared {
		if d.Held {
			return true
		}
	}
	return false
}

// make returns a record's target, the same as before while the record is the same: its TLS holds
// the sessions that the next connection resumes.
func (b *book) make(r record) target {
	old, ok := b.made[r.Name]
	if ok && slices.Equal(old.of.Addresses, r.Addresses) && maps.Equal(old.of.Settings, r.Settings) {
		old.of = r
		return old
	}
	made, _ := b.defaults.target(r) // was checked when it was taken
	if made.tls.Mode != backend.TLSNone {
		made.target.TLS = backend.NewTLS(made.tls, r.Addresses)
	}
	return target{r, made.target}
}

// claims tells whose a name is: a backend's name, or empty where more than one claims it. Guessing
// would send users to the wrong maildrop.
func (b *book) claims() map[string]string {
	claimed := make(map[string]string)
	claim := func(key, owner string) {
		if other, ok := claimed[key]; ok && other != owner {
			owner = ""
		}
		claimed[key] = owner
	}
	for key := range b.reserved {
		claimed[key] = ""
	}
	for name := range b.declared {
		claim(name, name)
	}
	for name, r := range b.records {
		claim(name, name)
		for _, host := range hosts(r.Addresses) {
			claim(host, name)
		}
		made, _ := b.defaults.target(r)
		for _, alias := range made.target.Aliases {
			claim(alias, name)
		}
	}
	return claimed
}

// finish adds what depends on the other backends and on the key.
func (b *book) finish(t backend.Target, claimed map[string]string, faults map[string]string) backend.Target {
	var aliases []string
	for _, alias := range t.Aliases {
		if claimed[alias] == t.Name {
			aliases = append(aliases, alias)
		} else {
			fault := fmt.Sprintf("alias %s is another backend's too: nobody has it", alias)
			if before := faults[t.Name]; before != "" {
				fault = before + "; " + fault
			}
			faults[t.Name] = fault
		}
	}
	t.Aliases = aliases
	if d, declared := b.declared[t.Name]; declared {
		t.Declared, t.Weight = true, cmp.Or(d.Weight, b.defaults.Target.Weight)
	}
	return t
}

// absent are the declared backends that the catalogue doesn't have. A name of the
// configuration's is declared there.
func (b *book) absent() (targets []backend.Target) {
	for _, name := range slices.Sorted(maps.Keys(b.declared)) {
		if _, there := b.records[name]; there || b.reserved[name] {
			continue
		}
		d := b.declared[name]
		targets = append(targets, backend.Target{
			Name: name, Login: b.defaults.Target.Login, Declared: true, Weight: cmp.Or(d.Weight, b.defaults.Target.Weight),
		})
	}
	return targets
}

// same tells whether two states say the same, but for their time.
func (s State) same(o State) bool {
	return s.Saved == o.Saved && s.At.IsZero() == o.At.IsZero() && text(s.Err) == text(o.Err) &&
		slices.Equal(s.Held, o.Held) && maps.Equal(s.Bad, o.Bad) && maps.Equal(s.Faults, o.Faults) &&
		reflect.DeepEqual(s.Targets, o.Targets) && reflect.DeepEqual(s.Absent, o.Absent)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
