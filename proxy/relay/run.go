package relay

import (
	"crypto/tls"
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

func (b *Buffers) put(buf *buffer) { b.pool.Put(buf) }

// halfCloser is a connection whose two directions end one by one.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// Relay is two connections being spliced: the machine, shared by one goroutine for each
// direction, and the connections.
type Relay struct {
	mu      sync.Mutex
	machine *Machine
	framing framing
	writing bool        // to the client: what framing has not heard of yet
	parting *parting    // set once somebody wants the session to end
	conns   [2]net.Conn // by Side
	ahead   []byte
	buffers *Buffers
	fault   any // of the other goroutine, which Run's owner gets to hear of
}

// New prepares a relay, which owns both connections from now on. What was read
// ahead of it goes to the backend first.
func New(client, backend net.Conn, ahead []byte, t Timeouts, b *Buffers) *Relay {
	return &Relay{
		machine: NewMachine(t, time.Now()), conns: [2]net.Conn{client, backend}, ahead: ahead, buffers: b,
	}
}

// Run relays until both directions have ended, then closes both connections.
func (p *Relay) Run() Result {
	p.wake()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p.fault = recover(); p.fault != nil {
				p.failed(Gateway)
			}
		}()
		p.direction(ToBackend)
		p.ignoreClient()
	}()
	p.direction(ToClient)
	<-done
	if p.fault != nil {
		panic(p.fault)
	}
	p.close()
	return p.machine.Result()
}

// Progress tells what was moved so far.
func (p *Relay) Progress() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Result()
}

// direction copies one way to its end. The named method is what a stack dump shows.
func (p *Relay) direction(d Direction) {
	from, to := p.conns[d], p.conns[1-d]
	if d == ToBackend && len(p.ahead) > 0 && (!p.passing(d, p.ahead) || !p.write(d, to, p.ahead)) {
		return
	}
	src := newSource(from, p.buffers)
	for {
		data, err := src.read()
		alive := len(data) == 0 || p.passing(d, data) && p.write(d, to, data)
		p.passed(d)
		src.release()
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

// watchful is how long a write may be blocked before it looks after the other side. Who
// waits for a peer that reads nothing doesn't read, and would not hear of a reset.
const watchful = 700 * time.Millisecond

// write delivers data and tells whether the relay goes on. A peer that takes
// some of it, however slowly, makes progress.
func (p *Relay) write(d Direction, to net.Conn, data []byte) bool {
	if !resumable(to) {
		return p.writeWhole(d, to, data)
	}
	for {
		n, err := to.Write(data)
		p.moved(d, data[:n])
		data = data[n:]
		switch {
		case err == nil:
			return true
		case !errors.Is(err, os.ErrDeadlineExceeded):
			p.failed(Side(1 - d))
			return false
		case p.expired():
			return false
		case broken(p.conns[d]):
			p.failed(d.from())
			return false
		}
		_ = to.SetWriteDeadline(time.Now().Add(watchful))
	}
}

// writeWhole is write for TLS, where a write that timed out can't be taken up again:
// each gets the whole time, and is the end if it takes longer.
func (p *Relay) writeWhole(d Direction, to net.Conn, data []byte) bool {
	_ = to.SetWriteDeadline(time.Now().Add(p.patience()))
	n, err := to.Write(data)
	p.moved(d, data[:n])
	switch {
	case err == nil:
		return true
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.stalled()
	default:
		p.failed(Side(1 - d))
	}
	return false
}

// resumable tells whether a write that timed out can go on where it stopped.
func resumable(c net.Conn) bool {
	_, isTLS := c.(*tls.Conn)
	return !isTLS
}

func (p *Relay) moved(d Direction, data []byte) {
	if len(data) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Moved(d, len(data), time.Now())
	if d == ToClient {
		p.framing.answered(data)
	}
}

// ended passes a FIN on, and shortens the time that the other direction may stand still.
func (p *Relay) ended(d Direction, to net.Conn) {
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

func (p *Relay) failed(by Side) {
	p.mu.Lock()
	over := p.machine.Over()
	p.machine.Failed(by)
	p.mu.Unlock()
	if !over { // else who ended it closes both, perhaps with a word to the client
		p.close()
	}
}

// expired asks the machine, and closes both connections if nothing has happened for too long.
func (p *Relay) expired() bool {
	p.mu.Lock()
	over := p.machine.Expired(time.Now())
	p.mu.Unlock()
	if over {
		p.close()
	}
	return over
}

func (p *Relay) stalled() {
	p.mu.Lock()
	p.machine.Stalled()
	p.mu.Unlock()
	p.close()
}

func (p *Relay) patience() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Patience()
}

func (p *Relay) deadline() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Deadline()
}

// wake sets the deadlines of all reads and writes, also those under way. What moves does
// not move them: who times out asks the machine, and goes on if something happened since.
func (p *Relay) wake() {
	t, soon := p.deadline(), time.Now().Add(watchful)
	for _, c := range p.conns {
		_ = c.SetReadDeadline(t)
		if resumable(c) {
			_ = c.SetWriteDeadline(soon)
		}
	}
}

func (p *Relay) close() {
	for _, c := range p.conns {
		_ = c.Close()
	}
}
