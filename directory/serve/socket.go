package serve

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// socketMode lets in the owner and the group: a mail server gets in by its group.
const socketMode = 0o660

// socket is a Unix socket that takes its file away with it.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// ListenUnix opens a Unix socket for the owner and the group, also for the admin side. What a dead process left there is
// replaced; where a living one answers, it is an error. Close removes the file.
//
// The socket is made under another name first, and gets its mode before it gets its own name,
// so that there is no moment in which others could open it.
func ListenUnix(path string) (net.Listener, error) {
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return l, nil
}

func listenUnix(path string) (net.Listener, error) {
	fresh := path + "~"
	for _, name := range []string{path, fresh} {
		if err := vacant(name); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: path}
	if err := errors.Join(os.Chmod(fresh, socketMode), os.Rename(fresh, path)); err != nil {
		_ = l.Close()
		_ = os.Remove(fresh)
		return nil, err
	}
	if s.file, err = os.Lstat(path); err != nil {
		_ = l.Close()
		return nil, err
	}
	return s, nil
}

// vacant makes a path free for a socket, unless somebody lives there.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("there is a file that is no socket")
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return errors.New("another process is listening there")
	case errors.Is(err, syscall.ECONNREFUSED): // a socket that nobody listens at
		return os.Remove(path)
	}
	return err
}

// Close removes the file, unless another process has put its own there by now.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		_ = os.Remove(s.path)
	}
	return s.UnixListener.Close()
}
