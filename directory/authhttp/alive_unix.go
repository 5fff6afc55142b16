//go:build unix

package authhttp

import (
	"net"
	"syscall"
)

// isAlive looks whether a kept connection has anything to say. Nothing is what it should be: an end, an
// alert of TLS, or an answer that nobody asked for all mean that no question may go there.
func isAlive(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var space [1]byte
		_, _, err := syscall.Recvfrom(int(fd), space[:], syscall.MSG_PEEK)
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && quiet
}
