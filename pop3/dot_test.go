package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAppendStuffed(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"", ""},
		{"a\r\n", "a\r\n"},
		{"a\n", "a\r\n"},
		{"a", "a\r\n"},
		{"a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n"},
		{"\n", "\r\n"},
		{".", "..\r\n"},
		{".\r\n.\r\n", "..\r\n..\r\n"},
		{"..a\n", "...a\r\n"},
		{"a.\n .b\n", "a.\r\n .b\r\n"},
		{"a\rb\r\n", "a\rb\r\n"},
		{"a\r\r\n", "a\r\r\n"},
		{"a\r", "a\r\n"},
		{"\x00\xff\x80\n", "\x00\xff\x80\r\n"},
	} {
		if got := string(AppendStuffed([]byte("+OK\r\n"), []byte(c.body))); got != "+OK\r\n"+c.want+".\r\n" {
			t.Errorf("%q: got %q, want %q", c.body, got, c.want)
		}
	}
}

func TestReadStuffed(t *testing.T) {
	for _, c := range []struct{ wire, want, rest string }{
		{".\r\n", "", ""},
		{".\n", "", ""},
		{"a\r\n.\r\n+OK\r\n", "a\r\n", "+OK\r\n"},
		{"a\nb\r\n.\n", "a\nb\r\n", ""},
		{"..\r\n...\r\n.x\r\n.\r\n", ".\r\n..\r\nx\r\n", ""},
		{". \r\n.\r\n", " \r\n", ""},
		{" .\r\n.\r\n", " .\r\n", ""},
		{"\r\n.\r\n", "\r\n", ""},
		{strings.Repeat("x", 70000) + "\r\n.\r\n", strings.Repeat("x", 70000) + "\r\n", ""},
	} {
		r := bufio.NewReaderSize(strings.NewReader(c.wire), 16)
		got, err := ReadStuffed(r, 80000)
		if err != nil || string(got) != c.want {
			t.Errorf("%.40q: got %.40q, %v; want %.40q", c.wire, got, err, c.want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != c.rest {
			t.Errorf("%.40q: left %q, want %q", c.wire, rest, c.rest)
		}
	}
}

func TestReadStuffedFaults(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		in   io.Reader
		max  int
		want error
	}{
		{"nothing", strings.NewReader(""), 99, io.ErrUnexpectedEOF},
		{"no end", strings.NewReader("a\r\n"), 99, io.ErrUnexpectedEOF},
		{"half an end", strings.NewReader("a\r\n."), 99, io.ErrUnexpectedEOF},
		{"a dot and CR", strings.NewReader("a\r\n.\r"), 99, io.ErrUnexpectedEOF},
		{"half a line", strings.NewReader("abc"), 99, io.ErrUnexpectedEOF},
		{"a broken connection", io.MultiReader(strings.NewReader("a\r\n"), iotest.ErrReader(broken)), 99, broken},
		{"one octet above", strings.NewReader("abcd\r\n.\r\n"), 5, ErrBodyTooLong},
		{"above, over several lines", strings.NewReader("ab\r\ncd\r\n.\r\n"), 7, ErrBodyTooLong},
		{"an endless line", endless{}, 1 << 16, ErrBodyTooLong},
		{"endless empty lines", iotest.DataErrReader(strings.NewReader(strings.Repeat("\n", 1<<16))), 100, ErrBodyTooLong},
	} {
		if _, err := ReadStuffed(bufio.NewReader(c.in), c.max); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestReadStuffedExactBound(t *testing.T) {
	for _, body := range []string{"abc\r\n", "....\r\n", "a\r\n.\r\n", ""} {
		wire := AppendStuffed(nil, []byte(body))
		got, err := ReadStuffed(bufio.NewReader(bytes.NewReader(wire)), len(body))
		if err != nil || string(got) != body {
			t.Errorf("%q: got %q, %v", body, got, err)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// normalForm is a body with each line ended by CRLF, in the plainest words.
func normalForm(body []byte) []byte {
	var out []byte
	for line := range bytes.Lines(body) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

// FuzzStuffed: what is stuffed and read is the body's normal form, nothing of what
// follows is touched, and no line of the body ends the answer early.
func FuzzStuffed(f *testing.F) {
	for _, s := range []string{"", "a", ".", "..\r\n.\n", "a\r\r\n\r", "\x00\xff\n.\r", "\r\n.\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const next = "+OK next\r\n"
		wire := AppendStuffed(nil, body)
		if i := bytes.Index(append([]byte("\r\n"), wire...), []byte("\r\n.\r\n")); i != len(wire)-len(terminator) {
			t.Fatalf("%q ends at %d of %d", wire, i, len(wire))
		}
		r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(wire), strings.NewReader(next)), 16)
		want := normalForm(body)
		got, err := ReadStuffed(r, len(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, %v; want %q", body, got, err, want)
		}
		if rest, _ := io.ReadAll(r); string(rest) != next {
			t.Fatalf("left %q", rest)
		}
		if again := AppendStuffed(nil, got); !bytes.Equal(again, wire) {
			t.Fatalf("the normal form %q is stuffed as %q, not as %q", got, again, wire)
		}
	})
}
