package limits

import (
	"hash/maphash"
	"math"
	"net/netip"
	"time"
)

// table remembers something about as many strangers as it has slots, which is the same
// memory whoever comes: the slots are one array without pointers, so that a flood
// makes no work for the garbage collector either. They lie in buckets, as in a
// processor's cache. When a bucket is full its least recently used slot is taken; with
// half the slots in use that happens to one newcomer in a hundred or so. A list of all of
// them in order (a plain LRU) needs 116 octets a key where this needs 8 to 16, and an
// allocation for each stranger.
//
// Keys are hashed with a seed of the process, so that nobody can choose addresses that
// meet in a bucket. Of the hash 32 bits are compared: one stranger in 2^28 is taken for
// another.
//
// The array is made when first needed: what is switched off costs nothing.
type table[V any] struct {
	size  int // a power of two
	slots []slot[V]
}

// slot is a key's place. used is the second it was last used in, as Unix time
// has it; 0 is a free slot.
type slot[V any] struct {
	value V // first: behind the others, an empty one would need padding
	tag   uint32
	used  uint32
}

const bucketSlots = 16

// find returns the slot of a key, or nil. place says which bucket it is in, hash
// which of its slots; they may be the same.
func (t *table[V]) find(place, hash uint64) *slot[V] {
	bucket, tag := t.bucket(place), uint32(hash>>32)
	for i := range bucket {
		if bucket[i].tag == tag && bucket[i].used != 0 {
			return &bucket[i]
		}
	}
	return nil
}

// claim returns the slot of a key, if need be one taken from another. Then it is all zero
// but for the tag; the caller touches it.
func (t *table[V]) claim(place, hash uint64) *slot[V] {
	if t.slots == nil {
		t.slots = make([]slot[V], t.size)
	}
	bucket, tag := t.bucket(place), uint32(hash>>32)
	oldest, least := 0, uint32(math.MaxUint32)
	for i := range bucket {
		used := bucket[i].used
		if used != 0 && bucket[i].tag == tag {
			return &bucket[i]
		}
		if used < least {
			oldest, least = i, used
		}
	}
	bucket[oldest] = slot[V]{tag: tag}
	return &bucket[oldest]
}

func (t *table[V]) bucket(place uint64) []slot[V] {
	if t.slots == nil {
		return nil
	}
	first := place & uint64(t.size-1) &^ (bucketSlots - 1)
	return t.slots[first:][:bucketSlots]
}

func (s *slot[V]) touch(now time.Time) { s.used = max(uint32(now.Unix()), 1) }

// age is the time since the slot was last used, in whole seconds. If the clock was set
// back, that counts as if it had gone on: nobody waits for the old time to return.
func (s *slot[V]) age(now time.Time) time.Duration {
	return (time.Duration(now.Unix()-int64(s.used)) * time.Second).Abs()
}

// hasher turns addresses and names into keys that nobody outside can foresee.
type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{seed: maphash.MakeSeed()} }

func (h hasher) address(addr netip.Addr) uint64 {
	return maphash.Comparable(h.seed, AddressKey(addr))
}

func (h hasher) name(name string) uint64 { return maphash.String(h.seed, name) }

func (h hasher) pair(addr netip.Addr, name string) uint64 {
	return maphash.Comparable(h.seed, pair{AddressKey(addr), name})
}

// pair is an address and the name of a mailbox.
type pair struct {
	address netip.Addr
	name    string
}
