package directory

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"postern/directory/cache"
)

// A source's state as it lies on disk. Each number is a varint, each text its length and its octets.
//
//	followed: 'F', time, groups, of each: name, backends, their names, entries, of each:
//	          address, backend's number << 3 | login? << 2 | state, login
//	asked:    'A', of each entry: 1, address, backend, login, state, time; and 0 at the end
//
// No index is written: a table gets its own when it is read. What is read goes through the same checks as what a
// source says, and lengths are believed only within bounds.
const (
	kindFollowed = 'F'
	kindAsked    = 'A'
	maxText      = 64 << 10  // octets of a group's or backend's name
	maxSaved     = 1 << 20   // groups of a source
	maxBackends  = 1 << 24   // in a group
	maxEntries   = 1<<32 - 1 // in a group
)

var errEncoding = errors.New("it can't be decoded")

// encoder writes until something goes wrong.
type encoder struct {
	to    *bufio.Writer
	space [binary.MaxVarintLen64]byte
}

func (e *encoder) number(n uint64) {
	_, _ = e.to.Write(binary.AppendUvarint(e.space[:0], n)) // the writer keeps its first error for Flush
}

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	_, _ = e.to.WriteString(s)
}

func (e *encoder) time(t time.Time) { e.number(uint64(max(0, t.UnixMilli()))) }

func encodeGroups(w io.Writer, at time.Time, groups map[string]*Table) error {
	e := &encoder{to: bufio.NewWriter(w)}
	_ = e.to.WriteByte(kindFollowed)
	e.time(at)
	e.number(uint64(len(groups)))
	for name, table := range groups {
		e.text(name)
		e.table(table)
	}
	return e.to.Flush()
}

func (e *encoder) table(t *Table) {
	numbers := make(map[string]uint64)
	var names []string
	for _, v := range t.All() {
		if _, seen := numbers[v.Backend]; !seen {
			numbers[v.Backend] = uint64(len(names))
			names = append(names, v.Backend)
		}
	}
	e.number(uint64(len(names)))
	for _, name := range names {
		e.text(name)
	}
	e.number(uint64(t.Len()))
	for address, v := range t.All() {
		e.text(address)
		head := numbers[v.Backend]<<headBits | uint64(v.State)
		if v.Login != "" {
			head |= loginBit
		}
		e.number(head)
		if v.Login != "" {
			e.text(v.Login)
		}
	}
}

func encodeAnswers(w io.Writer, answers iter.Seq2[string, cache.Answer[Value]]) error {
	e := &encoder{to: bufio.NewWriter(w)}
	_ = e.to.WriteByte(kindAsked)
	for address, answer := range answers {
		e.number(1)
		e.text(address)
		e.text(answer.Value.Backend)
		e.text(answer.Value.Login)
		e.number(uint64(answer.Value.State))
		e.time(answer.At)
	}
	e.number(0)
	return e.to.Flush()
}

// decoder reads until something goes wrong; then it returns zeros, and err says why.
type decoder struct {
	from *bufio.Reader
	err  error
	text []byte // scratch
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errEncoding, what)
	}
}

func (d *decoder) kind(want byte) {
	if kind, err := d.from.ReadByte(); err != nil || kind != want {
		d.fail("it is of another kind")
	}
}

func (d *decoder) number(limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(d.from)
	if err != nil || n > limit {
		d.fail("a number is out of bounds")
		return 0
	}
	return n
}

// octets are valid until the next call.
func (d *decoder) octets(limit int) []byte {
	n := int(d.number(uint64(limit)))
	if cap(d.text) < n {
		d.text = make([]byte, n)
	}
	d.text = d.text[:n]
	if _, err := io.ReadFull(d.from, d.text); err != nil && d.err == nil {
		d.fail("it ends too early")
	}
	return d.text
}

// string is a call, so that what is read stays in order; a conversion around a call need not be done before the next one.
func (d *decoder) string(limit int) string { return string(d.octets(limit)) }

func (d *decoder) time() time.Time {
	return time.UnixMilli(int64(d.number(1 << 60)))
}

// end wants nothing more to come.
func (d *decoder) end() error {
	if _, err := d.from.ReadByte(); d.err == nil && !errors.Is(err, io.EOF) {
		d.fail("something follows")
	}
	return d.err
}

func decodeGroups(r io.Reader) (at time.Time, groups map[string]*Table, err error) {
	d := &decoder{from: bufio.NewReader(r)}
	d.kind(kindFollowed)
	at = d.time()
	groups = make(map[string]*Table)
	for range d.number(maxSaved) {
		name := d.string(maxText)
		table := d.table()
		if d.err != nil {
			return at, nil, d.err
		}
		if name == "" || groups[name] != nil || table.Len() == 0 {
			d.fail("a group that can't be")
			return at, nil, d.err
		}
		groups[name] = table
	}
	return at, groups, d.end()
}

func (d *decoder) table() *Table {
	var names []string
	for range d.number(maxBackends) {
		names = append(names, d.string(maxText))
		if d.err != nil {
			return nil
		}
	}
	b := NewBuilder("")
	var address []byte
	for range d.number(maxEntries) {
		address = append(address[:0], d.octets(maxName)...)
		head := d.number(1 << 40)
		v := Value{State: State(head & (loginBit - 1))}
		if head&loginBit != 0 {
			v.Login = d.string(maxLogin)
		}
		if number := head >> headBits; number < uint64(len(names)) {
			v.Backend = names[number]
		}
		if d.err == nil && v.State > Moving {
			d.fail("a state that does not exist")
		}
		if err := b.Add(address, v); err != nil && d.err == nil {
			d.err = fmt.Errorf("%w: %w", errEncoding, err)
		}
		if d.err != nil {
			return nil
		}
	}
	return b.Build()
}

func decodeAnswers(r io.Reader, take func(address string, v Value, at time.Time)) error {
	d := &decoder{from: bufio.NewReader(r)}
	d.kind(kindAsked)
	for d.number(1) == 1 {
		address := d.string(maxName)
		v := Value{Backend: d.string(maxValue), Login: d.string(maxLogin)}
		v.State = State(d.number(uint64(Moving)))
		at := d.time()
		if err := checkValue(v); err != nil {
			d.fail(err.Error())
		}
		if d.err != nil {
			return d.err
		}
		take(address, v, at)
	}
	return d.end()
}

func answerOf(v Value, at time.Time) cache.Answer[Value] {
	return cache.Answer[Value]{Value: v, At: at}
}
