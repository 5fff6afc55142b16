package directory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"postern/backend"
)

// sizes of the benchmarks' tables; the largest takes seconds to build and most of a gigabyte, so it
// is asked for by POSTERN_BENCH_LARGE.
func sizes() []int {
	switch {
	case testing.Short():
		return []int{1e3}
	case os.Getenv("POSTERN_BENCH_LARGE") == "":
		return []int{1e3, 1e4, 1e5, 1e6}
	}
	return []int{1e3, 1e4, 1e5, 1e6, 1e7}
}

func benchName(mailboxes int) string {
	return "mailboxes=1e" + strconv.Itoa(len(strconv.Itoa(mailboxes))-1)
}

// benchAddress is 34 octets long, as real ones are.
func benchAddress(dst []byte, i int) []byte {
	dst = append(dst, "username0000000@mail00.example.com"...)
	for at := len("username0000000") - 1; i > 0; at-- {
		dst[at] += byte(i % 10)
		i /= 10
	}
	return dst
}

func benchTable(b *testing.B, from, to int, backends []backend.Target) *Table {
	b.Helper()
	return benchBuild(b, NewBuilder(""), from, to, backends)
}

func benchBuild(b *testing.B, builder *Builder, from, to int, backends []backend.Target) *Table {
	b.Helper()
	var address []byte
	for i := from; i < to; i++ {
		address = benchAddress(address[:0], i)
		if err := builder.Add(address, Value{Backend: backends[i%len(backends)].Name}); err != nil {
			b.Fatal(err)
		}
	}
	return builder.Build()
}

// benchGroups are tables of so many entries, as the blocks of a map file or the keys of a prefix.
func benchGroups(b *testing.B, mailboxes, each int, backends []backend.Target) map[string]*Table {
	b.Helper()
	groups, builder := make(map[string]*Table), NewBuilder("")
	for from := 0; from < mailboxes; from += each {
		groups[fmt.Sprintf("group-%05d", from/each)] = benchBuild(b, builder, from, min(from+each, mailboxes), backends)
	}
	return groups
}

func benchBackends() []backend.Target {
	targets := make([]backend.Target, 400)
	for i := range targets {
		targets[i].Name = fmt.Sprintf("guest-%03d.example.net", i)
	}
	return targets
}

// BenchmarkDirectoryLocate asks for all addresses in no order, as clients do: in order, the
// processor's caches would answer.
func BenchmarkDirectoryLocate(b *testing.B) {
	targets := benchBackends()
	for _, mailboxes := range sizes() {
		d := serve(b, "example.com", targets, []string{})
		if err := d.replace(0, benchGroups(b, mailboxes, 20_000, targets)); err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		b.Run(benchName(mailboxes), func(b *testing.B) {
			b.ReportAllocs()
			random := rand.New(rand.NewPCG(1, 2))
			typed := make([]string, 1<<20)
			for i := range typed {
				typed[i] = string(benchAddress(nil, random.IntN(mailboxes)))
			}
			const batch = 16 // the clock costs as much as a small lookup
			var times []time.Duration
			began := time.Now()
			for i := 0; b.Loop(); i++ {
				if _, err := d.Locate(ctx, Query{User: typed[i%len(typed)]}); err != nil {
					b.Fatal(err)
				}
				if i%batch == batch-1 {
					now := time.Now()
					times, began = append(times, now.Sub(began)), now
				}
			}
			if slices.Sort(times); len(times) > 0 { // others on the machine disturb the mean, but not this
				b.ReportMetric(float64(times[len(times)/2])/batch, "p50-ns/op")
			}
		})
	}
}

// BenchmarkDirectoryApply replaces a group of 10,000 entries by one in which a single entry changed: moved
// to another backend, or of another address.
func BenchmarkDirectoryApply(b *testing.B) {
	const each = 10_000
	targets := benchBackends()
	for _, mailboxes := range sizes() {
		groups := benchGroups(b, mailboxes, each, targets)
		name, size := "group-00000", min(each, mailboxes)
		one := groups[name]
		other := NewBuilder("")
		for address, v := range one.All() {
			if v.Backend == targets[7].Name && len(other.backends) < 9 {
				address, v.Backend = "another."+address, targets[8].Name
			}
			if err := other.Add([]byte(address), v); err != nil {
				b.Fatal(err)
			}
		}
		tables := [...]*Table{other.Build(), one}
		d := serve(b, "example.com", targets, []string{})
		b.Run(benchName(mailboxes), func(b *testing.B) {
			if err := d.replace(0, groups); err != nil || tables[0].Len() != size {
				b.Fatal(err, tables[0].Len())
			}
			for i := 0; b.Loop(); i++ {
				groups[name] = tables[i%2]
				if err := d.replace(0, groups); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTableBuild(b *testing.B) {
	targets := benchBackends()
	for _, mailboxes := range sizes() {
		b.Run(benchName(mailboxes), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				benchTable(b, 0, mailboxes, targets)
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	for _, typed := range []string{"alice@example.com", "Alice", "bücher@example.com"} {
		b.Run("typed="+typed, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Canonical(typed, "example.com"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
