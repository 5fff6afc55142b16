package consul

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQueries bounds the blocking queries of a source, the one for the names included.
const maxQueries = 128

// piece is what one query asks for: a key, or all keys whose names begin alike.
type piece struct {
	name string
	all  bool // all keys that begin with name
}

func (p piece) covers(key string) bool {
	return p.name == key || p.all && strings.HasPrefix(key, p.name)
}

// split divides keys into at most limit pieces, none of which overlap. Up to limit
// keys each is a piece of its own. Of more, the piece with most keys is divided by the
// next character of their names, again and again, while there is room: what a change moves is
// its piece, so the largest counts. Names that shard evenly (numbers, hashes, domains) make even pieces.
func split(keys []string, limit int) []piece {
	if len(keys) <= limit {
		pieces := make([]piece, 0, len(keys))
		for _, key := range keys {
			pieces = append(pieces, piece{name: key})
		}
		return pieces
	}
	bunches := []bunch{newBunch(slices.Sorted(slices.Values(keys)))}
	for {
		slices.SortStableFunc(bunches, func(a, b bunch) int { return len(b.keys) - len(a.keys) })
		if !divideOne(&bunches, limit) {
			break
		}
	}
	pieces := make([]piece, 0, len(bunches))
	for _, b := range bunches {
		pieces = append(pieces, piece{name: b.common, all: len(b.keys) > 1})
	}
	return pieces
}

// bunch is sorted keys and the longest beginning that all of them have.
type bunch struct {
	common string
	keys   []string
}

func newBunch(keys []string) bunch {
	first, last := keys[0], keys[len(keys)-1]
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	for n > 0 && n < len(first) && !utf8.RuneStart(first[n]) { // half a character can't be asked for
		n--
	}
	for !plain(first[:n]) { // it may end in a half-written ".." or "//"
		n--
	}
	return bunch{first[:n], keys}
}

// divideOne divides the largest bunch that can be divided within the limit. What a bunch of few
// keys would need is tried last: dividing it wins little.
func divideOne(bunches *[]bunch, limit int) bool {
	for i, b := range *bunches {
		if len(b.keys) == 1 {
			return false
		}
		parts := b.divide()
		if len(parts) == 1 || len(*bunches)-1+len(parts) > limit {
			continue
		}
		*bunches = append(slices.Delete(*bunches, i, i+1), parts...)
		return true
	}
	return false
}

func (b bunch) divide() []bunch {
	var parts []bunch
	for rest := b.keys; len(rest) > 0; {
		n := 1
		if next := b.next(rest[0]); next != "" {
			for n < len(rest) && b.next(rest[n]) == next {
				n++
			}
		}
		part := newBunch(rest[:n])
		if len(part.common) <= len(b.common) && n < len(b.keys) && part.common != rest[0] {
			return []bunch{b} // it can't be asked for by itself
		}
		parts, rest = append(parts, part), rest[n:]
	}
	return parts
}

// next is the character behind what all keys have in common; empty at a name's end.
func (b bunch) next(key string) string {
	behind := key[len(b.common):]
	_, size := utf8.DecodeRuneInString(behind)
	return behind[:size]
}

// plain tells whether Consul can be asked for a name by its address. Its server cleans paths, and answers
// a name with //, /./ or /../ by a redirect to another key; control characters and a % it refuses.
func plain(name string) bool {
	if name == "" {
		return true
	}
	cleaned := path.Clean("/" + name)
	if strings.HasSuffix(name, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned == "/"+name && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '%' || r == utf8.RuneError || !unicode.IsPrint(r) })
}

// sortOut separates the keys that can be asked for by name from the others.
func sortOut(keys []string) (named, awkward []string) {
	for _, key := range keys {
		if plain(key) {
			named = append(named, key)
		} else {
			awkward = append(awkward, key)
		}
	}
	return named, awkward
}
