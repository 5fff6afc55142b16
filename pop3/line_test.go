package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// take is one answer of Next.
type take struct {
	line string
	err  error
}

func (t take) String() string { return fmt.Sprintf("%q %v", t.line, t.err) }

// takes drains r under the limit; it ends after ErrLineTooLong, as an owner does.
func takes(r *LineReader, limit int) []take {
	var all []take
	for {
		line, ok, err := r.Next(limit)
		if errors.Is(err, ErrLineTooLong) {
			return append(all, take{"", err})
		}
		if !ok {
			return all
		}
		all = append(all, take{string(line), err})
	}
}

func TestLineReaderLines(t *testing.T) {
	long := strings.Repeat("x", 20)
	for _, c := range []struct {
		name, in string
		want     []take
	}{
		{"CRLF", "QUIT\r\n", []take{{"QUIT", nil}}},
		{"bare LF", "QUIT\n", []take{{"QUIT", nil}}},
		{"two in one segment", "USER a\r\nPASS b\r\n", []take{{"USER a", nil}, {"PASS b", nil}}},
		{"mixed ends", "a\nb\r\nc\n", []take{{"a", nil}, {"b", nil}, {"c", nil}}},
		{"empty lines", "\r\n\n", []take{{"", nil}, {"", nil}}},
		{"8-bit and tab", "\xff\t\x80\r\n", []take{{"\xff\t\x80", nil}}},
		{"exactly the limit", long[:18] + "\r\n", []take{{long[:18], nil}}},
		{"exactly the limit, bare LF", long[:19] + "\n", []take{{long[:19], nil}}},

		{"nothing", "", nil},
		{"half a line", "QUIT", nil},
		{"CR and no LF yet", "QUIT\r", nil},
		{"a line and a half", "a\r\nb", []take{{"a", nil}}},
		{"one octet above", long[:19] + "\r\n", []take{{"", ErrLineTooLong}}},
		{"one octet above, bare LF", long + "\n", []take{{"", ErrLineTooLong}}},
		{"too long before its end came", long, []take{{"", ErrLineTooLong}}},
		{"nothing is read behind a long line", long + "\r\nQUIT\r\n", []take{{"", ErrLineTooLong}}},
		{"lines before the long one count", "a\r\n" + long + "\n", []take{{"a", nil}, {"", ErrLineTooLong}}},
		{"NUL", "US\x00ER\r\n", []take{{"US\x00ER", ErrNUL}}},
		{"NUL alone", "\x00\n", []take{{"\x00", ErrNUL}}},
		{"NUL wins over bare CR", "\r\x00\r\n", []take{{"\r\x00", ErrNUL}}},
		{"bare CR", "USER a\rb\r\n", []take{{"USER a\rb", ErrBareCR}}},
		{"bare CR first", "\rQUIT\n", []take{{"\rQUIT", ErrBareCR}}},
		{"CR CR LF", "QUIT\r\r\n", []take{{"QUIT\r", ErrBareCR}}},
		{"LF CR", "a\n\r", []take{{"a", nil}}},
		{"reading goes on behind NUL", "\x00\r\nQUIT\r\n", []take{{"\x00", ErrNUL}, {"QUIT", nil}}},
		{"reading goes on behind CR", "a\rb\nQUIT\r\n", []take{{"a\rb", ErrBareCR}, {"QUIT", nil}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewLineReader(64)
			if n := r.Write([]byte(c.in)); n != len(c.in) {
				t.Fatalf("Write took %d of %d octets", n, len(c.in))
			}
			if got := takes(r, 20); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestLineReaderStaysBroken(t *testing.T) {
	r := NewLineReader(64)
	r.Write([]byte("0123456789\r\nQUIT\r\n"))
	for range 3 {
		if _, ok, err := r.Next(5); ok || !errors.Is(err, ErrLineTooLong) {
			t.Fatalf("Next: ok %v, error %v", ok, err)
		}
	}
	if _, _, err := r.Next(64); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("a larger limit revived the reader: %v", err)
	}
}

func TestLineReaderLimitAboveMax(t *testing.T) {
	r := NewLineReader(8)
	r.Write([]byte("01234567"))
	if _, _, err := r.Next(255); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("a full reader without a line waits for ever: error %v", err)
	}
}

func TestLineReaderLimitFollowsState(t *testing.T) {
	r := NewLineReader(64)
	r.Write([]byte("0123456789\r\n0123456789\r\n"))
	if _, ok, err := r.Next(12); !ok || err != nil {
		t.Fatalf("at 12: ok %v, error %v", ok, err)
	}
	if _, _, err := r.Next(11); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("at 11: error %v", err)
	}
}

func TestLineReaderRoom(t *testing.T) {
	r := NewLineReader(10)
	if n := r.Write([]byte("abc\r\ndefghij")); n != 10 {
		t.Fatalf("took %d octets, want 10", n)
	}
	if r.Room() != 0 || r.Buffered() != 10 {
		t.Errorf("full reader: room %d, buffered %d", r.Room(), r.Buffered())
	}
	if n := r.Write([]byte("x")); n != 0 {
		t.Errorf("a full reader took %d octets", n)
	}
	if line, ok, err := r.Next(10); string(line) != "abc" || !ok || err != nil {
		t.Fatalf("Next: %q %v %v", line, ok, err)
	}
	if r.Room() != 5 || r.Buffered() != 5 {
		t.Errorf("after a line: room %d, buffered %d", r.Room(), r.Buffered())
	}
}

func TestLineReaderMemory(t *testing.T) {
	for _, most := range []int{1, 100, 129, 300, 1000} {
		r := NewLineReader(most)
		for range most {
			if n := r.Write([]byte("x")); n != 1 || cap(r.buf) > most {
				t.Fatalf("max %d: took %d, holds %d", most, n, cap(r.buf))
			}
		}
		if r.Room() != 0 {
			t.Errorf("max %d: room %d", most, r.Room())
		}
	}
}

func TestLineReaderRest(t *testing.T) {
	r := NewLineReader(64)
	r.Write([]byte("PASS x\r\nSTAT\r\nLI"))
	if _, ok, _ := r.Next(64); !ok {
		t.Fatal("no line")
	}
	if got := string(r.Rest()); got != "STAT\r\nLI" {
		t.Errorf("rest %q", got)
	}
	r.Write([]byte("half a line"))
	if _, ok, _ := r.Next(64); ok {
		t.Fatal("half a line is a line")
	}
	if got := string(r.Rest()); got != "half a line" {
		t.Errorf("rest %q", got)
	}
	r.Write([]byte("\n"))
	if line, ok, _ := r.Next(64); !ok || len(line) > 0 {
		t.Errorf("an empty line behind the rest: %q %v", line, ok)
	}
	if got := r.Rest(); len(got) != 0 || r.Buffered() != 0 {
		t.Errorf("second rest %q, buffered %d", got, r.Buffered())
	}
	r.Write([]byte("QUIT\r\n"))
	if line, ok, _ := r.Next(64); !ok || string(line) != "QUIT" {
		t.Errorf("behind the rest: %q %v", line, ok)
	}
}

// A password must be gone from every array that the reader ever used.
func TestLineReaderWipe(t *testing.T) {
	r := NewLineReader(4096)
	var arrays [][]byte
	feed := func(s string) {
		for i := range len(s) {
			r.Write([]byte(s[i : i+1]))
			arrays = append(arrays, r.buf[:cap(r.buf)])
		}
	}
	feed("PASS canary\r\n")
	for {
		if _, ok, _ := r.Next(255); !ok {
			break
		}
	}
	feed("PASS canary" + strings.Repeat(" canary", 200))
	r.Wipe()
	for _, array := range arrays {
		if bytes.ContainsAny(array, "canry") {
			t.Fatalf("left in memory: %q", array)
		}
	}
	if r.Buffered() != 0 || r.Room() != 4096 {
		t.Errorf("after Wipe: buffered %d, room %d", r.Buffered(), r.Room())
	}
}

func TestLineReaderForgetsTakenLines(t *testing.T) {
	r := NewLineReader(64)
	r.Write([]byte("PASS canary\r\n"))
	r.Next(64)
	r.Write([]byte("S"))
	if held := r.buf[:cap(r.buf)]; bytes.Contains(held, []byte("canary")) {
		t.Errorf("still there after the next Write: %q", held)
	}
}

// model is what LineReader should say about a whole stream, in the plainest words.
func model(stream []byte, limit int) []take {
	var all []take
	for {
		line, rest, whole := bytes.Cut(stream, []byte("\n"))
		switch {
		case len(line)+1 > limit:
			return append(all, take{"", ErrLineTooLong})
		case !whole:
			return all
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		all = append(all, take{string(line), checkLine(line)})
		stream = rest
	}
}

// FuzzLineReader: lines and errors depend on the octets, never on how they were
// cut into segments, and the memory stays within max.
func FuzzLineReader(f *testing.F) {
	f.Add([]byte("USER a\r\nPASS b\r\nSTAT\r\n"), []byte{1}, uint8(20))
	f.Add([]byte("US\x00ER\r\na\rb\nQUIT\r\r\n"), []byte{3, 1, 7}, uint8(9))
	f.Add(bytes.Repeat([]byte("x"), 300), []byte{255, 1}, uint8(255))
	f.Add([]byte("0123456789\r\n"), []byte{0, 11}, uint8(11))
	f.Fuzz(func(t *testing.T, stream, cuts []byte, limit uint8) {
		const most = 300
		r := NewLineReader(most)
		var got []take
		left := stream
		for i := 0; len(left) > 0; i++ {
			size := len(left)
			if len(cuts) > 0 {
				size = min(len(left), 1+int(cuts[i%len(cuts)]))
			}
			n := r.Write(left[:size])
			left = left[n:]
			got = append(got, takes(r, int(limit))...)
			if cap(r.buf) > most || r.Buffered()+r.Room() != most {
				t.Fatalf("memory %d, buffered %d, room %d", cap(r.buf), r.Buffered(), r.Room())
			}
			if r.broken {
				break
			}
			if n == 0 {
				t.Fatal("takes nothing and says nothing")
			}
		}
		want := model(stream, int(limit))
		if len(stream) == 0 {
			want = nil // the model of a limit of 0 needs no octet to be broken
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: got %v, want %v", limit, got, want)
		}
	})
}

func BenchmarkLineReaderNext(b *testing.B) {
	for _, c := range []struct{ name, in string }{
		{"lines=1", "USER alice@example.com\r\n"},
		{"lines=20", strings.Repeat("NOOP\r\n", 20)},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := NewLineReader(4096)
			in := []byte(c.in)
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				r.Write(in)
				for ok := true; ok; {
					_, ok, _ = r.Next(MaxCommandLine)
				}
			}
		})
	}
}
