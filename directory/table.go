package directory

import (
	"encoding/binary"
	"hash/maphash"
	"iter"
)

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
// and an index of open addressing tells where an entry begins: about seven octets
// for each above its address. An octet of the hash beside each slot keeps a
// probe from touching the text, which is a cache miss, for a wrong entry.
type Table struct {
	seed     maphash.Seed // one for each table: nobody can choose names that collide
	tags     []uint8      // by slot; 0: free
	slots    []uint32     // by slot: the entry's position
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
	if t.entries == 0 {
		return packed{}, false
	}
	slot, tag := t.place(maphash.String(t.seed, address))
	for ; t.tags[slot] != 0; slot = (slot + 1) & (len(t.slots) - 1) {
		if t.tags[slot] != tag {
			continue
		}
		if e := t.at(t.slots[slot]); string(e.address) == address {
			return e, true
		}
	}
	return packed{}, false
}

// place tells where the search for a hash begins, and its tag, which is never 0.
// The number of slots is a power of two.
func (t *Table) place(hash uint64) (slot int, tag uint8) {
	return int(hash & uint64(len(t.slots)-1)), uint8(hash>>56) | 0x80
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

// packed returns every entry, and by that the text they lie in, which nobody may change.
func (t *Table) packed() iter.Seq[packed] {
	return func(yield func(packed) bool) {
		for _, chunk := range t.chunks {
			for len(chunk) > 0 {
				e := unpack(chunk)
				if !yield(e) {
					return
				}
				chunk = chunk[e.size:]
			}
		}
	}
}
