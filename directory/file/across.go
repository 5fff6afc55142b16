package file

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"postern/directory"
	"postern/directory/mapfile"
)

// maxTwice is how many addresses of one file are told that another has.
const maxTwice = 20

// result is what came of reading one file.
type result struct {
	path string
	file *tracked // nil with an error
	err  error
}

// twice is what one file has that earlier ones have.
type twice struct {
	first map[string]int // by address: the earlier file
	all   int
}

// refuseTwice makes it a fault of the later file where two of them have an address: which is
// right, nobody can tell here.
func (s *Source) refuseTwice(ctx context.Context, results []result) {
	var tables []*directory.Table
	var owners []int // of the tables
	for i, r := range results {
		if r.file == nil {
			continue
		}
		for _, b := range r.file.blocks {
			tables, owners = append(tables, b.Table), append(owners, i)
		}
	}
	found := make(map[int]*twice)
	for d := range directory.Duplicates(tables) {
		first, again := owners[d.First], owners[d.Again]
		if found[again] == nil {
			found[again] = &twice{first: make(map[string]int)}
		}
		t := found[again]
		if t.all++; len(t.first) < maxTwice {
			t.first[d.Address] = first
		}
	}
	for again, t := range found {
		err := s.tell(ctx, results, again, t)
		results[again].file, results[again].err = nil, err
	}
}

// tell names the places of what a file has twice with others.
func (s *Source) tell(ctx context.Context, results []result, again int, t *twice) error {
	path := results[again].path
	places, err := s.find(ctx, path, t.first)
	if err != nil {
		return err
	}
	earlier := make(map[int]map[string][]mapfile.Fault)
	faults := &mapfile.Faults{File: path, More: t.all - len(t.first)}
	for address, first := range t.first {
		if earlier[first] == nil {
			if earlier[first], err = s.find(ctx, results[first].path, t.first); err != nil {
				return err
			}
		}
		here, there := places[address], earlier[first][address]
		if len(here) == 0 || len(there) == 0 {
			return changing(path)
		}
		fault := here[0]
		fault.Text = fmt.Sprintf("%s has an entry already, in %s:%d", address, results[first].path, there[0].Line)
		faults.List = append(faults.List, fault)
	}
	slices.SortFunc(faults.List, func(a, b mapfile.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return faults
}

// find reads a file once more, for the places of addresses.
func (s *Source) find(ctx context.Context, path string, addresses map[string]int) (map[string][]mapfile.Fault, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the mailbox map again: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	wanted := slices.Collect(maps.Keys(addresses))
	found, err := mapfile.Find(&text{file: f, stopped: ctx.Err, most: s.most}, s.options, wanted)
	if err != nil {
		return nil, fmt.Errorf("reading %s again: %w", path, err)
	}
	return found, nil
}
