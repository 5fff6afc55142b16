package mapfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"postern/directory"
)

// Change decides what an entry becomes, from what it was. Where it was none, exists is
// false. It may be called again where the text changed meanwhile.
type Change func(before directory.Value, exists bool) (directory.Value, error)

// Rewritten tells what Rewrite found.
type Rewritten struct {
	Before  directory.Value
	Existed bool
	Changed bool // else dst has the text as it was
}

// Rewrite copies a map file and changes the entry of one canonical address on the way, or
// adds it as the last line. All other lines, comments, the order and line ends stay. A file with faults
// is not rewritten: *Faults says what is wrong. On any error dst holds nothing that can be used.
func Rewrite(dst io.Writer, src io.Reader, o Options, address string, change Change) (Rewritten, error) {
	w := &rewriting{
		options: o, address: address, change: change,
		parser: newParser(), faults: Faults{File: o.File}, dst: bufio.NewWriterSize(dst, 64<<10), end: []byte{'\n'},
	}
	lines := bufio.NewReaderSize(src, 64<<10)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return Rewritten{}, fmt.Errorf("reading %s: %w", o.File, err)
		}
		if wrong := w.line(number, text); wrong != nil {
			return Rewritten{}, wrong
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	return w.finish()
}

type rewriting struct {
	options Options
	address string
	change  Change
	parser  *parser
	faults  Faults
	dst     *bufio.Writer
	scratch []byte
	end     []byte // of the lines
	open    bool   // the last line has no end
	place   int    // the entry's line; 0: not found
	result  Rewritten
}

// line copies a line, or what it becomes. What is too long for the reader's buffer comes in pieces, of which
// the first is a fault already.
func (w *rewriting) line(number int, raw []byte) error {
	text := bytes.TrimSuffix(raw, []byte{'\n'})
	text = bytes.TrimSuffix(text, []byte{'\r'})
	if w.open = len(raw) > 0 && raw[len(raw)-1] != '\n'; !w.open && len(raw) > 0 {
		w.end = append(w.end[:0], raw[len(text):]...)
	}
	mark := 0
	if number == 1 && bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		mark = 3
	}
	l, wrong := w.parser.parse(text[mark:])
	switch {
	case wrong != nil:
		w.faults.add(Fault{Line: number, Column: wrong.Column, Text: wrong.Text})
		return nil
	case l.empty || !w.matches(number, l):
		return w.write(raw)
	case w.place > 0:
		w.faults.add(Fault{Line: number, Column: l.address.column,
			Text: fmt.Sprintf("%s has an entry already, in line %d", w.address, w.place)})
		return nil
	}
	w.place = number
	return w.replace(raw[:mark], text[mark:], raw[len(text):], l)
}

func (w *rewriting) matches(number int, l line) bool {
	var err error
	w.scratch, err = directory.AppendAddress(w.scratch[:0], l.address.text, w.options.DefaultDomain)
	if err != nil {
		w.faults.add(Fault{Line: number, Column: l.address.column, Text: err.Error()})
	}
	return err == nil && string(w.scratch) == w.address
}

// replace writes what the entry's line becomes: mark and end are what stands around it. Its address and its
// comment stay as somebody wrote them.
func (w *rewriting) replace(mark, text, end []byte, l line) error {
	after, err := w.decide(l.value, true)
	if err != nil {
		return err
	}
	if !w.result.Changed {
		return w.write(slices.Concat(mark, text, end))
	}
	written := Append(nil, w.address, after)
	if !l.popmap {
		behind := written[bytes.IndexByte(written, ' ')+1:]
		written = slices.Concat(text[:l.backend.column-1], behind)
	}
	return w.write(slices.Concat(mark, written, comment(text), end))
}

// decide asks for the entry's new value, and refuses one that could not be read again.
func (w *rewriting) decide(before directory.Value, exists bool) (directory.Value, error) {
	after, err := w.change(before, exists)
	if err != nil {
		return after, err
	}
	if err := directory.NewBuilder("").Add([]byte(w.address), after); err != nil {
		return after, fmt.Errorf("the entry of %s: %w", w.address, err)
	}
	w.result = Rewritten{Before: before, Existed: exists, Changed: !exists || after != before}
	return after, nil
}

func (w *rewriting) write(text []byte) error {
	if _, err := w.dst.Write(text); err != nil {
		return fmt.Errorf("writing %s: %w", w.options.File, err)
	}
	return nil
}

// comment returns a line's comment with the white space before it.
func comment(text []byte) []byte {
	end := 0 // of the last word
	for rest := (word{text, 1}); ; {
		var first word
		first, rest = cut(rest)
		if len(first.text) == 0 {
			return text[end:]
		}
		end = first.column - 1 + len(first.text)
	}
}

// finish adds the entry where it was not found.
func (w *rewriting) finish() (Rewritten, error) {
	if err := w.faults.err(); err != nil {
		return Rewritten{}, err
	}
	if w.place == 0 {
		v, err := w.decide(directory.Value{}, false)
		if err != nil {
			return Rewritten{}, err
		}
		added := []byte(nil)
		if w.open {
			added = append(added, w.end...)
		}
		if err := w.write(append(Append(added, w.address, v), w.end...)); err != nil {
			return Rewritten{}, err
		}
	}
	if err := w.dst.Flush(); err != nil {
		return Rewritten{}, fmt.Errorf("writing %s: %w", w.options.File, err)
	}
	return w.result, nil
}
