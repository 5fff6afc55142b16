package pop3

import (
	"bytes"
	"errors"
)

// Lengths in octets, line end included (RFC 2449, section 4).
const (
	MaxCommandLine  = 255
	MaxResponseLine = 512
)

// What can be wrong with a line. After ErrLineTooLong nothing more can be read:
// nobody knows where the next line begins. After the other two the line is
// consumed, and reading goes on behind it.
var (
	ErrLineTooLong = errors.New("line too long")
	ErrNUL         = errors.New("NUL in line")
	ErrBareCR      = errors.New("CR without LF in line")
)

// smallestBuffer holds what most sessions say before they are relayed.
const smallestBuffer = 128

// LineReader cuts a stream of octets into lines. It is fed by Write and never
// reads by itself, so that one grammar serves goroutines, event loops and tables
// of test events alike.
//
// Lines end in CRLF. A bare LF is taken as well, since hand-typed sessions and old
// clients send it and no other reading of it exists; a bare CR is refused, because
// servers differ on whether it ends a line (and a difference is an injection).
type LineReader struct {
	buf     []byte // buf[head:] came in and was not taken
	head    int
	scanned int // so many octets of buf[head:] hold no LF
	max     int
	broken  bool
}

// NewLineReader returns a reader that holds at most max octets.
func NewLineReader(max int) *LineReader { return &LineReader{max: max} }

// Room tells how many octets Write takes now. At 0 the peer has to wait.
func (r *LineReader) Room() int { return max(0, r.max-r.Buffered()) }

// SetMax changes how many octets the reader holds at most: a token is longer than
// any command. What is held already stays. Less gives the memory back, so that lines
// taken before are no longer valid.
func (r *LineReader) SetMax(max int) {
	r.max = max
	if cap(r.buf) <= max || r.Buffered() > max {
		return
	}
	held := bytes.Clone(r.Pending())
	clear(r.buf[:cap(r.buf)])
	r.buf, r.head = held, 0
}

// Pending is what came in and was not taken, so that the line's limit can depend
// on how it begins. It is valid until the next Write.
func (r *LineReader) Pending() []byte { return r.buf[r.head:] }

// Buffered tells how many octets came in and were not taken.
func (r *LineReader) Buffered() int { return len(r.buf) - r.head }

// Write takes up to Room octets of p and tells how many those were.
func (r *LineReader) Write(p []byte) int {
	if r.head > 0 {
		kept := copy(r.buf, r.buf[r.head:])
		clear(r.buf[kept:]) // a taken line may have been a password
		r.buf, r.head = r.buf[:kept], 0
	}
	n := min(len(p), r.Room())
	r.grow(n)
	r.buf = append(r.buf, p[:n]...)
	return n
}

// grow makes room for n more octets. It does what append would do, except that
// the memory never passes max and the old array is overwritten: half a password
// may have stood there, where Wipe would no longer reach it.
func (r *LineReader) grow(n int) {
	need := len(r.buf) + n
	if need <= cap(r.buf) {
		return
	}
	larger := make([]byte, len(r.buf), min(r.max, max(need, 2*cap(r.buf), smallestBuffer)))
	copy(larger, r.buf)
	clear(r.buf)
	r.buf = larger
}

// Next takes the next line, without its end. It is valid until the next Write.
// With ok false there is no whole line yet. The limit counts the line's end too; it belongs
// to the state the reader's owner is in, hence a parameter. A line that the
// reader can't hold is too long under any limit: else both ends would wait for ever.
func (r *LineReader) Next(limit int) (line []byte, ok bool, err error) {
	if r.broken {
		return nil, false, ErrLineTooLong
	}
	limit = min(limit, r.max)
	pending := r.buf[r.head:]
	end := bytes.IndexByte(pending[r.scanned:], '\n')
	if end < 0 {
		r.scanned = len(pending)
		r.broken = len(pending) >= limit // the LF would come too late
		return nil, false, r.tooLong()
	}
	end += r.scanned
	if end+1 > limit {
		r.broken = true
		return nil, false, ErrLineTooLong
	}
	r.head += end + 1
	r.scanned = 0
	line = bytes.TrimSuffix(pending[:end], []byte{'\r'})
	return line, true, checkLine(line)
}

func (r *LineReader) tooLong() error {
	if r.broken {
		return ErrLineTooLong
	}
	return nil
}

func checkLine(line []byte) error {
	switch {
	case bytes.IndexByte(line, 0) >= 0:
		return ErrNUL
	case bytes.IndexByte(line, '\r') >= 0:
		return ErrBareCR
	}
	return nil
}

// Rest takes everything that is left, whether lines or not: what the relay has
// to send before its own first octet. It is valid until the next Write.
func (r *LineReader) Rest() []byte {
	clear(r.buf[:r.head]) // a password, maybe
	rest := r.buf[r.head:]
	r.head, r.scanned = len(r.buf), 0
	return rest
}

// Wipe overwrites all that the reader ever held: passwords pass through it.
func (r *LineReader) Wipe() {
	clear(r.buf[:cap(r.buf)])
	r.buf, r.head, r.scanned = r.buf[:0], 0, 0
}
