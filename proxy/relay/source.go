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
}

// take hands out what check found.
func (s *source) take() (*buffer, int, error) {
	buf, n, err := s.buf, s.n, s.err
	s.buf, s.n, s.err = nil, 0, nil
	return buf, n, err
}

// readPlain holds a buffer while it waits, for connections that are no sockets.
func (s *source) readPlain() (*buffer, int, error) {
	buf := s.buffers.get()
	n, err := s.conn.Read(buf[:])
	return buf, n, err
}
