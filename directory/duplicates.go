package directory

import (
	"hash/maphash"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Duplicate is an address that more than one table has.
type Duplicate struct {
	Address      string
	First, Again int // the tables' places in the list
}

// Duplicates finds the entries whose address an earlier one of the tables has already, by the
// tables' and their entries' order.
//
// It holds two octets for each entry, not the addresses: a bitmap of hashes
// shows who may have been there before, and a second look at those tells who was.
func Duplicates(tables []*Table) iter.Seq[Duplicate] {
	return func(yield func(Duplicate) bool) {
		if len(tables) < 2 {
			return
		}
		s := suspects(tables)
		for number, table := range tables {
			for e := range table.packed() {
				first := s.seen(maphash.Bytes(seed, e.address), number)
				if first == number || !tables[first].has(e.address) {
					continue
				}
				if !yield(Duplicate{Address: string(e.address), First: first, Again: number}) {
					return
				}
			}
		}
	}
}

// suspicion holds the hashes that may be of two addresses, and who had them first.
type suspicion struct {
	marks  bitmap
	hashes []uint64 // in their order
	first  []int    // by hash: the first table's place, less than 0 before it was seen
}

// suspects returns the hashes whose bits were set already when they came.
func suspects(tables []*Table) *suspicion {
	entries := 0
	for _, table := range tables {
		entries += table.Len()
	}
	s := &suspicion{marks: newBitmap(16 * entries)}
	var todo atomic.Int64
	var looking sync.WaitGroup
	var mu sync.Mutex
	for range min(runtime.GOMAXPROCS(0), len(tables)) {
		looking.Go(func() {
			var own []uint64
			for at := todo.Add(1) - 1; at < int64(len(tables)); at = todo.Add(1) - 1 {
				for e := range tables[at].packed() {
					if hash := maphash.Bytes(seed, e.address); s.marks.set(hash) {
						own = append(own, hash)
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			s.hashes = append(s.hashes, own...)
		})
	}
	looking.Wait()
	slices.Sort(s.hashes)
	s.hashes = slices.Compact(s.hashes)
	s.first = slices.Repeat([]int{-1}, len(s.hashes))
	clear(s.marks)
	for _, hash := range s.hashes {
		s.marks.set(hash)
	}
	return s
}

// seen returns the first table that had a hash, which is the given one if none did.
func (s *suspicion) seen(hash uint64, table int) int {
	if !s.marks.has(hash) {
		return table
	}
	at, ok := slices.BinarySearch(s.hashes, hash)
	if !ok {
		return table
	}
	if s.first[at] < 0 {
		s.first[at] = table
	}
	return s.first[at]
}

// bitmap is a set of hashes that knows some which it was not given.
type bitmap []uint64

func newBitmap(size int) bitmap { return make(bitmap, size/64+1) }

func (b bitmap) place(hash uint64) (word int, mask uint64) {
	high, low := bits.Mul64(hash, uint64(len(b)))
	return int(high), 1 << (low >> 58)
}

// set tells whether the hash's bit was set before. Many may do so at once.
func (b bitmap) set(hash uint64) bool {
	word, mask := b.place(hash)
	return atomic.OrUint64(&b[word], mask)&mask != 0
}

func (b bitmap) has(hash uint64) bool {
	word, mask := b.place(hash)
	return b[word]&mask != 0
}
