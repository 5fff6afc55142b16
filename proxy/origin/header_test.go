package origin

import (
	"reflect"
	"strings"
	"testing"

	"postern/pop3"
)

// read feeds a stream in pieces and returns what was taken of it, and the result.
func read(stream string, size func(*HeaderReader) int) (taken int, o Origin, done bool, err error) {
	r := NewHeaderReader()
	for left := []byte(stream); len(left) > 0; {
		n := r.Input(left[:min(len(left), size(r))])
		taken, left = taken+n, left[n:]
		if o, done, err = r.Result(); done || n == 0 {
			return taken, o, done, err
		}
	}
	return taken, o, done, err
}

func whole(*HeaderReader) int    { return 1 << 20 }
func single(*HeaderReader) int   { return 1 }
func needed(r *HeaderReader) int { return r.Room() }
func threes(*HeaderReader) int   { return 3 }
func sixteen(*HeaderReader) int  { return 16 }

var sizes = map[string]func(*HeaderReader) int{"whole": whole, "single": single, "needed": needed, "threes": threes, "sixteen": sixteen}

// What may stand behind a header.
var behind = []string{"", "USER alice\r\n", "\x16\x03\x01\x02\x00\x01\x00", "\n", "\x00"}

func TestHeader(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			for name, size := range sizes {
				for _, rest := range behind {
					taken, o, done, err := read(s.header+rest, size)
					if err != nil || !done || taken != len(s.header) {
						t.Fatalf("%s, then %q: took %d of %d, done %v, error %v", name, rest, taken, len(s.header), done, err)
					}
					if !reflect.DeepEqual(o, s.want) {
						t.Fatalf("%s: got %+v, want %+v", name, o, s.want)
					}
				}
			}
		})
	}
}

// TestHeaderCut ends each header at each octet: no verdict before the last one, and
// never more wanted than is missing.
func TestHeaderCut(t *testing.T) {
	for _, s := range samples() {
		for end := range len(s.header) {
			r := NewHeaderReader()
			if n := r.Input([]byte(s.header[:end])); n != end {
				t.Fatalf("%s: cut at %d, took %d", s.name, end, n)
			}
			o, done, err := r.Result()
			if done || err != nil || o != (Origin{}) {
				t.Fatalf("%s: cut at %d: %+v, done %v, error %v", s.name, end, o, done, err)
			}
			if r.Room() < 1 || r.Room() > len(s.header)-end {
				t.Fatalf("%s: cut at %d: wants %d, lacks %d", s.name, end, r.Room(), len(s.header)-end)
			}
			r.Input([]byte(s.header[end:] + "QUIT\r\n"))
			if o, done, err := r.Result(); !done || err != nil || !reflect.DeepEqual(o, s.want) {
				t.Fatalf("%s: cut at %d, then the rest: %+v, done %v, error %v", s.name, end, o, done, err)
			}
		}
	}
}

// TestHeaderBounded: what is refused for its length is refused before it is read.
func TestHeaderBounded(t *testing.T) {
	r := NewHeaderReader()
	begin := signatureV2 + "\x21\x11\xff\xff"
	if n := r.Input([]byte(begin + strings.Repeat("x", 65535))); n > len(begin) || r.header != nil {
		t.Errorf("took %d octets, holds %d", n, len(r.header))
	}
	if n := r.Input([]byte("more")); n != 0 {
		t.Errorf("took %d octets behind its error", n)
	}
}

// TestHeaderTwice: the second header is input of the next protocol, where it is one bad
// command, or three before any good one: version 2 was made so that servers of lines
// give up at it.
func TestHeaderTwice(t *testing.T) {
	for _, s := range samples() {
		r := NewHeaderReader()
		stream := []byte(s.header + s.header)
		rest := stream[r.Input(stream):]
		if string(rest) != s.header {
			t.Fatalf("%s: %q is left", s.name, rest)
		}
		if n := r.Input(rest); n != 0 {
			t.Fatalf("%s: took %d octets of the second", s.name, n)
		}
		lines, bad := pop3.NewLineReader(len(rest)), 1
		if strings.HasPrefix(s.header, signatureV2) {
			bad = 3
		}
		lines.Write(rest)
		for range bad {
			line, ok, fault := lines.Next(pop3.MaxCommandLine)
			if verb := pop3.ParseCommand(line).Verb; !ok || verb != pop3.Unknown {
				t.Errorf("%s: %q is %q to the server (ok %v, error %v)", s.name, line, verb, ok, fault)
			}
		}
	}
}
