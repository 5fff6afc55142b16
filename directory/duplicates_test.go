package directory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDuplicates(t *testing.T) {
	tables := []*Table{build(t, "a g", "b g"), nil, build(t, "c g", "b h"), NewBuilder("").Build(), build(t, "a g", "d g", "c g", "b g")}
	want := []Duplicate{{"b", 0, 2}, {"a", 0, 4}, {"c", 2, 4}, {"b", 0, 4}}
	if got := slices.Collect(Duplicates(tables)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for d := range Duplicates(tables) {
		if d != want[0] {
			t.Errorf("%v", d)
		}
		break // may be left early
	}
	for _, tables := range [][]*Table{nil, tables[:1], tables[:2], {tables[0], build(t, "x g")}} {
		for d := range Duplicates(tables) {
			t.Errorf("%v, want none", d)
		}
	}
}

// TestDuplicatesAmongMany: against a map of all addresses.
func TestDuplicatesAmongMany(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	first := make(map[string]int)
	var tables []*Table
	var want []Duplicate
	for number := range 20 {
		b := NewBuilder("")
		for range 2000 {
			address := fmt.Sprintf("user%d@example.com", random.IntN(1_000_000))
			if b.Add([]byte(address), Value{Backend: "g"}) != nil {
				continue // twice in this one
			}
			if at, seen := first[address]; seen {
				want = append(want, Duplicate{address, at, number})
			} else {
				first[address] = number
			}
		}
		tables = append(tables, b.Build())
	}
	if got := slices.Collect(Duplicates(tables)); len(want) < 100 || !slices.Equal(got, want) {
		t.Errorf("%d duplicates, want %d", len(got), len(want))
	}
}
