package limits

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// start is when the tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// address is the n-th of 2^24 IPv4 addresses.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// addresses are few, which stay in the processor's cache, and more than any table holds.
var addresses = []int{1, 1_000_000}

func eachNumber(b *testing.B, op func(n int)) {
	for _, most := range addresses {
		b.Run(fmt.Sprintf("addresses=%d", most), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				op(n % most)
				n++
			}
		})
	}
}

func BenchmarkCensusEnterLeave(b *testing.B) {
	c, rules := NewCensus(), &Rules{Sessions: 10_000, PerAddress: 200, PerMailbox: 20}
	eachNumber(b, func(n int) {
		seat, err := c.Enter(address(n), rules)
		if err != nil {
			b.Fatal(err)
		}
		if err := seat.EnterMailbox("alice@example.com"); err != nil {
			b.Fatal(err)
		}
		seat.Leave()
	})
}

func BenchmarkRateAllow(b *testing.B) {
	r := NewRate()
	eachNumber(b, func(n int) { r.Allow(start, address(n), 60) })
}

func BenchmarkIntervalsAllow(b *testing.B) {
	i := NewIntervals()
	eachNumber(b, func(n int) { i.Allow(start, address(n), "alice@example.com", time.Minute) })
}

func BenchmarkPenaltiesFailed(b *testing.B) {
	p := NewPenalties()
	eachNumber(b, func(n int) { p.Failed(start, address(n), "alice@example.com") })
}

func BenchmarkPenaltiesExtra(b *testing.B) {
	p := NewPenalties()
	for n := range 1_000_000 {
		p.Failed(start, address(n), "alice@example.com")
	}
	eachNumber(b, func(n int) { p.Extra(start, address(n), "alice@example.com", time.Second) })
}

func BenchmarkPenaltiesSucceeded(b *testing.B) {
	p := NewPenalties()
	eachNumber(b, func(n int) { p.Succeeded(start, address(n), "alice@example.com") })
}

func BenchmarkWaitingEnter(b *testing.B) {
	for _, held := range []int{0, 8192} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			w := NewWaiting(Bounds{Memory: 64 << 20})
			for range held {
				if _, err := w.Enter(SessionMemory, func() {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() { // full: each pushes out the oldest
				t, err := w.Enter(SessionMemory, func() {})
				if err != nil || !t.InFlight(true) || !t.InFlight(false) {
					b.Fatal(err)
				}
				if held == 0 {
					t.Leave()
				}
			}
		})
	}
}
