package directory

import (
	"errors"
	"hash/maphash"
	"iter"
	"slices"
)

// index tells which of a source's groups may have an address, so that a source of a thousand
// groups is not searched group by group. It never changes: with makes the next one, which shares
// all partitions that no address came to or went from.
//
// A partition holds the addresses whose hashes begin with its number, each as the
// hash's next 16 bits and its group's number, in their order. So there is nothing to fill up,
// to grow or to hash again, and since hashes are spread evenly, a search begins next to where it ends.
type index struct{ partitions [][]uint32 }

const (
	partitionBits = 12
	partitions    = 1 << partitionBits
	tagBits       = 16
	maxGroups     = 1 << (32 - tagBits) // of one source
)

var errTooManyGroups = errors.New("more than 65536 groups")

// partitionOf returns the number of a hash's partition, and its tag in the place that it has in an entry.
func partitionOf(hash uint64) (partition int, tag uint32) {
	return int(hash >> (64 - partitionBits)), uint32(hash<<partitionBits>>32) &^ (maxGroups - 1)
}

// groups returns the numbers of groups that may have the address with this hash.
func (x *index) groups(hash uint64) iter.Seq[int] {
	return func(yield func(int) bool) {
		number, tag := partitionOf(hash)
		entries := x.partitions[number]
		at := len(entries) * int(tag>>tagBits) >> tagBits
		for at > 0 && entries[at-1] >= tag {
			at--
		}
		for at < len(entries) && entries[at] < tag {
			at++
		}
		for ; at < len(entries) && entries[at]&^(maxGroups-1) == tag; at++ {
			if !yield(int(entries[at] & (maxGroups - 1))) {
				return
			}
		}
	}
}

// groupChange is what happened to the group of a number: one of the tables may be nil.
type groupChange struct {
	number   int
	old, new *Table
}

// manyEdits is where it costs less to make all partitions anew than to look for differences.
const manyEdits = 1 << 15

// with returns the index after the changes. x may be nil: an index of nothing.
func (x *index) with(changes []groupChange) *index {
	next := &index{partitions: make([][]uint32, partitions)}
	if x == nil {
		next.replace(changes)
		return next
	}
	copy(next.partitions, x.partitions)
	edits := edits{room: manyEdits, partitions: make(map[int]*edit)}
	var large []groupChange
	for _, c := range changes {
		if !edits.note(c) {
			large = append(large, c)
		}
	}
	for number, e := range edits.partitions {
		next.partitions[number] = e.apply(next.partitions[number])
	}
	if len(large) > 0 {
		next.replace(large)
	}
	return next
}

// edits are what changes from one index to the next, by partition.
type edits struct {
	partitions map[int]*edit
	room       int // for so many addresses more
}

type edit struct{ came, went []uint32 }

// note adds what a group's change is about, unless that is too much.
func (s *edits) note(c groupChange) bool {
	came, went, ok := difference(c.old, c.new, s.room)
	if !ok {
		return false
	}
	s.room -= len(came) + len(went)
	for _, hash := range came {
		e, tag := s.edit(hash)
		e.came = append(e.came, tag|uint32(c.number))
	}
	for _, hash := range went {
		e, tag := s.edit(hash)
		e.went = append(e.went, tag|uint32(c.number))
	}
	return true
}

func (s *edits) edit(hash uint64) (*edit, uint32) {
	number, tag := partitionOf(hash)
	if s.partitions[number] == nil {
		s.partitions[number] = &edit{}
	}
	return s.partitions[number], tag
}

// apply merges the edit into a partition's entries. Two addresses may have equal
// entries: what went takes one away, not all.
func (e *edit) apply(entries []uint32) []uint32 {
	slices.Sort(e.came)
	slices.Sort(e.went)
	next := make([]uint32, 0, len(entries)+len(e.came)-len(e.went))
	came, went := e.came, e.went
	for _, entry := range entries {
		if len(went) > 0 && entry == went[0] {
			went = went[1:]
			continue
		}
		for len(came) > 0 && came[0] < entry {
			next, came = append(next, came[0]), came[1:]
		}
		next = append(next, entry)
	}
	return append(next, came...)
}

// difference returns the hashes of the addresses that are in one of the tables only, and false where
// that are more than limit. It reads both in their order, side by side, so
// that what stayed where it was is not looked up.
func difference(old, new *Table, limit int) (came, went []uint64, ok bool) {
	if new.Len()-old.Len() > limit || old.Len()-new.Len() > limit {
		return nil, nil, false
	}
	before := cursor{table: old}
	before.next()
	for e := range new.packed() {
		for before.more && string(before.entry.address) != string(e.address) && !new.has(before.entry.address) {
			went = append(went, maphash.Bytes(seed, before.entry.address))
			before.next()
		}
		if before.more && string(before.entry.address) == string(e.address) {
			before.next()
		} else if !old.has(e.address) {
			came = append(came, maphash.Bytes(seed, e.address))
		}
		if len(came)+len(went) > limit {
			return nil, nil, false
		}
	}
	for ; before.more; before.next() {
		if !new.has(before.entry.address) {
			went = append(went, maphash.Bytes(seed, before.entry.address))
		}
	}
	return came, went, len(came)+len(went) <= limit
}

// cursor goes through a table's entries at its reader's pace. iter.Pull would switch
// between two coroutines for each.
type cursor struct {
	table    *Table
	chunk    int
	position int
	entry    packed
	more     bool
}

func (c *cursor) next() {
	if c.table == nil || c.chunk == len(c.table.chunks) {
		c.more = false
		return
	}
	chunk := c.table.chunks[c.chunk]
	c.entry, c.more = unpack(chunk[c.position:]), true
	if c.position += c.entry.size; c.position == len(chunk) {
		c.chunk, c.position = c.chunk+1, 0
	}
}

// replace takes out everything of the changes' groups and puts in what they have now. It reads the tables twice,
// which costs less than to hold on to what was read.
func (x *index) replace(changes []groupChange) {
	var gone [maxGroups]bool
	sizes := make([]int, partitions)
	for _, c := range changes {
		gone[c.number] = true
		for number := range c.new.places() {
			sizes[number]++
		}
	}
	for number, entries := range x.partitions {
		stays := func(entry uint32) bool { return !gone[entry&(maxGroups-1)] }
		for _, entry := range entries {
			if stays(entry) {
				sizes[number]++
			}
		}
		next := make([]uint32, 0, sizes[number])
		for _, entry := range entries {
			if stays(entry) {
				next = append(next, entry)
			}
		}
		x.partitions[number] = next
	}
	for _, c := range changes {
		for number, tag := range c.new.places() {
			x.partitions[number] = append(x.partitions[number], tag|uint32(c.number))
		}
	}
	for _, entries := range x.partitions {
		slices.Sort(entries)
	}
}

// places returns each entry's place in an index.
func (t *Table) places() iter.Seq2[int, uint32] {
	return func(yield func(int, uint32) bool) {
		for e := range t.packed() {
			if !yield(partitionOf(maphash.Bytes(seed, e.address))) {
				return
			}
		}
	}
}
