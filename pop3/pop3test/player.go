package pop3test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// afterwards is how long a report waits for what else the gateway says.
const afterwards = 50 * time.Millisecond

// player plays one transcript.
type player struct {
	env      Env
	timeout  time.Duration
	wires    map[wire]*playedConn
	arrivals []chan net.Conn // of each backend
	accepts  sync.WaitGroup
	said     strings.Builder // what was really said, as a transcript
}

// playedConn is a connection and whether the transcript told its end.
type playedConn struct {
	*Conn
	ended bool
}

func newPlayer(env Env) *player {
	p := &player{env: env, timeout: DefaultTimeout, wires: map[wire]*playedConn{}}
	for _, l := range env.Backends {
		arrivals := make(chan net.Conn, 64)
		p.arrivals = append(p.arrivals, arrivals)
		p.accepts.Go(func() { acceptAll(l, arrivals) })
	}
	return p
}

// acceptAll ends when the listener is closed, and with it the channel.
func acceptAll(l net.Listener, arrivals chan<- net.Conn) {
	defer close(arrivals)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		arrivals <- c
	}
}

// stop closes everything and waits for the goroutines.
func (p *player) stop() {
	for _, c := range p.wires {
		_ = c.Close()
	}
	for _, l := range p.env.Backends {
		_ = l.Close()
	}
	for _, arrivals := range p.arrivals {
		for c := range arrivals {
			_ = c.Close()
		}
	}
	p.accepts.Wait()
}

// conn returns a step's connection. A client's first step connects.
func (p *player) conn(s step) (*playedConn, error) {
	if c := p.wires[s.wire]; c != nil {
		c.SetTimeout(p.timeout)
		return c, nil
	}
	if s.wire.backend {
		return nil, errors.New("the gateway has not dialled: no b-dial before this line")
	}
	if err := p.dial(s); err != nil {
		return nil, err
	}
	return p.conn(s)
}

func (p *player) dial(s step) error {
	if c := p.wires[s.wire]; c != nil && !c.ended {
		return errors.New("the client is still connected: use another number")
	}
	c, err := p.env.Dial()
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	p.enter(s.wire, c)
	p.note(s.wire.String() + "-dial")
	return nil
}

func (p *player) enter(w wire, c net.Conn) {
	if old := p.wires[w]; old != nil {
		_ = old.Close()
	}
	p.wires[w] = &playedConn{Conn: NewConn(c)}
}

func (p *player) accept(s step) error {
	if c := p.wires[s.wire]; c != nil && !c.ended {
		return errors.New("the connection before has no end yet: use another number")
	}
	if s.listener < 1 || s.listener > len(p.arrivals) {
		return fmt.Errorf("there are %d backends", len(p.arrivals))
	}
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	select {
	case c, open := <-p.arrivals[s.listener-1]:
		if !open {
			return errors.New("the backend's listener is closed")
		}
		p.enter(s.wire, c)
		p.note(s.text)
		return nil
	case <-timer.C:
		return fmt.Errorf("the gateway doesn't dial within %v", p.timeout)
	}
}

// send sends octets. What nobody takes any more is lost, as with TCP.
func (p *player) send(s step) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	p.note(s.text)
	err = c.Send(s.octets)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe) {
		p.note("# the gateway is gone: " + err.Error())
		return nil
	}
	return err
}

func (p *player) fin(s step) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	p.note(s.text)
	return c.Fin()
}

func (p *player) rst(s step) error   { return p.leave(s, (*Conn).Reset) }
func (p *player) close(s step) error { return p.leave(s, (*Conn).Close) }

func (p *player) leave(s step, how func(*Conn) error) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	c.ended = true
	p.note(s.text)
	return how(c.Conn)
}

func (p *player) wait(s step) error {
	p.note(s.text)
	<-time.After(s.duration)
	return nil
}

func (p *player) setTimeout(s step) error {
	p.note(s.text)
	p.timeout = s.duration
	return nil
}

func (p *player) note(line string) { p.said.WriteString(line + "\n") }

// checkEnds finds what the transcript is silent about.
func (p *player) checkEnds() error {
	for _, w := range p.sorted() {
		if !p.wires[w].ended {
			return fmt.Errorf("the transcript doesn't say how %v ends", w)
		}
	}
	for i, arrivals := range p.arrivals {
		if len(arrivals) > 0 {
			return fmt.Errorf("the gateway dialled backend %d and no b-dial says so", i+1)
		}
	}
	return nil
}

func (p *player) sorted() []wire {
	return slices.SortedFunc(maps.Keys(p.wires), func(a, b wire) int { return strings.Compare(a.String(), b.String()) })
}

// report joins what was said, what was wanted and what came besides.
func (p *player) report(s step, err error) error {
	for _, w := range p.sorted() {
		if c := p.wires[w]; !c.ended && c.next(afterwards) == nil {
			p.note(fmt.Sprintf("# unread on %v: %s", w, c.unread()))
		}
	}
	for i, arrivals := range p.arrivals {
		if len(arrivals) > 0 {
			p.note(fmt.Sprintf("# unexpected connection to backend %d", i+1))
		}
	}
	return fmt.Errorf("the transcript so far:\n\n%s\nline %d: want %s\n%w", p.said.String(), s.line, s.text, err)
}
