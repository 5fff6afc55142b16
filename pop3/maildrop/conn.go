package maildrop

import (
	"bufio"
	"net"
	"slices"
	"time"

	"postern/pop3"
)

const (
	inputBuffer  = 1024     // octets of pipelined commands
	outputBuffer = 4 << 10  // small answers to pipelined commands share a segment
	writePiece   = 64 << 10 // octets that a client has the idle time for
)

// conn moves the lines and answers of one connection.
type conn struct {
	raw   net.Conn
	idle  time.Duration
	in    *pop3.LineReader
	out   *bufio.Writer
	piece [256]byte // of what is read
}

func newConn(c net.Conn, idle time.Duration) *conn {
	return &conn{
		raw:  c,
		idle: idle,
		in:   pop3.NewLineReader(inputBuffer),
		out:  bufio.NewWriterSize(patientWriter{c, idle}, outputBuffer),
	}
}

// next waits for a line. gone means that the connection is over; a bad line is
// lineErr. The time runs for a whole line: octets that drip don't keep a session alive (RFC 1939,
// section 3: only a command resets the timer).
func (c *conn) next() (line []byte, lineErr, gone error) {
	waiting := false
	for {
		line, ok, err := c.in.Next(pop3.MaxCommandLine)
		if ok || err != nil {
			return line, err, nil
		}
		if !waiting {
			waiting = true
			if err := c.out.Flush(); err != nil {
				return nil, nil, err
			}
			if err := c.raw.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
				return nil, nil, err
			}
		}
		n, err := c.raw.Read(c.piece[:min(len(c.piece), c.in.Room())])
		c.in.Write(c.piece[:n])
		if err != nil && n == 0 {
			return nil, nil, err
		}
	}
}

// send writes the parts one after the other. What is small waits for company until
// the next read.
func (c *conn) send(parts ...[]byte) error {
	for _, part := range parts {
		if _, err := c.out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// close sends what is left.
func (c *conn) close() {
	_ = c.out.Flush()
	_ = c.raw.Close()
}

// patientWriter gives the client the idle time for each piece, not for a whole
// message: a slow line is no dead one.
type patientWriter struct {
	raw  net.Conn
	idle time.Duration
}

func (w patientWriter) Write(p []byte) (written int, err error) {
	for piece := range slices.Chunk(p, writePiece) {
		if err := w.raw.SetWriteDeadline(time.Now().Add(w.idle)); err != nil {
			return written, err
		}
		n, err := w.raw.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
