package consul

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"
)

const (
	maxInstances = 10_000
	maxAddresses = 16 // of one backend
)

// record is a backend as the catalogue has it, in the form in which it is kept on disk.
type record struct {
	Name      string            `json:"name"`
	Addresses []string          `json:"addresses"`
	Settings  map[string]string `json:"settings,omitempty"` // by meta key
	Held      bool              `json:"held,omitempty"`     // it left with too many others
}

// found is a backend in one answer of Consul.
type found struct {
	record
	bad string // why all its instances are spoken against
	err error  // why it can't be taken as it is
}

// group makes backends of an answer's instances, by name. What is wrong with one
// is that one's fault and nobody else's.
func group(entries []*api.ServiceEntry) (map[string]found, error) {
	if len(entries) > maxInstances {
		return nil, fmt.Errorf("the service has %d instances: at most %d may be", len(entries), maxInstances)
	}
	byName := make(map[string][]instance)
	for _, e := range entries {
		if e == nil || e.Service == nil || e.Node == nil {
			return nil, errors.New("the answer has an instance without a service or a node")
		}
		i := read(e)
		byName[i.name] = append(byName[i.name], i)
	}
	all := make(map[string]found, len(byName))
	for name, instances := range byName {
		all[name] = join(name, instances)
	}
	return all, nil
}

// join makes one backend of its instances.
func join(name string, instances []instance) found {
	slices.SortFunc(instances, byPlace)
	f := found{record: record{Name: name, Settings: make(map[string]string)}, bad: complaints(instances)}
	if !isName(name) {
		f.err = errName
		return f
	}
	for _, i := range instances {
		if err := f.add(i, len(instances)); err != nil {
			f.err = fmt.Errorf("instance %s on node %s: %w", clean(i.id), clean(i.node), err)
			return f
		}
	}
	if len(f.Addresses) > maxAddresses {
		f.err = fmt.Errorf("more than %d addresses", maxAddresses)
	}
	return f
}

// add takes one of a backend's instances. Two of a name are one backend only where both say
// so: else they may be two guests, and a user would see another's maildrop. And while two say
// different things, as long as both are being changed, neither is the one to believe.
func (f *found) add(i instance, of int) error {
	if i.err != nil {
		return i.err
	}
	if of > 1 && !i.grouped {
		return fmt.Errorf("another instance has the same name: give each the meta key %s", guestKey)
	}
	for key, value := range i.values {
		if said, ok := f.Settings[key]; ok && said != value {
			return fmt.Errorf("meta %s: %q here and %q in another instance of this backend", key, clean(value), clean(said))
		}
		f.Settings[key] = value
	}
	if !slices.Contains(f.Addresses, i.address) {
		f.Addresses = append(f.Addresses, i.address)
	}
	return nil
}

// complaints is what speaks against a backend: as long as one of its addresses is
// well, nothing.
func complaints(instances []instance) string {
	for _, i := range instances {
		if i.bad == "" {
			return ""
		}
	}
	return instances[0].bad
}
