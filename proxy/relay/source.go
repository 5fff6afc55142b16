package relay

import (
	"net"
	"syscall"
)

// source reads from one connection with a buffer of the pool, which it takes only
// when there is something to read.
type source struct {
	conn    net.Conn
	buffers *Buffers
	raw     syscall.RawConn // nil: no descriptor to wait on
	check   func(fd uintptr) bool
	buf     *buffer
	n       int
	err     error
	small   []byte // without descriptor: what it waits with
	busy    bool   // without descriptor: the last read filled its buffer
}

// smallBuffer is what a connection without a descriptor to wait on, TLS, holds while it is idle.
const smallBuffer = 512

// readPlain waits with a small buffer, and takes a large one while there is more.
func (s *source) readPlain() ([]byte, error) {
	if !s.busy {
		if s.small == nil {
			s.small = make([]byte, smallBuffer)
		}
		n, err := s.conn.Read(s.small)
		s.busy = n == smallBuffer
		return s.small[:n], err
	}
	s.buf = s.buffers.get()
	n, err := s.conn.Read(s.buf[:])
	s.busy = n >= smallBuffer
	return s.buf[:n], err
}

// release gives back what read returned.
func (s *source) release() {
	if s.buf != nil {
		s.buffers.put(s.buf)
		s.buf = nil
	}
}
