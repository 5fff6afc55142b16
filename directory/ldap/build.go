package ldap

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"postern/directory"
)

// build makes the tables of some parts. A part in which two entries want one address for different
// things is not among them, and told of.
func (c *content) build(wanted parts) (map[parts]*directory.Table, []string) {
	tables := make(map[parts]*directory.Table)
	if wanted == 0 {
		return tables, nil
	}
	builders := make(map[parts]*directory.Builder)
	for i := range c.parts {
		if part := parts(1) << i; wanted&part != 0 {
			builders[part] = directory.NewBuilder(c.defaultDomain)
		}
	}
	twice, faults := c.fill(builders)
	for address, wrong := range c.clashes(twice) {
		delete(builders, c.partOf(address))
		faults = append(faults, wrong)
	}
	for part, b := range builders {
		tables[part] = b.Build()
	}
	slices.Sort(faults)
	return tables, faults
}

// fill adds the rows, and returns the addresses that came more than once. A part in which anything else
// is wrong loses its builder.
func (c *content) fill(builders map[parts]*directory.Builder) (twice map[string]bool, faults []string) {
	var wanted parts
	for part := range builders {
		wanted |= part
	}
	twice = make(map[string]bool)
	for _, r := range c.rows {
		if r.in&wanted == 0 {
			continue
		}
		v, addresses := r.value()
		for _, address := range addresses {
			part := c.partOf(address)
			b := builders[part]
			if b == nil {
				continue
			}
			err := b.Add([]byte(address), v)
			switch {
			case errors.Is(err, directory.ErrDuplicate):
				twice[address] = true
			case err != nil:
				faults = append(faults, named(r.dn(), err).Error())
				delete(builders, part)
			}
		}
	}
	return twice, faults
}

func (r row) value() (directory.Value, []string) {
	login, addresses, _ := r.fields()
	return directory.Value{Backend: r.backend.Value(), Login: login, State: r.state}, addresses
}

// clashes tells which of the addresses their entries don't agree on, and who they are.
func (c *content) clashes(twice map[string]bool) map[string]string {
	faults := make(map[string]string)
	if len(twice) == 0 {
		return faults
	}
	values := make(map[string]map[directory.Value]string) // by address: a DN of each
	for _, r := range c.rows {
		if r.in == 0 {
			continue
		}
		v, addresses := r.value()
		for _, address := range addresses {
			if !twice[address] {
				continue
			}
			if values[address] == nil {
				values[address] = make(map[directory.Value]string)
			}
			values[address][v] = max(r.dn(), values[address][v])
		}
	}
	for address, by := range values {
		if len(by) > 1 {
			dns := slices.Sorted(maps.Values(by))
			faults[address] = fmt.Sprintf("%s: entries %q and %q differ", address, dns[0], dns[1])
		}
	}
	return faults
}
