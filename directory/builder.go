package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
)

// What Builder.Add refuses besides names and logins that can't be used.
var (
	ErrDuplicate = errors.New("the address has an entry already")
	errNoBackend = errors.New("no backend")
	errTableFull = errors.New("more entries than a group can hold")
)

// Builder makes a Table. It is the one way into a table, and checks what every
// source has to hold, so that none of them can forget it: addresses are made
// canonical here, and logins are of the kind that can be sent.
type Builder struct {
	table         Table
	numbers       map[string]uint32 // of backend values
	defaultDomain string            // canonical, or empty
	address       []byte            // scratch
	entry         []byte            // scratch
}

// NewBuilder returns a builder of an empty table. The default domain, which bare names
// get, is as Domain returns it, or empty.
func NewBuilder(defaultDomain string) *Builder {
	return &Builder{
		table:         Table{seed: maphash.MakeSeed()},
		numbers:       make(map[string]uint32),
		defaultDomain: defaultDomain,
	}
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

// Build returns the table. The builder is spent.
func (b *Builder) Build() *Table {
	t := b.table
	if last := len(t.chunks) - 1; last >= 0 { // a group may be small, and there may be thousands
		t.chunks[last] = append(make([]byte, 0, len(t.chunks[last])), t.chunks[last]...)
	}
	*b = Builder{}
	return &t
}

func (b *Builder) insert(v Value) error {
	t := &b.table
	if (t.entries+1)*4 > len(t.slots)*3 { // fuller, and misses probe long
		b.grow()
	}
	hash := maphash.Bytes(t.seed, b.address)
	slot, tag := t.place(hash)
	for ; t.tags[slot] != 0; slot = (slot + 1) & (len(t.slots) - 1) {
		if t.tags[slot] == tag && string(t.at(t.slots[slot]).address) == string(b.address) {
			return fmt.Errorf("%s: %w", b.address, ErrDuplicate)
		}
	}
	position, ok := b.store(v)
	if !ok {
		return errTableFull
	}
	t.tags[slot], t.slots[slot] = tag, position
	t.entries++
	return nil
}

// store appends the entry's text and returns its position.
func (b *Builder) store(v Value) (position uint32, ok bool) {
	number, known := b.numbers[v.Backend]
	if !known {
		value := strings.Clone(v.Backend) // it may be a piece of a whole file
		number = uint32(len(b.table.backends))
		b.table.backends = append(b.table.backends, value)
		b.numbers[value] = number
	}
	b.entry = appendPacked(b.entry[:0], b.address, number, v)
	t := &b.table
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+len(b.entry) > chunkSize {
		if last++; last == maxChunks {
			return 0, false
		}
		t.chunks = append(t.chunks, nil)
		if last > 0 {
			t.chunks[last] = make([]byte, 0, chunkSize)
		}
	}
	position = uint32(last<<chunkBits | len(t.chunks[last]))
	t.chunks[last] = append(t.chunks[last], b.entry...)
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
	t := &b.table
	size := max(8, 2*len(t.slots))
	t.tags, t.slots = make([]uint8, size), make([]uint32, size)
	for number, chunk := range t.chunks {
		for start := 0; start < len(chunk); {
			e := unpack(chunk[start:])
			slot, tag := t.place(maphash.Bytes(t.seed, e.address))
			for t.tags[slot] != 0 {
				slot = (slot + 1) & (size - 1)
			}
			t.tags[slot], t.slots[slot] = tag, uint32(number<<chunkBits|start)
			start += e.size
		}
	}
}
