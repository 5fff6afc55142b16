package consul

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// What an import writes lies in shards: PREFIX/shards-N/I is shard I of N, and which one has an
// address follows from the address and N. So a change finds its shard by name, a second import with
// another N writes beside the first, and keys that people made by hand are never in the way.
//
// A shard's first and last line are comments that mark it. A value that was cut short, which may
// well end in a line that can be read, lacks the last.
const (
	shardFolder = "shards-"
	firstLine   = "# postern shard "
	lastLine    = "# postern end of the shard\n"

	// maxShard bounds a shard in octets as an import writes it, and maxEdited what it may grow to by
	// changes; a value of Consul's may have 512 KiB.
	maxShard  = 384 << 10
	maxEdited = 480 << 10
	// goodShard is what shards have where there is room for more of them: a change moves one.
	goodShard = 64 << 10
)

var newline = []byte{'\n'}

// cutShort tells whether a value is a shard without its end.
func cutShort(value []byte) bool {
	return bytes.HasPrefix(value, []byte(firstLine)) && !bytes.HasSuffix(value, []byte(lastLine))
}

// shardOf tells which of count shards has a canonical address.
func shardOf(address string, count int) int { return int(hash(address) % uint64(count)) }

// hash must not change: it is where the entries lie.
func hash(address string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(address)) // it never fails
	return h.Sum64()
}

// generation is the shards of one import.
type generation struct {
	count int
	keys  map[int]string // those that are there, by number
}

func (g generation) complete() bool { return len(g.keys) == g.count }

// shardKey returns the name of a shard's key. The number is written with binary digits, all equally many, so that
// the shards divide evenly into any number of pieces where several share a query.
func shardKey(prefix string, number, count int) string {
	digits := max(1, bits.Len(uint(count-1)))
	return fmt.Sprintf("%s%s%d/%0*b", prefix, shardFolder, count, digits, number)
}

// parseShardKey is shardKey's inverse.
func parseShardKey(prefix, key string) (number, count int, ok bool) {
	folder, last, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	count, err := strconv.Atoi(strings.TrimPrefix(folder, shardFolder))
	if err != nil || count < 1 {
		return 0, 0, false
	}
	binary, err := strconv.ParseUint(last, 2, 31)
	number = int(binary)
	if err != nil || number >= count || key != shardKey(prefix, number, count) {
		return 0, 0, false
	}
	return number, count, true
}

// layout is the keys below the prefix, by who made them.
type layout struct {
	generations []generation // the one with fewest shards first
	byHand      []string
}

func layoutOf(prefix string, keys []string) layout {
	var l layout
	for _, key := range keys {
		number, count, ok := parseShardKey(prefix, key)
		if !ok {
			if key != prefix {
				l.byHand = append(l.byHand, key)
			}
			continue
		}
		at := slices.IndexFunc(l.generations, func(g generation) bool { return g.count == count })
		if at < 0 {
			at = len(l.generations)
			l.generations = append(l.generations, generation{count, make(map[int]string)})
		}
		l.generations[at].keys[number] = key
	}
	slices.SortFunc(l.generations, func(a, b generation) int { return a.count - b.count })
	return l
}

// shardCount tells how many shards so many octets need: as many as can each be followed by a query of
// their own, if they needn't be smaller than is good.
func shardCount(octets int) int {
	const most, full = maxQueries - 1, maxShard * 15 / 16 // hashes don't spread quite evenly
	wanted := min(octets/goodShard+1, most)
	return max(wanted, octets/full+1)
}

// compose makes a shard of its lines, which it sorts: the same entries are the same text.
func compose(number, count int, lines [][]byte) []byte {
	slices.SortFunc(lines, bytes.Compare)
	size := len(firstLine) + 64 + len(lastLine)
	for _, line := range lines {
		size += len(line)
	}
	value := make([]byte, 0, size)
	value = fmt.Appendf(value, "%s%d of %d; what is added goes before the last line\n", firstLine, number, count)
	for _, line := range lines {
		value = append(value, line...)
	}
	return append(value, lastLine...)
}
