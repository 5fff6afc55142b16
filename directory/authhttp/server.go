package authhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

const (
	// maxConnections bounds the logins that one server judges at the same time.
	maxConnections = 64
	// avoidTime is how long a server that failed is tried after the others only.
	avoidTime = 10 * time.Second
)

// dialFunc connects.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// server is one of the machines that the service runs on.
type server struct {
	host    string // as in the URL; with the port where it isn't the usual one
	address string
	opening []byte // the request's line and Host
	tls     *tls.Config
	connect time.Duration
	dial    dialFunc
	places  chan struct{} // one for each connection in use

	mu      sync.Mutex
	closed  bool
	idle    []*conn // the latest used last
	avoided time.Time
}

func newServer(u *url.URL, config *tls.Config, connect time.Duration, dial dialFunc) *server {
	s := &server{host: u.Host, connect: connect, dial: dial, places: make(chan struct{}, maxConnections)}
	port := u.Port()
	if u.Scheme == "https" {
		s.tls = config.Clone()
		if s.tls.ServerName == "" {
			s.tls.ServerName = u.Hostname()
		}
		if port == "" {
			port = "443"
		}
	}
	if port == "" {
		port = "80"
	}
	s.address = net.JoinHostPort(u.Hostname(), port)
	s.opening = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host)
	return s
}

// inOrder returns the servers as they are configured, those that failed lately last.
func inOrder(servers []*server, now time.Time) []*server {
	well, ill := make([]*server, 0, len(servers)), []*server(nil)
	for _, s := range servers {
		if s.isAvoided(now) {
			ill = append(ill, s)
		} else {
			well = append(well, s)
		}
	}
	return append(well, ill...)
}

func (s *server) isAvoided(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.avoided)
}

// note remembers how a question went.
func (s *server) note(well bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.avoided = (time.Time{}); !well {
		s.avoided = now.Add(avoidTime)
	}
}

// ask puts the question. asked tells whether the server may have seen it.
func (s *server) ask(ctx context.Context, fields []byte) (a *answer, asked bool, err error) {
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return nil, false, fmt.Errorf("waiting for one of %d connections: %w", maxConnections, ctx.Err())
	}
	c, err := s.conn(ctx)
	if err == nil {
		asked = true
		a, err = s.exchange(ctx, c, fields)
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // a client that left says nothing about the server
		s.note(err == nil && a.status < 500, time.Now())
	}
	return a, asked, err
}

// conn returns a connection that was kept, or a new one. Whoever gets it closes it, or puts it back.
func (s *server) conn(ctx context.Context) (*conn, error) {
	for c := s.take(); c != nil; c = s.take() {
		if c.timer.Stop() && isAlive(c.raw) {
			return c, nil
		}
		_ = c.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, s.connect)
	defer cancel()
	raw, err := s.dial(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	c := newConn(raw)
	if s.tls != nil {
		secured := tls.Client(raw, s.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		c.Conn = secured
	}
	return c, nil
}

// exchange writes the question and reads the answer. It has the connection from here on.
func (s *server) exchange(ctx context.Context, c *conn, fields []byte) (*answer, error) {
	release := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	a, keep, err := c.exchange(s.opening, fields)
	if release() && err == nil && keep {
		s.keep(c)
	} else {
		_ = c.Close()
	}
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	return a, err
}

func (s *server) take() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	c := s.idle[last]
	s.idle = s.idle[:last]
	return c
}

func (s *server) keep(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return
	}
	s.idle = append(s.idle, c) // at most maxConnections, since each had a place
	c.timer = time.AfterFunc(idleTime, func() { s.drop(c) })
}

// drop ends a connection that nobody took for a while.
func (s *server) drop(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.idle {
		if other == c {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			_ = c.Close()
			return
		}
	}
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.idle {
		c.timer.Stop()
		_ = c.Close()
	}
	s.idle = nil
}
