//go:build unix

package relay

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func newSource(c net.Conn, b *Buffers) *source {
	s := &source{conn: c, buffers: b}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw, s.check = raw, s.try
		}
	}
	return s
}

// read waits without a buffer until there is something, then reads it. The data
// is valid until release, which is called after an error too.
func (s *source) read() ([]byte, error) {
	if s.raw == nil {
		return s.readPlain()
	}
	if err := s.raw.Read(s.check); err != nil {
		return nil, err // the deadline, or closed
	}
	return s.buf[:s.n], s.err
}

// try is called when the descriptor may be readable; false waits for it.
func (s *source) try(fd uintptr) bool {
	buf := s.buffers.get()
	n, err := ignoringEINTR(int(fd), buf[:])
	if err == syscall.EAGAIN {
		s.buffers.put(buf)
		return false
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	s.buf, s.n, s.err = buf, max(n, 0), err
	return true
}

// broken tells whether a connection was reset, without reading from it.
func broken(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var faulty bool
	_ = raw.Control(func(fd uintptr) {
		polled := []unix.PollFd{{Fd: int32(fd)}} // POLLERR is told unasked
		n, err := unix.Poll(polled, 0)
		faulty = err == nil && n > 0 && polled[0].Revents&unix.POLLERR != 0
	})
	return faulty
}

func ignoringEINTR(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
