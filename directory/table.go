package directory

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math/bits"
)

// seed is the process's own: nobody can choose names that collide. All tables share it, so
// that a lookup hashes once, whatever it asks.
var seed = maphash.MakeSeed()

// Value is what an entry says about its address.
type Value struct {
	Backend string // a name, alias or address of a backend, as the source spells it
	Login   string // user name for the backend, with places to fill in; empty: the backend's form
	State   State
}

// Table holds the entries of one group. It never changes, so that any number of
// lookups may read it while its successor is built.
//
// A site may have ten million mailboxes, and a map or a database row costs
// several times the address itself. So the entries' text is packed into chunks,
// and an index of open addressing tells where an entry begins: less than nine octets
// for each above its address. What a slot's position leaves of its 32 bits holds a piece of the
// hash, which keeps a probe from touching the text of a wrong entry: that is a cache miss.
type Table struct {
	slots    []uint32 // 0: free; else a tag, and below it 1 + the entry's position
	tagged   uint     // the tags' place in a slot
	chunks   [][]byte
	backends []string // by number, each value once
	entries  int
}

// A position is a chunk's number and the place in it.
const (
	chunkBits = 20
	chunkSize = 1 << chunkBits
	maxChunks = 1 << (32 - chunkBits)
)

// packed is one entry as it lies in its chunk:
//
//	length, address, backend<<3 | login?<<2 | state as a varint, [length, login]
type packed struct {
	address []byte
	login   []byte
	backend uint32
	state   State
	size    int
}

const (
	stateBits = 2
	loginBit  = 1 << stateBits
	headBits  = stateBits + 1
)

func unpack(chunk []byte) packed {
	n := 1 + int(chunk[0])
	e := packed{address: chunk[1:n]}
	head, width := binary.Uvarint(chunk[n:])
	n += width
	e.state, e.backend = State(head&(loginBit-1)), uint32(head>>headBits)
	if head&loginBit != 0 {
		end := n + 1 + int(chunk[n])
		e.login, n = chunk[n+1:end], end
	}
	e.size = n
	return e
}

func (t *Table) at(position uint32) packed {
	return unpack(t.chunks[position>>chunkBits][position&(chunkSize-1):])
}

// find looks a canonical address up, without allocating.
func (t *Table) find(address string) (packed, bool) {
	return findHashed(t, address, maphash.String(seed, address))
}

// findHashed does so for an address with this hash.
func findHashed[A string | []byte](t *Table, address A, hash uint64) (packed, bool) {
	if t.Len() == 0 {
		return packed{}, false
	}
	tag := tagOf(hash, t.tagged)
	for at := slotOf(hash, len(t.slots)); t.slots[at] != 0; at = nextSlot(at, len(t.slots)) {
		if t.slots[at]>>t.tagged<<t.tagged != tag {
			continue
		}
		if e := t.at(t.slots[at] - tag - 1); string(e.address) == string(address) {
			return e, true
		}
	}
	return packed{}, false
}

// has tells whether there is an entry for a canonical address.
func (t *Table) has(address []byte) bool {
	_, ok := findHashed(t, address, maphash.Bytes(seed, address))
	return ok
}

// slotOf tells at which slot the search for a hash begins: the hash's high bits, spread
// over a number of slots that need not be a power of two, so that no table is larger than it must be.
func slotOf(hash uint64, slots int) int {
	high, _ := bits.Mul64(hash, uint64(slots))
	return int(high)
}

func nextSlot(slot, slots int) int {
	if slot++; slot == slots {
		return 0
	}
	return slot
}

// tagOf takes bits that have no part in the place.
func tagOf(hash uint64, place uint) uint32 { return uint32(hash) >> place << place }

// build makes the table's index, of the size that it needs: fuller, and misses probe long.
func (t *Table) build() {
	t.slots = make([]uint32, t.entries+t.entries/3+1)
	last := len(t.chunks) - 1
	t.tagged = uint(bits.Len(uint(last<<chunkBits | len(t.chunks[last]))))
	for e, position := range t.positions() {
		hash := maphash.Bytes(seed, e.address)
		at := slotOf(hash, len(t.slots))
		for t.slots[at] != 0 {
			at = nextSlot(at, len(t.slots))
		}
		t.slots[at] = tagOf(hash, t.tagged) + position + 1
	}
}

// positions returns every entry and where it begins.
func (t *Table) positions() iter.Seq2[packed, uint32] {
	return func(yield func(packed, uint32) bool) {
		for number, chunk := range t.chunks {
			for start := 0; start < len(chunk); {
				e := unpack(chunk[start:])
				if !yield(e, uint32(number<<chunkBits|start)) {
					return
				}
				start += e.size
			}
		}
	}
}

func (t *Table) value(e packed) Value {
	return Value{Backend: t.backends[e.backend], Login: string(e.login), State: e.state}
}

// Len tells the number of entries. A nil table has none.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.entries
}

// Get returns the entry of a canonical address, or of @domain.
func (t *Table) Get(address string) (Value, bool) {
	e, ok := t.find(address)
	if !ok {
		return Value{}, false
	}
	return t.value(e), true
}

// All returns every entry in the order in which they were added.
func (t *Table) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for e := range t.packed() {
			if !yield(string(e.address), t.value(e)) {
				return
			}
		}
	}
}

// packed returns every entry, and by that the text they lie in, which nobody may change. A
// nil table has none.
func (t *Table) packed() iter.Seq[packed] {
	return func(yield func(packed) bool) {
		if t == nil {
			return
		}
		for e := range t.positions() {
			if !yield(e) {
				return
			}
		}
	}
}
