package proxy

import (
	"errors"
	"net"
)

// maxHandshake is how much a client may send before its handshake is done. A hello
// with a hybrid key share has 1.8 KiB; a chain of client certificates fits as well.
// crypto/tls alone would hold 64 KiB of a stranger's hello that never ends.
const maxHandshake = 24 << 10

var errHandshakeTooLong = errors.New("handshake too long")

// bounded is a connection of which only so much may be read, until left is
// negative. It stays below TLS for good, where nobody looks for splice.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return b.Conn.Read(p)
	}
	if b.left == 0 {
		return 0, errHandshakeTooLong
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
