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
	Knows         func(backend string) bool // if set, a backend that it doesn't know is a fault; may be called by many at once
}

// Read turns a whole file into a table, or says all that is wrong with it as *Faults;
// any other error is the reader's. It holds the table and one line at a time. Only
// for the places of duplicates it reads a second time.
func Read(r io.ReadSeeker, o Options) (*directory.Table, error) {
	lines := newReader(o)
	if err := eachLine(r, lines.line); err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.File, err)
	}
	p := lines.take()
	if err := join(r, o, []*part{p}); err != nil {
		return nil, err
	}
	return p.table, nil
}

// part is what some lines of a file say.
type part struct {
	table    *directory.Table // of those that are good
	faults   Faults           // but for duplicates
	repeated []string         // the first addresses that were there already
	repeats  int              // so many lines have such an address
	known    bool             // it was not read again
}

// reader reads lines into parts.
type reader struct {
	options Options
	parser  *parser
	address []byte // scratch
	builder *directory.Builder
	known   map[string]bool // by backend: what Knows said
	part    *part
}

func newReader(o Options) *reader {
	return &reader{
		options: o,
		parser:  newParser(),
		builder: directory.NewBuilder(o.DefaultDomain),
		known:   make(map[string]bool),
		part:    &part{},
	}
}

// take returns the part of the lines since the last take.
func (r *reader) take() *part {
	p := r.part
	p.table, r.part = r.builder.Build(), &part{}
	return p
}

// line takes one line.
func (r *reader) line(number int, text []byte) {
	l, wrong := r.parser.parse(text)
	if wrong != nil {
		r.fault(number, wrong.Column, wrong.Text)
		return
	}
	if l.empty || !r.wanted(l) {
		return
	}
	err := r.builder.Add(l.address.text, l.value)
	switch {
	case errors.Is(err, directory.ErrDuplicate):
		if r.part.repeats++; len(r.part.repeated) < maxFaults {
			r.part.repeated = append(r.part.repeated, r.canonical(l))
		}
	case err != nil:
		r.fault(number, l.address.column, err.Error())
	case !r.knows(l.value.Backend):
		r.fault(number, l.backend.column,
			fmt.Sprintf("mailbox %s: backend %q is not configured", r.canonical(l), l.value.Backend))
	}
}

func (r *reader) fault(number, column int, text string) {
	r.part.faults.add(Fault{Line: number, Column: column, Text: text})
}

func (r *reader) canonical(l line) string {
	address, err := directory.AppendAddress(nil, l.address.text, r.options.DefaultDomain)
	if err != nil {
		return ""
	}
	return string(address)
}

// wanted tells whether a line may become an entry. An address that can't be read is
// wanted, to be found fault with.
func (r *reader) wanted(l line) bool {
	if len(r.options.Only) == 0 {
		return true
	}
	var err error
	r.address, err = directory.AppendAddress(r.address[:0], l.address.text, r.options.DefaultDomain)
	return err != nil || slices.ContainsFunc(r.options.Only, func(o string) bool { return o == string(r.address) })
}

func (r *reader) knows(backend string) bool {
	if r.options.Knows == nil {
		return true
	}
	known, asked := r.known[backend]
	if !asked {
		known = r.options.Knows(backend)
		r.known[backend] = known
	}
	return known
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
		yield(number, trimEnd(text))
		if err != nil {
			return nil
		}
	}
}

func trimEnd(text []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'})
}
