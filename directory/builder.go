package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// What Builder.Add refuses besides names and logins that can't be used.
var (
	ErrDuplicate = errors.New("the address has an entry already")
	errNoBackend = errors.New("no backend")
	errTableFull = errors.New("more entries than a group can hold")
)

// Builder makes tables, one after the other. It is the one way into a table, and checks
// what every source has to hold, so that none of them can forget it: addresses are made
// canonical here, and logins are of the kind that can be sent.
//
// What it needs beyond the tables' own memory it keeps for the next one: a map file of
// ten million entries is hundreds of tables, and must not leave as many half-grown ones behind.
type Builder struct {
	defaultDomain string            // canonical, or empty
	numbers       map[string]uint32 // of backend values
	backends      []string          // by number; each table has the beginning that it knew
	table         Table             // so far, but for its index and its last chunk
	last          []byte            // the chunk that is being filled
	tags          []uint8           // by slot; 0: free
	slots         []uint32          // by slot: the entry's position
	address       []byte            // scratch
	entry         []byte            // scratch
}

// NewBuilder returns a builder of an empty table. The default domain, which bare names
// get, is as Domain returns it, or empty.
func NewBuilder(defaultDomain string) *Builder {
	return &Builder{numbers: make(map[string]uint32), defaultDomain: defaultDomain}
}

// Add takes an entry for an address in any form, or for @domain. It keeps neither
// slice nor strings. An address that is there already is ErrDuplicate.
func (b *Builder) Add(address []byte, v Value) (err error) {
	b.address, err = AppendAddress(b.address[:0], address, b.defaultDomain)
	if err != nil {
		return fmt.Errorf("address %.80q: %w", address, err)
	}
	if v.Backend == "" {
		return errNoBackend
	}
	if err := CheckLogin(v.Login); err != nil {
		return err
	}
	return b.insert(v)
}

// Build returns the table of what was added since the last Build.
func (b *Builder) Build() *Table {
	t := &Table{
		chunks: slices.Clone(b.table.chunks), backends: b.backends[:len(b.backends):len(b.backends)],
		entries: b.table.entries,
	}
	if len(b.last) > 0 { // a group may be small, and there may be thousands
		t.chunks = append(t.chunks, append(make([]byte, 0, len(b.last)), b.last...))
		t.build()
	}
	clear(b.tags)
	clear(b.table.chunks)
	b.table.chunks, b.table.entries, b.last = b.table.chunks[:0], 0, b.last[:0]
	return t
}

func (b *Builder) insert(v Value) error {
	if (b.table.entries+1)*4 > len(b.slots)*3 {
		b.grow()
	}
	slot, tag := b.search(b.address)
	if b.tags[slot] != 0 {
		return fmt.Errorf("%s: %w", b.address, ErrDuplicate)
	}
	position, ok := b.store(v)
	if !ok {
		return errTableFull
	}
	b.tags[slot], b.slots[slot] = tag, position
	b.table.entries++
	return nil
}

// search returns an address's slot, which is free if there is none, and its tag, which is never 0.
func (b *Builder) search(address []byte) (slot int, tag uint8) {
	hash := maphash.Bytes(seed, address)
	tag = uint8(hash) | 0x80
	slot = slotOf(hash, len(b.slots))
	for b.tags[slot] != 0 && (b.tags[slot] != tag || string(b.at(b.slots[slot]).address) != string(address)) {
		slot = nextSlot(slot, len(b.slots))
	}
	return slot, tag
}

// at reads an entry also from the chunk that is being filled.
func (b *Builder) at(position uint32) packed {
	if chunk := int(position >> chunkBits); chunk == len(b.table.chunks) {
		return unpack(b.last[position&(chunkSize-1):])
	}
	return b.table.at(position)
}

// store appends the entry's text and returns its position.
func (b *Builder) store(v Value) (position uint32, ok bool) {
	number, known := b.numbers[v.Backend]
	if !known {
		value := strings.Clone(v.Backend) // it may be a piece of a whole file
		number = uint32(len(b.backends))
		b.backends = append(b.backends, value)
		b.numbers[value] = number
	}
	b.entry = appendPacked(b.entry[:0], b.address, number, v)
	t := &b.table
	if len(b.last)+len(b.entry) > chunkSize {
		if len(t.chunks) == maxChunks-1 {
			return 0, false
		}
		t.chunks = append(t.chunks, b.last)
		b.last = make([]byte, 0, chunkSize)
	}
	position = uint32(len(t.chunks)<<chunkBits | len(b.last))
	b.last = append(b.last, b.entry...)
	return position, true
}

func appendPacked(dst, address []byte, backend uint32, v Value) []byte {
	dst = append(append(dst, byte(len(address))), address...)
	head := uint64(backend)<<headBits | uint64(v.State)
	if v.Login == "" {
		return binary.AppendUvarint(dst, head)
	}
	dst = binary.AppendUvarint(dst, head|loginBit)
	return append(append(dst, byte(len(v.Login))), v.Login...)
}

// grow doubles the index. The text is read in order, which costs little.
func (b *Builder) grow() {
	size := max(8, 2*len(b.slots))
	b.tags, b.slots = make([]uint8, size), make([]uint32, size)
	text := Table{chunks: append(b.table.chunks, b.last)}
	for e, position := range text.positions() {
		slot, tag := b.search(e.address)
		b.tags[slot], b.slots[slot] = tag, position
	}
}
