package backend

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketOptions sets what only Linux has. TCP_USER_TIMEOUT bounds how long data
// may stay without an acknowledgement, which keepalive never looks at: the kernel's
// own patience is fifteen minutes. IP_BIND_ADDRESS_NO_PORT takes the port at
// connect, so that one source address has 28,000 ports for each backend and not
// for all together.
func socketOptions(unacknowledged time.Duration, bound bool) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var fault error
		err := c.Control(func(fd uintptr) {
			if unacknowledged > 0 {
				fault = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds()))
			}
			if bound {
				fault = errors.Join(fault, lateBind(int(fd)))
			}
		})
		return errors.Join(err, fault)
	}
}

// lateBind does without where the system doesn't know it, as user-mode emulators don't: then a source address has
// fewer ports.
func lateBind(fd int) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return nil
	}
	return err
}
