package admin

import (
	"net"
	"sync"
)

// crowd is a listener that lets in so many connections at once. Who comes when it is full waits in
// the kernel's queue: every connection inside has its deadlines, so there is soon room.
type crowd struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newCrowd(l net.Listener, places int) *crowd {
	return &crowd{Listener: l, places: make(chan struct{}, places), closed: make(chan struct{})}
}

// Accept waits for a place, then for somebody to take it.
func (c *crowd) Accept() (net.Conn, error) {
	select {
	case c.places <- struct{}{}:
	case <-c.closed:
		return nil, net.ErrClosed
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		<-c.places
		return nil, err
	}
	return &guest{Conn: conn, crowd: c}, nil
}

// Close ends an Accept that waits.
func (c *crowd) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Listener.Close()
}

// guest is a connection that gives its place back when it is closed.
type guest struct {
	net.Conn
	crowd *crowd
	once  sync.Once
}

// Close may be called more than once.
func (g *guest) Close() error {
	g.once.Do(func() { <-g.crowd.places })
	return g.Conn.Close()
}
