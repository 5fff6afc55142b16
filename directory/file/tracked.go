package file

import (
	"fmt"
	"slices"

	"postern/directory"
	"postern/directory/mapfile"
)

// tracked is a file in its last good state.
type tracked struct {
	path   string
	blocks []group
	names  int // that were given
}

// group is a block under the name by which the directory knows it.
type group struct {
	name string
	mapfile.Block
}

// known returns the tables that need not be made again.
func (t *tracked) known() map[mapfile.Sum]*directory.Table {
	known := make(map[mapfile.Sum]*directory.Table)
	if t != nil {
		for _, b := range t.blocks {
			known[b.Sum] = b.Table
		}
	}
	return known
}

// with returns the file's next state. A block that stayed keeps its name, and one that changed has the
// name of one that went, from about the same place: most of its entries
// are the same, and the directory compares them.
func (t *tracked) with(path string, blocks []mapfile.Block) *tracked {
	next := &tracked{path: path, blocks: make([]group, len(blocks))}
	names := make(map[mapfile.Sum]string)
	if t != nil {
		next.names = t.names
		for _, b := range t.blocks {
			names[b.Sum] = b.name
		}
	}
	for i, b := range blocks {
		next.blocks[i] = group{names[b.Sum], b}
		delete(names, b.Sum)
	}
	var free []string
	if t != nil {
		for _, b := range t.blocks {
			if names[b.Sum] == b.name {
				free = append(free, b.name)
			}
		}
	}
	for i := range next.blocks {
		if next.blocks[i].name != "" {
			continue
		}
		if len(free) > 0 {
			next.blocks[i].name, free = free[0], free[1:]
		} else {
			next.blocks[i].name = next.name()
		}
	}
	return next
}

// name makes a new name: the file's, and a number that can't be part of another file's.
func (t *tracked) name() string {
	if t.names++; t.names == 1 {
		return t.path
	}
	return fmt.Sprintf("%s/#%06d", t.path, t.names)
}

// equal tells whether nothing changed.
func (t *tracked) equal(o *tracked) bool {
	return o != nil && slices.EqualFunc(t.blocks, o.blocks, func(a, b group) bool { return a.Sum == b.Sum && a.Table == b.Table })
}
