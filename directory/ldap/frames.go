package ldap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"sync/atomic"
)

// maxMessage is more than an entry with the few attributes that are asked for can need, and
// maxAnswer more than the two entries that a question may have.
const (
	maxMessage = 4 << 20
	maxAnswer  = 8 << 20
)

var (
	errNoMessage   = errors.New("what the server sends is no LDAP message")
	errLongMessage = errors.New("the server sends a message longer than 4 MiB")
	errLongAnswer  = errors.New("the server sends more than 8 MiB as an answer")
)

// frames passes on whole messages, and refuses one that is too long before any of it is
// kept: go-ldap's reader believes in any length.
type frames struct {
	net.Conn
	buffer  *bufio.Reader
	left    int // of the message that is being passed on
	allowed atomic.Int64
}

func newFrames(c net.Conn) *frames {
	f := &frames{Conn: c, buffer: bufio.NewReader(c)}
	f.bound()
	return f
}

// bound has all that comes from now on count as one answer.
func (f *frames) bound() { f.allowed.Store(maxAnswer) }

// unbound is for a connection on which the whole content comes.
func (f *frames) unbound() { f.allowed.Store(math.MaxInt64) }

// Read implements io.Reader.
func (f *frames) Read(p []byte) (int, error) {
	if f.left == 0 {
		if err := f.begin(); err != nil {
			return 0, err
		}
	}
	n, err := f.buffer.Read(p[:min(len(p), f.left)])
	f.left -= n
	if f.allowed.Add(-int64(n)) < 0 {
		return 0, errLongAnswer
	}
	return n, err
}

// begin looks at a message's head: a sequence, and its length in the short form or in up to four octets.
func (f *frames) begin() error {
	head, err := f.buffer.Peek(2)
	if err != nil {
		return err
	}
	width := int(head[1] &^ 0x80)
	switch {
	case head[0] != 0x30:
		return errNoMessage
	case head[1] < 0x80:
		f.left = len(head) + width
		return nil
	case width == 0 || width > 4: // without an end, or beyond all bounds
		return errNoMessage
	}
	if head, err = f.buffer.Peek(2 + width); err != nil {
		return err
	}
	var length [4]byte
	copy(length[4-width:], head[2:])
	size := binary.BigEndian.Uint32(length[:])
	if size > maxMessage {
		return errLongMessage
	}
	f.left = len(head) + int(size)
	return nil
}
