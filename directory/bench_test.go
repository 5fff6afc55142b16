package directory

import (
	"context"
	"fmt"
	"testing"

	"postern/backend"
)

// sizes of the benchmarks' tables by name; the large one takes seconds to build.
func sizes() map[string]int {
	if testing.Short() {
		return map[string]int{"1e3": 1e3}
	}
	return map[string]int{"1e3": 1e3, "1e6": 1e6}
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

func benchTable(b *testing.B, mailboxes int, backends []backend.Target) *Table {
	b.Helper()
	builder := NewBuilder("")
	var address []byte
	for i := range mailboxes {
		address = benchAddress(address[:0], i)
		if err := builder.Add(address, Value{Backend: backends[i%len(backends)].Name}); err != nil {
			b.Fatal(err)
		}
	}
	return builder.Build()
}

func benchBackends() []backend.Target {
	targets := make([]backend.Target, 400)
	for i := range targets {
		targets[i].Name = fmt.Sprintf("guest-%03d.example.net", i)
	}
	return targets
}

func BenchmarkDirectoryLocate(b *testing.B) {
	targets := benchBackends()
	for name, mailboxes := range sizes() {
		d := serve(b, "example.com", targets, []string{})
		if err := d.replace(0, map[string]*Table{"g": benchTable(b, mailboxes, targets)}); err != nil {
			b.Fatal(err)
		}
		typed := make([]string, 1<<14)
		for i := range typed {
			typed[i] = string(benchAddress(nil, i*7919%mailboxes))
		}
		ctx := context.Background()
		b.Run("mailboxes="+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := d.Locate(ctx, Query{User: typed[i%len(typed)]}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTableBuild(b *testing.B) {
	targets := benchBackends()
	for name, mailboxes := range sizes() {
		b.Run("mailboxes="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				benchTable(b, mailboxes, targets)
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
