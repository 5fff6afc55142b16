package mapfile

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"postern/directory"
)

// join says what is wrong with a file as a whole: what its parts found, and addresses
// that are there twice, with their places. The tables don't know these: a line's number for each
// of ten million entries would be 40 MB for the sake of a file that is thrown away. So the
// file is read again.
func join(r io.ReadSeeker, o Options, parts []*part) error {
	all := Faults{File: o.File}
	var repeated []string
	for _, p := range parts {
		for _, fault := range p.faults.List {
			all.add(fault)
		}
		all.More += p.faults.More + p.repeats
		repeated = append(repeated, p.repeated[:min(len(p.repeated), maxFaults-len(repeated))]...)
	}
	across, more := acrossParts(parts)
	all.More += more
	repeated = append(repeated, across...)
	if len(repeated) > 0 {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("reading %s again: %w", o.File, err)
		}
		places, err := Find(r, o, repeated)
		if err != nil {
			return fmt.Errorf("reading %s again: %w", o.File, err)
		}
		all.place(places)
	}
	return all.err()
}

// acrossParts returns the first addresses that an earlier part has already, and how
// many there are. Parts that are known had none of each other's when they were read.
func acrossParts(parts []*part) (first []string, all int) {
	tables, known := make([]*directory.Table, len(parts)), make(map[*directory.Table]bool)
	for i, p := range parts {
		tables[i] = p.table
		if p.known {
			known[p.table] = true
		}
	}
	if len(known) == len(parts) {
		return nil, 0
	}
	for d := range directory.Duplicates(tables) {
		if all++; len(first) < maxFaults {
			first = append(first, d.Address)
		}
	}
	return first, all
}

// place puts duplicates, which so far are only counted, into the list.
func (f *Faults) place(places map[string][]Fault) {
	all := len(f.List) + f.More
	for address, lines := range places {
		for _, again := range lines[1:] {
			again.Text = fmt.Sprintf("%s has an entry already, in line %d", address, lines[0].Line)
			f.List = append(f.List, again)
		}
	}
	slices.SortFunc(f.List, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	f.List = f.List[:min(len(f.List), maxFaults)]
	f.More = all - len(f.List)
}

// Find reads a file for the places of canonical addresses, as faults that have no text yet. It
// keeps no more of each than can be told.
func Find(r io.Reader, o Options, addresses []string) (map[string][]Fault, error) {
	found := make(map[string][]Fault)
	for _, address := range addresses {
		found[address] = nil
	}
	var address []byte
	p := newParser()
	err := eachLine(r, func(number int, text []byte) {
		l, wrong := p.parse(text)
		if wrong != nil || l.empty {
			return
		}
		var err error
		if address, err = directory.AppendAddress(address[:0], l.address.text, o.DefaultDomain); err != nil {
			return
		}
		if places, wanted := found[string(address)]; wanted && len(places) <= maxFaults {
			found[string(address)] = append(places, Fault{Line: number, Column: l.address.column})
		}
	})
	return found, err
}
