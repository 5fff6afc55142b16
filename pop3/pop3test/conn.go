package pop3test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// DefaultTimeout bounds each wait for the other side.
const DefaultTimeout = 5 * time.Second

// maxLine is far above what a message may hold (tests have lines of 70,000 octets).
const maxLine = 1 << 20

// What a wait may end in, apart from the stream's own end.
var (
	ErrBareLF  = errors.New("a line ended in LF without CR")
	ErrTooLong = errors.New("the line has no end")
	ErrNothing = errors.New("nothing came in time")
	ErrNoRead  = errors.New("the other side doesn't read")
)

// Conn is one end of a connection, with lines and bounded waits. It is not safe
// for use by several goroutines.
type Conn struct {
	raw     net.Conn
	in      *bufio.Reader
	timeout time.Duration
}

// NewConn takes c over: Close closes it.
func NewConn(c net.Conn) *Conn {
	return &Conn{raw: c, in: bufio.NewReader(c), timeout: DefaultTimeout}
}

// Raw returns the connection beneath. What was read ahead is not in it.
func (c *Conn) Raw() net.Conn { return c.raw }

// SetTimeout changes the bound of each wait from here on.
func (c *Conn) SetTimeout(d time.Duration) { c.timeout = d }

// Send writes octets as they are.
func (c *Conn) Send(octets []byte) error {
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.timeout)) // Write tells what is wrong
	_, err := c.raw.Write(octets)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrNoRead
	}
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return nil
}

// SendLine writes a line and its CRLF in one piece.
func (c *Conn) SendLine(line string) error { return c.Send([]byte(line + "\r\n")) }

// Line reads a line and returns it without its CRLF. With an error it returns what
// came of the line.
func (c *Conn) Line() (string, error) {
	c.patience(c.timeout)
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(line) < maxLine:
		case errors.Is(err, bufio.ErrBufferFull):
			return string(line), ErrTooLong
		case err != nil:
			return string(line), plain(err)
		case !bytes.HasSuffix(line, []byte("\r\n")):
			return string(line), ErrBareLF
		default:
			return string(line[:len(line)-2]), nil
		}
	}
}

// Octets reads exactly n octets. With an error it returns what came of them.
func (c *Conn) Octets(n int) ([]byte, error) {
	c.patience(c.timeout)
	octets := make([]byte, n)
	n, err := io.ReadFull(c.in, octets)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return octets[:n], plain(err)
}

// Quiet watches for d. It returns nil if nothing came, neither an octet nor an end.
func (c *Conn) Quiet(d time.Duration) error {
	switch err := c.next(d); {
	case errors.Is(err, ErrNothing):
		return nil
	case err == nil:
		return fmt.Errorf("octets came: %s", c.unread())
	default:
		return fmt.Errorf("the stream ended: %w", err)
	}
}

// End waits for the stream's end and returns how it ended: io.EOF or
// syscall.ECONNRESET. Octets that come before, or no end in time, are other errors.
func (c *Conn) End() error {
	err := c.next(c.timeout)
	if err == nil {
		return fmt.Errorf("octets came instead of the end: %s", c.unread())
	}
	return err
}

// Fin shuts down the sending side. Reading goes on.
func (c *Conn) Fin() error {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("%T can't be half-closed", c.raw)
	}
	return half.CloseWrite()
}

// Reset closes the connection with a RST, where it knows what that is.
func (c *Conn) Reset() error {
	tcp, ok := c.raw.(interface{ SetLinger(int) error })
	if !ok {
		return fmt.Errorf("%T can't be reset", c.raw)
	}
	return errors.Join(tcp.SetLinger(0), c.raw.Close())
}

// Close closes the connection.
func (c *Conn) Close() error { return c.raw.Close() }

// next waits for the next octet without taking it.
func (c *Conn) next(d time.Duration) error {
	c.patience(d)
	_, err := c.in.Peek(1)
	return plain(err)
}

// unread shows, without waiting, a little of what came and was not taken.
func (c *Conn) unread() string {
	octets, _ := c.in.Peek(min(c.in.Buffered(), 200))
	return fmt.Sprintf("%q", octets)
}

// patience bounds the reads that follow. What is wrong with the connection they
// tell themselves: net.Pipe refuses a deadline where its Read still tells of the end.
func (c *Conn) patience(d time.Duration) {
	_ = c.raw.SetReadDeadline(time.Now().Add(d))
}

// plain leaves of a read's error what a test compares.
func plain(err error) error {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return err
	case errors.Is(err, syscall.ECONNRESET):
		return syscall.ECONNRESET
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrNothing
	}
	return fmt.Errorf("reading: %w", err)
}
