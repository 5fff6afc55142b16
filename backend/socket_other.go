//go:build !linux

package backend

import (
	"syscall"
	"time"
)

// socketOptions sets nothing: what it would set is Linux's.
func socketOptions(time.Duration, bool) func(network, address string, c syscall.RawConn) error {
	return nil
}
