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

// maxLine bounds a line in octets. The longest that means something, with all its
// octets written as %XX, is half of that.
const maxLine = 4096

// Options say how a file is read.
type Options struct {
	File          string                    // as faults call it
	DefaultDomain string                    // for bare names; as directory.Domain returns it, or empty
	Only          []string                  // if set, of the canonical addresses only these become entries
	Knows         func(backend string) bool // if set, a backend that it doesn't know is a fault
}

// Read turns a whole file into a table, or says all that is wrong with it as *Faults;
// any other error is the reader's. It holds the table and one line at a time. Only
// for the places of duplicates it reads a second time.
func Read(r io.ReadSeeker, o Options) (*directory.Table, error) {
	f := &file{
		options: o,
		parser:  newParser(),
		builder: directory.NewBuilder(o.DefaultDomain),
		faults:  Faults{File: o.File},
		known:   make(map[string]bool),
		twice:   make(map[string][]int),
	}
	if err := eachLine(r, f.line); err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.File, err)
	}
	if len(f.twice) > 0 {
		if err := f.findFirst(r); err != nil {
			return nil, fmt.Errorf("reading %s again: %w", o.File, err)
		}
	}
	if err := f.faults.err(); err != nil {
		return nil, err
	}
	return f.builder.Build(), nil
}

type file struct {
	options Options
	parser  *parser
	address []byte // scratch
	builder *directory.Builder
	faults  Faults
	known   map[string]bool  // by backend: what Knows said
	twice   map[string][]int // by address: its duplicates' places in faults.List
}

// line takes one line.
func (f *file) line(number int, text []byte) {
	l, wrong := f.parser.parse(text)
	if wrong != nil {
		f.fault(number, wrong.Column, wrong.Text)
		return
	}
	if l.empty || !f.wanted(l) {
		return
	}
	err := f.builder.Add(l.address.text, l.value)
	if errors.Is(err, directory.ErrDuplicate) && len(f.faults.List) < maxFaults {
		address := f.canonical(l)
		f.twice[address] = append(f.twice[address], len(f.faults.List))
	}
	switch {
	case err != nil:
		f.fault(number, l.address.column, err.Error())
	case !f.knows(l.value.Backend):
		f.fault(number, l.backend.column,
			fmt.Sprintf("mailbox %s: backend %q is not configured", f.canonical(l), l.value.Backend))
	}
}

func (f *file) fault(number, column int, text string) {
	f.faults.add(Fault{Line: number, Column: column, Text: text})
}

func (f *file) canonical(l line) string {
	address, err := directory.AppendAddress(nil, l.address.text, f.options.DefaultDomain)
	if err != nil {
		return ""
	}
	return string(address)
}

// wanted tells whether a line may become an entry. An address that can't be read is
// wanted, to be found fault with.
func (f *file) wanted(l line) bool {
	if len(f.options.Only) == 0 {
		return true
	}
	var err error
	f.address, err = directory.AppendAddress(f.address[:0], l.address.text, f.options.DefaultDomain)
	return err != nil || slices.ContainsFunc(f.options.Only, func(o string) bool { return o == string(f.address) })
}

func (f *file) knows(backend string) bool {
	if f.options.Knows == nil {
		return true
	}
	known, asked := f.known[backend]
	if !asked {
		known = f.options.Knows(backend)
		f.known[backend] = known
	}
	return known
}

// findFirst reads the file again and tells each duplicate where the address was
// first. The table does not know: a line's number for each of ten million entries
// would be 40 MB for the sake of a file that is thrown away.
func (f *file) findFirst(r io.ReadSeeker) error {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return eachLine(r, func(number int, text []byte) {
		l, wrong := f.parser.parse(text)
		if wrong != nil || l.empty {
			return
		}
		address := f.canonical(l)
		for _, place := range f.twice[address] {
			f.faults.List[place].Text = fmt.Sprintf("%s has an entry already, in line %d", address, number)
		}
		delete(f.twice, address)
	})
}

// eachLine calls yield for each line, without its end and without the byte order
// mark that some editors put before the first. Of a line that is far too long only
// the beginning is given.
func eachLine(r io.Reader, yield func(number int, text []byte)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		text, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'})
		yield(number, text)
		if err != nil {
			return nil
		}
	}
}
