package limits

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func TestTableKeepsWhatFits(t *testing.T) {
	const keys = 8 // in a bucket of 16: none is pushed out
	table, want := table[int]{size: 4096}, map[uint64]int{}
	random := rand.New(rand.NewPCG(1, 2))
	if table.find(1, 1) != nil {
		t.Error("an empty table knows a key")
	}
	for bucket := range uint64(4096 / bucketSlots) {
		for range keys {
			hash := random.Uint64()&^4095 | bucket*bucketSlots
			s := table.claim(hash, hash)
			s.value = random.Int()
			s.touch(start)
			want[hash] = s.value
		}
	}
	for hash, value := range want {
		if s := table.find(hash, hash); s == nil || s.value != value {
			t.Errorf("%x: %v, want %d", hash, s, value)
		}
		if s := table.claim(hash, hash); s.value != value || s.used == 0 {
			t.Errorf("%x: claimed again it is %v", hash, s)
		}
		if table.find(hash, hash^1<<40) != nil || table.find(hash^bucketSlots, hash) != nil {
			t.Errorf("%x: found under another key", hash)
		}
	}
}

func TestTablePushesOutTheLeastRecentlyUsed(t *testing.T) {
	table := table[int]{size: bucketSlots}
	key := func(n int) uint64 { return uint64(n) << 32 }
	for n := range bucketSlots {
		s := table.claim(0, key(n))
		s.value = 1
		s.touch(start.Add(time.Duration(n) * time.Second))
	}
	table.find(0, key(0)).touch(start.Add(time.Hour))
	for i, gone := range []int{1, 2, 3, 4, 5, 6} {
		s := table.claim(0, key(100+i))
		if s.value != 0 || s.used != 0 {
			t.Errorf("a taken slot is not empty: %v", s)
		}
		s.touch(start.Add(2 * time.Hour))
		if table.find(0, key(gone)) != nil {
			t.Errorf("newcomer %d: key %d is still there", i, gone)
		}
	}
	for _, n := range []int{0, 7, 8, 15} {
		if table.find(0, key(n)) == nil {
			t.Errorf("key %d is gone", n)
		}
	}
}

func TestSlotAge(t *testing.T) {
	for _, tt := range []struct{ after, want time.Duration }{
		{0, 0}, {1999 * time.Millisecond, time.Second}, {time.Hour, time.Hour}, {-time.Hour, time.Hour},
	} {
		var s slot[struct{}]
		s.touch(start)
		if got := s.age(start.Add(tt.after)); got != tt.want {
			t.Errorf("%v later: %v", tt.after, got)
		}
	}
	var s slot[struct{}]
	if s.touch(time.Unix(0, 0)); s.used == 0 {
		t.Error("a slot used in 1970 looks free")
	}
}

func TestHasherTellsApart(t *testing.T) {
	h, a, b := newHasher(), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	if h.address(a) != h.address(mapped) || h.pair(a, alice) != h.pair(mapped, alice) {
		t.Error("one address has two keys")
	}
	if h.address(a) == h.address(b) || h.pair(a, alice) == h.pair(b, alice) || h.pair(a, alice) == h.pair(a, "bob") || h.name(alice) == h.name("bob") {
		t.Error("two have one key")
	}
	if other := newHasher(); other.pair(a, alice) == h.pair(a, alice) {
		t.Error("the hashes can be foreseen")
	}
}
