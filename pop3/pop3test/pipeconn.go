package pop3test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how many octets one direction holds before a writer waits.
const pipeBuffer = 1 << 16

// pipeConn is one end of a pipe: it reads what comes in and writes what goes out.
type pipeConn struct {
	in, out       *direction
	local, remote net.Addr

	mu     sync.Mutex
	reset  bool // what Close will do
	closed bool
}

func newPipe(client, server net.Addr) (atClient, atServer *pipeConn) {
	up, down := newDirection(), newDirection()
	return &pipeConn{in: down, out: up, local: client, remote: server},
		&pipeConn{in: up, out: down, local: server, remote: client}
}

func (c *pipeConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

func (c *pipeConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// wrap gives an error the form that errors of a TCP connection have.
func (c *pipeConn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// SetLinger(0) makes Close reset the connection; any other value makes it end in order.
func (c *pipeConn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = seconds == 0
	return nil
}

// CloseWrite ends the sending direction. The other one lives on.
func (c *pipeConn) CloseWrite() error {
	c.out.change(func(d *direction) { d.finished = true })
	return nil
}

// Close ends both directions. As in TCP, the other side is reset if octets of
// its were not read.
func (c *pipeConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.wrap("close", net.ErrClosed)
	}
	c.closed = true
	reset := c.reset
	c.in.change(func(d *direction) {
		reset = reset || len(d.octets) > 0
		d.deaf, d.octets = true, nil
	})
	c.out.change(func(d *direction) { d.finished, d.reset = true, reset })
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.change(func(d *direction) { d.readBy.set(t, d) })
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func(d *direction) { d.writeBy.set(t, d) })
	return nil
}

// direction carries octets from one writer to one reader.
type direction struct {
	mu       sync.Mutex
	changed  *sync.Cond
	octets   []byte
	finished bool // by its writer: no more octets come
	reset    bool // by its writer, too
	deaf     bool // its reader is gone
	readBy   deadline
	writeBy  deadline
}

func newDirection() *direction {
	d := &direction{}
	d.changed = sync.NewCond(&d.mu)
	return d
}

// change alters d and wakes both ends.
func (d *direction) change(alter func(*direction)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	alter(d)
	d.changed.Broadcast()
}

func (d *direction) read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.deaf:
			return 0, net.ErrClosed
		case d.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(d.octets) > 0 || len(p) == 0:
			n := copy(p, d.octets)
			d.octets = d.octets[n:]
			d.changed.Broadcast()
			return n, nil
		case d.reset:
			return 0, syscall.ECONNRESET
		case d.finished:
			return 0, io.EOF
		}
		d.changed.Wait()
	}
}

func (d *direction) write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	written := 0
	for {
		switch {
		case d.finished:
			return written, net.ErrClosed
		case d.deaf:
			return written, syscall.EPIPE
		case d.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		case written == len(p):
			return written, nil
		}
		n := min(len(p)-written, pipeBuffer-len(d.octets))
		if n == 0 {
			d.changed.Wait()
			continue
		}
		d.octets = append(d.octets, p[written:written+n]...)
		written += n
		d.changed.Broadcast()
	}
}

// deadline is a moment from which on one operation fails. Zero is none.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (l *deadline) set(t time.Time, d *direction) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.at = t
	if !t.IsZero() {
		// The lock keeps the call from falling between a waiter's look and its Wait.
		l.timer = time.AfterFunc(time.Until(t), func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.changed.Broadcast()
		})
	}
}

func (l *deadline) passed() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }
