package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// chunk is how much is read at once.
const chunk = 32 << 10

type buffer = [chunk]byte

// Buffers are shared by relays. One is held only while there is something in it,
// so that idle sessions cost none. The zero value is ready for use.
type Buffers struct{ pool sync.Pool }

func (b *Buffers) get() *buffer {
	if buf, ok := b.pool.Get().(*buffer); ok {
		return buf
	}
	return new(buffer)
}

func (b *Buffers) put(buf *buffer) {
	if buf != nil {
		b.pool.Put(buf)
	}
}

// halfCloser is a connection whose two directions end one by one.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// pair is a relay under way: the machine, shared by one goroutine for each
// direction, and the connections.
type pair struct {
	mu      sync.Mutex
	machine *Machine
	conns   [2]net.Conn // by Side
	buffers *Buffers
}

// Run relays until both directions have ended, then closes both connections. What
// was read ahead of the relay goes to the backend first.
func Run(client, backend net.Conn, ahead []byte, t Timeouts, b *Buffers) Result {
	p := &pair{machine: NewMachine(t, time.Now()), conns: [2]net.Conn{client, backend}, buffers: b}
	p.wake()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.direction(ToBackend, ahead)
	}()
	p.direction(ToClient, nil)
	<-done
	p.close()
	return p.machine.Result()
}

// direction copies one way to its end. The named method is what a stack dump shows.
func (p *pair) direction(d Direction, ahead []byte) {
	from, to := p.conns[d], p.conns[1-d]
	if len(ahead) > 0 && !p.write(d, to, ahead) {
		return
	}
	src := newSource(from, p.buffers)
	for {
		buf, n, err := src.read()
		alive := n == 0 || p.write(d, to, buf[:n])
		p.buffers.put(buf)
		switch {
		case !alive:
			return
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if p.expired() {
				return
			}
			_ = from.SetReadDeadline(p.deadline())
		case errors.Is(err, io.EOF):
			p.ended(d, to)
			return
		default:
			p.failed(d.from())
			return
		}
	}
}

// write delivers data and tells whether the relay goes on. A peer that takes
// some of it, however slowly, makes progress.
func (p *pair) write(d Direction, to net.Conn, data []byte) bool {
	for {
		n, err := to.Write(data)
		data = data[n:]
		p.moved(d, n)
		switch {
		case err == nil:
			return true
		case !errors.Is(err, os.ErrDeadlineExceeded):
			p.failed(Side(1 - d))
			return false
		case p.expired():
			return false
		}
		_ = to.SetWriteDeadline(p.deadline())
	}
}

func (p *pair) moved(d Direction, n int) {
	if n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Moved(d, n, time.Now())
}

// ended passes a FIN on, and shortens the time that the other direction may stand still.
func (p *pair) ended(d Direction, to net.Conn) {
	p.mu.Lock()
	p.machine.Ended(d, time.Now())
	over := p.machine.Over()
	p.mu.Unlock()
	if over {
		return
	}
	if c, ok := to.(halfCloser); ok {
		_ = c.CloseWrite()
	}
	p.wake()
}

func (p *pair) failed(by Side) {
	p.mu.Lock()
	p.machine.Failed(by)
	p.mu.Unlock()
	p.close()
}

// expired asks the machine, and closes both connections if nothing has happened for too long.
func (p *pair) expired() bool {
	p.mu.Lock()
	over := p.machine.Expired(time.Now())
	p.mu.Unlock()
	if over {
		p.close()
	}
	return over
}

func (p *pair) deadline() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Deadline()
}

// wake sets the deadlines of all reads and writes, also those under way. What moves does
// not move them: who times out asks the machine, and goes on if something happened since.
func (p *pair) wake() {
	t := p.deadline()
	for _, c := range p.conns {
		_ = c.SetDeadline(t)
	}
}

func (p *pair) close() {
	for _, c := range p.conns {
		_ = c.Close()
	}
}
