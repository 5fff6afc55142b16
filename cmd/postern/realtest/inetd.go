package realtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// inetd is the super server of old: it accepts, and each connection becomes
// the standard input and output of a program of its own.
type inetd struct {
	listener *net.TCPListener
	make     func(client *net.TCPAddr) *exec.Cmd
	log      *os.File // the programs' standard error

	mu       sync.Mutex
	running  map[*exec.Cmd]struct{}
	closed   bool
	failures []error
	wg       sync.WaitGroup
}

// startInetd listens on a loopback port and runs what make returns for each
// client. When the test ends it ends the programs that still run.
func startInetd(t testing.TB, make func(client *net.TCPAddr) *exec.Cmd) (string, error) {
	dir, err := shortTemp(t)
	if err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		return "", err
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", errors.Join(err, log.Close())
	}
	d := &inetd{listener: listener, make: make, log: log, running: map[*exec.Cmd]struct{}{}}
	d.wg.Go(d.accept)
	t.Cleanup(func() { d.stop(t) })
	return listener.Addr().String(), nil
}

func (d *inetd) accept() {
	for {
		conn, err := d.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			d.fail(fmt.Errorf("accepting: %w", err))
			return
		}
		d.wg.Go(func() { d.serve(conn) })
	}
}

// serve hands conn to a program and waits for its end. From the start of the
// program on conn is the program's; here it is closed.
func (d *inetd) serve(conn *net.TCPConn) {
	file, err := conn.File()
	if err == nil {
		// The programs know nothing of non-blocking sockets; the flag is shared
		// by all descriptors of a socket.
		err = syscall.SetNonblock(int(file.Fd()), false)
	}
	cmd := d.make(conn.RemoteAddr().(*net.TCPAddr))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, d.log
	if err == nil {
		err = d.start(cmd)
	}
	file.Close()
	conn.Close()
	if err != nil {
		d.fail(err)
		return
	}
	cmd.Wait() // the exit code says how the session ended, which is no fault
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, cmd)
}

func (d *inetd) start(cmd *exec.Cmd) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	// A group of its own: what the program forks is ended with it.
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	d.running[cmd] = struct{}{}
	return nil
}

func (d *inetd) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures = append(d.failures, err)
}

func (d *inetd) stop(t testing.TB) {
	d.listener.Close()
	d.mu.Lock()
	d.closed = true
	for cmd := range d.running {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	d.mu.Unlock()
	d.wg.Wait()
	for _, err := range d.failures {
		t.Errorf("inetd: %v", err)
	}
	if text, _ := os.ReadFile(d.log.Name()); t.Failed() && len(text) > 0 {
		t.Logf("standard error of the inetd's programs:\n%s", tail(text, 8<<10))
	}
	d.log.Close()
}
