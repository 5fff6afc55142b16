package limits

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

// heapInUse is what live objects take.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// guarded is everything that remembers strangers.
type guarded struct {
	census    *Census
	rate      *Rate
	penalties *Penalties
	intervals *Intervals
}

func newGuarded() *guarded {
	return &guarded{NewCensus(), NewRate(), NewPenalties(), NewIntervals()}
}

// visit is one session of a stranger, and now and then of a user.
func (g *guarded) visit(now time.Time, n int, rules *Rules) error {
	addr, name := address(n), alice
	if n%2 == 0 { // half come from IPv6 networks of their own
		addr = netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 4: byte(n >> 16), 5: byte(n >> 8), 6: byte(n)})
	}
	if n%3 == 0 {
		name = fmt.Sprintf("user%d@example.com", n)
	}
	seat, err := g.census.Enter(addr, rules)
	if err != nil {
		return err
	}
	defer seat.Leave()
	g.rate.Allow(now, addr, 60)
	g.penalties.Failed(now, addr, name)
	g.penalties.Extra(now, addr, name, delay)
	if n%5 == 0 {
		g.penalties.Succeeded(now, addr, name)
		g.intervals.Allow(now, addr, name, time.Minute)
	}
	return seat.EnterMailbox(name)
}

// A million addresses cost no more than the tables: 17 MiB, and not one octet more after
// the first few.
func TestFloodKeepsMemoryFlat(t *testing.T) {
	const (
		tables = 17 << 20
		slack  = 512 << 10 // the runtime's own
	)
	strangers := 1_000_000
	if testing.Short() {
		strangers = 100_000
	}
	rules := &Rules{Sessions: 10_000, PerAddress: 200, PerMailbox: 20}
	before := heapInUse()
	g, now := newGuarded(), start
	for n := range strangers {
		now = now.Add(100 * time.Microsecond)
		if err := g.visit(now, n, rules); err != nil {
			t.Fatal(err)
		}
		if n%100_000 == 1000 {
			if used := heapInUse() - before; used > tables+slack {
				t.Fatalf("%d octets after %d strangers, want %d at most", used, n, tables+slack)
			}
		}
	}
	used := heapInUse() - before
	t.Logf("%.2f MiB after %d strangers", float64(used)/(1<<20), strangers)
	if used > tables+slack {
		t.Errorf("%d octets, want %d at most", used, tables+slack)
	}
	empty(t, g.census)
}

// What is switched off, or not needed yet, takes nothing.
func TestIdleLimitsTakeNoMemory(t *testing.T) {
	before := heapInUse()
	g := newGuarded()
	for n := range 1000 {
		g.rate.Allow(start, address(n), 0)
		g.intervals.Allow(start, address(n), alice, 0)
		g.penalties.Extra(start, address(n), alice, delay)
	}
	if used := heapInUse() - before; used > 64<<10 {
		t.Errorf("%d octets", used)
	}
	runtime.KeepAlive(g)
}

func TestAllAtOnce(t *testing.T) {
	g := newGuarded()
	rules := &Rules{PerAddress: 200}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 5000 {
				if err := g.visit(start, n%100, rules); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	empty(t, g.census)
	if extra := g.penalties.Extra(start, address(1), alice, delay); extra != 20 {
		t.Errorf("extra delay %d, want 20: failures are lost", extra)
	}
}
