//go:build unix && !solaris && !aix

package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lock takes a lock that other processes respect, and that ends with this one. Its file stays: who removed it
// would let two in.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing it unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sameOwner gives a file the owner and group of another. Who may not give files away can still
// change those of the own.
func sameOwner(f *os.File, of fs.FileInfo) error {
	there, ok := of.Sys().(*syscall.Stat_t)
	mine, err := f.Stat()
	if err != nil || !ok {
		return err
	}
	if here, ok := mine.Sys().(*syscall.Stat_t); ok && here.Uid == there.Uid && here.Gid == there.Gid {
		return nil
	}
	return f.Chown(int(there.Uid), int(there.Gid))
}
