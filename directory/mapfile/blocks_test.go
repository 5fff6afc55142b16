package mapfile

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/iotest"

	"postern/directory"
)

// large is text of so many lines, several blocks of it.
func large(lines int) []string {
	text := make([]string, lines)
	for i := range text {
		text[i] = fmt.Sprintf("user%07d@example.com guest-%02d login=l%d # %s\n", i, i%40, i, strings.Repeat("x", 150+i%50))
	}
	return text
}

func readBlocks(t *testing.T, b *Blocks, text string, known map[Sum]*directory.Table) []Block {
	t.Helper()
	blocks, err := b.Read(strings.NewReader(text), "m.map", known)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

func tablesOf(blocks []Block) map[Sum]*directory.Table {
	known := make(map[Sum]*directory.Table)
	for _, b := range blocks {
		known[b.Sum] = b.Table
	}
	return known
}

func all(t *testing.T, blocks []Block) map[string]directory.Value {
	t.Helper()
	entries := make(map[string]directory.Value)
	for _, b := range blocks {
		for address, v := range b.Table.All() {
			if _, twice := entries[address]; twice {
				t.Errorf("%s is in two blocks", address)
			}
			entries[address] = v
		}
	}
	return entries
}

// TestBlocksAreTheWholeFile: together they hold what one table of the file does.
func TestBlocksAreTheWholeFile(t *testing.T) {
	text := "\xef\xbb\xbf" + strings.Join(large(30_000), "")
	table, err := Read(strings.NewReader(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	blocks := readBlocks(t, NewBlocks(Options{}), text, nil)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of %d octets", len(blocks), len(text))
	}
	if got, want := all(t, blocks), maps.Collect(table.All()); len(want) != 30_000 || !maps.Equal(got, want) {
		t.Errorf("%d entries in the blocks, %d in the file", len(got), len(want))
	}
	for _, text := range []string{"", "# nothing", "alice g", "alice g\n", "\n\nalice g\r\n"} {
		want, _ := entries(t, text)
		if got := all(t, readBlocks(t, NewBlocks(Options{DefaultDomain: "example.com"}), text, nil)); !maps.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestAChangeIsOfFewBlocks: lines that come, go or change leave all blocks but their neighbours
// as they were, with their tables.
func TestAChangeIsOfFewBlocks(t *testing.T) {
	lines := large(30_000)
	b := NewBlocks(Options{})
	before := readBlocks(t, b, strings.Join(lines, ""), nil)
	middle := len(lines) / 2
	for name, next := range map[string][]string{
		"nothing":  lines,
		"changed":  append(append(append([]string{}, lines[:middle]...), "a@example.com g\n"), lines[middle+1:]...),
		"inserted": append(append(append([]string{}, lines[:middle]...), "a@example.com g\n"), lines[middle:]...),
		"first":    append([]string{"a@example.com g\n"}, lines...),
		"removed":  append(append([]string{}, lines[:middle]...), lines[middle+10:]...),
	} {
		known := tablesOf(before)
		after := readBlocks(t, b, strings.Join(next, ""), known)
		changed := 0
		for _, block := range after {
			if known[block.Sum] != block.Table {
				changed++
			}
		}
		if most := 3; changed > most || name != "nothing" && changed == 0 || name == "nothing" && changed > 0 {
			t.Errorf("%s: %d of %d blocks were read anew", name, changed, len(after))
		}
		if n := len(all(t, after)); n < 29_000 {
			t.Errorf("%s: %d entries", name, n)
		}
	}
}

// TestFaultsInBlocks: their places and order are those of the whole file.
func TestFaultsInBlocks(t *testing.T) {
	lines := large(30_000)
	lines[29_000] = "USER0000001@example.com guest\n" // two blocks away
	lines[29_001] = "user0000001@example.com guest\n"
	lines[10_000] = "alice\n"
	lines[10_001] = lines[10_002]
	lines[20_000] = strings.Repeat("x", 3*maxBlock) + "\n"
	lines[20_001] = "alice g login=\n"
	_, err := NewBlocks(Options{}).Read(strings.NewReader(strings.Join(lines, "")), "m.map", nil)
	want := `m.map:10001:6: no backend behind the address
m.map:10003:1: user0010002@example.com has an entry already, in line 10002
m.map:20001:1: the line is longer than 4096 octets
m.map:20002:15: an empty login
m.map:29001:1: user0000001@example.com has an entry already, in line 2
m.map:29002:1: user0000001@example.com has an entry already, in line 2`
	if faults := (*Faults)(nil); !errors.As(err, &faults) || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestAFileTwiceInOne: every line is a duplicate, also where all blocks of the first half are known.
func TestAFileTwiceInOne(t *testing.T) {
	const lines = 20_000
	text := strings.Join(large(lines), "")
	b := NewBlocks(Options{})
	known := tablesOf(readBlocks(t, b, text, nil))
	_, err := b.Read(strings.NewReader(text+text), "m.map", known)
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != maxFaults || faults.More != lines-maxFaults {
		t.Fatalf("%v", err)
	}
	for i, f := range faults.List {
		if want := fmt.Sprintf("user%07d@example.com has an entry already, in line %d", i, i+1); f.Line != lines+i+1 || f.Text != want {
			t.Errorf("fault %d: %+v, want %s", i, f, want)
		}
	}
}

// TestBlocksNeedTheirReader: an error of the reader is never a shorter file.
func TestBlocksNeedTheirReader(t *testing.T) {
	text := strings.Join(large(20_000), "")
	for _, begin := range []string{"", "alice g\n", text, text + strings.Repeat("x", maxBlock)} {
		failing := io.MultiReader(strings.NewReader(begin), iotest.ErrReader(errors.ErrUnsupported))
		if blocks, err := NewBlocks(Options{}).Read(seeker{failing}, "m.map", nil); !errors.Is(err, errors.ErrUnsupported) || blocks != nil {
			t.Errorf("after %d octets: %d blocks, %v", len(begin), len(blocks), err)
		}
	}
	blocks, err := NewBlocks(Options{}).Read(seeker{iotest.HalfReader(strings.NewReader(text))}, "m.map", nil)
	if err != nil || len(all(t, blocks)) != 20_000 {
		t.Errorf("in small pieces: %v", err)
	}
}
