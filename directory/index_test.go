package directory

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"postern/backend"
)

// wild is a source's groups as plain maps, which change at random.
type wild struct {
	random *rand.Rand
	groups map[string]map[string]string // by group: address to backend
	tables map[string]*Table
}

func newWild(n uint64) *wild {
	return &wild{
		random: rand.New(rand.NewPCG(n, n)),
		groups: make(map[string]map[string]string), tables: make(map[string]*Table),
	}
}

// change makes one of the changes that a source may see.
func (w *wild) change(t *testing.T) {
	name := fmt.Sprintf("g%02d", w.random.IntN(40))
	group := w.groups[name]
	switch size := []int{0, 1, 3, 30, 300}[w.random.IntN(5)]; {
	case group == nil || w.random.IntN(4) == 0: // anew
		group = make(map[string]string)
		for range size {
			w.put(group)
		}
	default: // a little
		for address := range group {
			if w.random.IntN(len(group)) == 0 {
				delete(group, address)
			}
		}
		w.put(group)
	}
	w.groups[name] = group
	if w.tables[name] = w.build(t, group); len(group) == 0 {
		delete(w.groups, name)
		delete(w.tables, name)
	}
}

// put adds an address, which other groups may have too.
func (w *wild) put(group map[string]string) {
	group[fmt.Sprintf("user%d@example.com", w.random.IntN(1000))] = fmt.Sprintf("guest-%d", w.random.IntN(5))
}

