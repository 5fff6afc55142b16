package serve

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadNetstring(t *testing.T) {
	longest := strings.Repeat("a", 1018)
	for text, want := range map[string]string{
		"0:,": "", "3:abc,": "abc", "12:hello world!,rest": "hello world!", "3:a,b,": "a,b", "1018:" + longest + ",": longest,
	} {
		if got, err := readNetstring(bufio.NewReader(strings.NewReader(text))); err != nil || got != want {
			t.Errorf("%.20q: %.20q, %v", text, got, err)
		}
	}
	for text, want := range map[string]error{
		"": io.EOF, "3": io.EOF, "3:ab": io.ErrUnexpectedEOF, "3:abc": io.ErrUnexpectedEOF, "3:": io.EOF,
		"3:abcd": errNetstring, ":abc,": errNetstring, "00:,": errNetstring, "03:abc,": errNetstring, "+3:abc,": errNetstring,
		"-3:abc,": errNetstring, "a:abc,": errNetstring, "1019:" + longest + "a,": errNetstring, "99999": errNetstring,
	} {
		if got, err := readNetstring(bufio.NewReader(strings.NewReader(text))); !errors.Is(err, want) {
			t.Errorf("%.20q: %.20q, %v, want %v", text, got, err, want)
		}
	}
}

// FuzzNetstring: what is read is written the same way, and no more than its octets were taken.
func FuzzNetstring(f *testing.F) {
	f.Add([]byte("3:abc,4:"))
	f.Add([]byte("0:,"))
	f.Add([]byte("1018:"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReader(bytes.NewReader(text))
		got, err := readNetstring(in)
		if err != nil {
			return
		}
		again := appendNetstring(nil, got)
		rest, _ := io.ReadAll(in)
		if len(again) > maxRequest || !bytes.Equal(append(again, rest...), text) {
			t.Errorf("%q was read as %q", text, got)
		}
	})
}
