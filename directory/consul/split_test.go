package consul

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func sizes(keys []string, pieces []piece) (largest int) {
	for _, p := range pieces {
		n := 0
		for _, key := range keys {
			if p.covers(key) {
				n++
			}
		}
		largest = max(largest, n)
	}
	return largest
}

func numbered(n int, format string) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(format, i)
	}
	return keys
}

func hashed(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("p/%016x", hash(fmt.Sprint(i)))
	}
	return keys
}

func TestSplitIsEven(t *testing.T) {
	for _, test := range []struct {
		name    string
		keys    []string
		largest int
	}{
		{"few", numbered(127, "p/%d"), 1},
		{"one more", numbered(128, "p/%03d"), 10},
		{"a thousand, numbered", numbered(1000, "p/%03d"), 10},
		{"a thousand, hashed", hashed(1000), 32},
		{"ten thousand, hashed", hashed(10_000), 250},
		{"shards", numbered(1200, "p/shards-1200/%04d"), 10},
	} {
		pieces := split(test.keys, maxQueries-1)
		if got := sizes(test.keys, pieces); got > test.largest || len(pieces) >= maxQueries {
			t.Errorf("%s: %d pieces, the largest has %d keys, want at most %d", test.name, len(pieces), got, test.largest)
		}
	}
}

// FuzzSplit: whatever the names, each is covered once, and each piece can be asked for.
func FuzzSplit(f *testing.F) {
	f.Add("a\nab\nabc\n..\n.a\n/\n//\nä\nü\n", 3)
	f.Add(strings.Repeat("x/../y\n", 3)+"\xff\n\xfe", 2)
	f.Add("é\nè\nê\nā", 2)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		var keys []string
		for name := range strings.SplitSeq(text, "\n") {
			keys = append(keys, "p/"+name)
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		named, awkward := sortOut(keys)
		if limit = max(1, limit%200); len(named) == 0 {
			return
		}
		if len(named)+len(awkward) != len(keys) {
			t.Fatal("a key was lost")
		}
		rand.Shuffle(len(named), func(i, j int) { named[i], named[j] = named[j], named[i] })
		pieces := split(named, limit)
		if len(pieces) > max(limit, 1) {
			t.Errorf("%d pieces, at most %d", len(pieces), limit)
		}
		for _, p := range pieces {
			if !plain(p.name) || !strings.HasPrefix(p.name, "p/") {
				t.Errorf("piece %q can't be asked for", p.name)
			}
		}
		for _, key := range named {
			covered := 0
			for _, p := range pieces {
				if p.covers(key) {
					covered++
				}
			}
			if covered != 1 {
				t.Errorf("%q is in %d of %v", key, covered, pieces)
			}
		}
	})
}

func TestPlain(t *testing.T) {
	for _, name := range []string{"p/a", "p/ü", "p/a b", "p/a?b#c+d&e", "p/a/", "p/..a", "p/[x]", "p/example.com", `p/"`} {
		if !plain(name) {
			t.Errorf("%q is not plain", name)
		}
	}
	for _, name := range []string{"p//a", "p/.", "p/..", "p/../a", "p/./a", "p/%41", "p/\x00", "p/a\nb", "p/\xff", "p/\ufffd", "/p"} {
		if plain(name) {
			t.Errorf("%q is plain", name)
		}
	}
}