func (w *wild) build(t *testing.T, group map[string]string) *Table {
	b := NewBuilder("")
	addresses := slices.Collect(maps.Keys(group))
	w.random.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	for _, address := range addresses {
		if err := b.Add([]byte(address), Value{Backend: group[address]}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

// want is the backend of an address by the first group that has it, or nothing.
func (w *wild) want(address string) string {
	for _, name := range slices.Sorted(maps.Keys(w.groups)) {
		if value, ok := w.groups[name][address]; ok {
			return value
		}
	}
	return ""
}

// TestManyGroupsAnswerAsOne: whatever comes, goes, moves between groups or is in several
// of them, the answer is that of a search group by group.
func TestManyGroupsAnswerAsOne(t *testing.T) {
	var targets []backend.Target
	for i := range 5 {
		targets = append(targets, backend.Target{Name: fmt.Sprintf("guest-%d", i)})
	}
	for n := range uint64(3) {
		w, indexed := newWild(n), 0
		d := serve(t, "", targets, []string{})
		for step := range 60 {
			for range 1 + w.random.IntN(3) {
				w.change(t)
			}
			if step%20 == 19 { // below what is indexed, and up again
				for name := range w.groups {
					if len(w.groups) > 3 {
						delete(w.groups, name)
						delete(w.tables, name)
					}
				}
			}
			if step%20 == 10 {
				if err := d.SetBackends(targets, Fallback{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.replace(0, w.tables); err != nil {
				t.Fatal(err)
			}
			if d.current.Load().sources[0].index != nil {
				indexed++
			}
			for i := range 1000 {
				address := fmt.Sprintf("user%d@example.com", i)
				got := ""
				if r, err := d.Locate(t.Context(), Query{User: address}); err == nil {
					got = r.Backend.Name
				}
				if want := w.want(address); got != want {
					t.Fatalf("%d, step %d: %s is at %q, want %q", n, step, address, got, want)
				}
			}
			checkIndex(t, d)
		}
		if indexed < 30 {
			t.Errorf("only %d states had an index", indexed)
		}
	}
}

// checkIndex wants the index to hold each entry of each group once, and nothing else.
func checkIndex(t *testing.T, d *Directory) {
	t.Helper()
	s := &d.current.Load().sources[0]
	if s.index == nil {
		return
	}
	want := make(map[uint64]int)
	for _, g := range s.groups {
		if s.numbered[g.number] != g {
			t.Fatalf("group %s has not its number", g.name)
		}
		for partition, tag := range g.table.places() {
			want[uint64(partition)<<32|uint64(tag)|uint64(g.number)]++
		}
	}
	for partition, entries := range s.index.partitions {
		if !slices.IsSorted(entries) {
			t.Fatalf("partition %d is in no order", partition)
		}
		for _, entry := range entries {
			want[uint64(partition)<<32|uint64(entry)]--
		}
	}
	for entry, n := range want {
		if n != 0 {
			t.Fatalf("entry %x is there %d times too rarely", entry, n)
		}
	}
}

// TestAChangeTouchesItsPartitionsOnly: what costs nothing for a moved mailbox, and little for a new one.
func TestAChangeTouchesItsPartitionsOnly(t *testing.T) {
	line := func(group, i int) string { return fmt.Sprintf("user%d@%d.example guest-01", i, group) }
	tables := make(map[string]*Table)
	var lines []string
	for group := range 10 {
		lines = nil
		for i := range 1000 {
			lines = append(lines, line(group, i))
		}
		tables[fmt.Sprint(group)] = build(t, lines...)
	}
	d := serve(t, "", guests, []string{})
	apply := func() *index {
		if err := d.replace(0, tables); err != nil {
			t.Fatal(err)
		}
		checkIndex(t, d)
		return d.current.Load().sources[0].index
	}
	before := apply()
	lines[7] = strings.ReplaceAll(lines[7], "guest-01", "guest-02")
	tables["9"] = build(t, lines...)
	after := apply()
	if n := touched(before, after); n != 0 {
		t.Errorf("%d partitions changed for a mailbox that moved", n)
	}
	lines[8] = line(11, 0)
	tables["9"] = build(t, lines...)
	if n := touched(after, apply()); n == 0 || n > 2 {
		t.Errorf("%d partitions changed for one address that came and one that went", n)
	}
	after = apply()
	tables["a new name"] = tables["3"]
	delete(tables, "3")
	if n := touched(after, apply()); n != 0 {
		t.Errorf("%d partitions changed for a group that was renamed", n)
	}
}

func touched(before, after *index) (n int) {
	for i := range before.partitions {
		if !slices.Equal(before.partitions[i], after.partitions[i]) {
			n++
		} else if len(before.partitions[i]) > 0 && &before.partitions[i][0] != &after.partitions[i][0] {
			n++
		}
	}
	return n
}

func TestTooManyGroups(t *testing.T) {
	d := serve(t, "", guests, []string{"alice guest-01"})
	one := build(t, "bob guest-01")
	tables := make(map[string]*Table)
	for i := range maxGroups + 1 {
		tables[fmt.Sprint(i)] = one
	}
	if err := d.replace(0, tables); err == nil || !strings.Contains(err.Error(), "more than 65536 groups") {
		t.Errorf("%v", err)
	}
	if r, err := d.Locate(t.Context(), Query{User: "alice"}); err != nil || r.Backend.Name != "guest-01" {
		t.Errorf("alice after what was refused: %v, %v", r, err)
	}
	delete(tables, "0")
	if err := d.replace(0, tables); err != nil {
		t.Error(err)
	}
	if r, err := d.Locate(t.Context(), Query{User: "bob"}); err != nil || r.Backend.Name != "guest-01" {
		t.Errorf("bob in all groups: %v, %v", r, err)
	}
}

func TestDifference(t *testing.T) {
	none := NewBuilder("").Build()
	for _, test := range []struct {
		old, new   *Table
		came, went string
	}{
		{nil, nil, "", ""},
		{none, nil, "", ""},
		{nil, build(t, "a g", "b g"), "a b", ""},
		{build(t, "a g", "b g"), none, "", "a b"},
		{build(t, "a g", "b g"), build(t, "a h", "b g"), "", ""},
		{build(t, "a g", "b g", "c g"), build(t, "c g", "a g", "b g"), "", ""},
		{build(t, "a g", "b g", "c g"), build(t, "x g", "a g", "c g", "y g"), "x y", "b"},
		{build(t, "a g", "b g", "c g", "d g"), build(t, "d g", "x g", "b g"), "x", "a c"},
		{build(t, "a g", "b g"), build(t, "c g", "d g"), "c d", "a b"},
	} {
		came, went, ok := difference(test.old, test.new, 4)
		slices.Sort(came)
		slices.Sort(went)
		if !ok || !slices.Equal(came, hashes(test.came)) || !slices.Equal(went, hashes(test.went)) {
			t.Errorf("%v to %v: %v, %v, %v", test.old, test.new, came, went, ok)
		}
	}
	if _, _, ok := difference(build(t, "a g", "b g"), build(t, "c g", "d g"), 3); ok {
		t.Error("a difference beyond the limit is given")
	}
}

func hashes(addresses string) (all []uint64) {
	for _, address := range strings.Fields(addresses) {
		all = append(all, maphash.String(seed, address))
	}
	slices.Sort(all)
	return all
}
