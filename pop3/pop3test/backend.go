package pop3test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"postern/pop3"
)

// NewBackends opens n listeners on loopback, for Env.Backends: the gateway's
// configuration needs their addresses before anything is played.
func NewBackends(t testing.TB, n int) []net.Listener {
	t.Helper()
	var all []net.Listener
	for range n {
		all = append(all, listen(t))
	}
	return all
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening on loopback: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Backend is a server whose sessions are written in Go, for what a transcript
// can't say: many sessions at once, much data.
type Backend struct {
	listener net.Listener
	serve    func(*Conn)
	accepted atomic.Int64

	mu      sync.Mutex
	live    map[net.Conn]struct{}
	stopped bool
	running sync.WaitGroup
}

// NewBackend serves each connection to a loopback address in a goroutine of its
// own, and closes the connection when serve returns. At the test's end it cuts what still
// runs and waits for it.
func NewBackend(t testing.TB, serve func(*Conn)) *Backend {
	t.Helper()
	return ServeBackend(t, listen(t), serve)
}

// ServeBackend is NewBackend on a listener of the caller's, which it closes.
func ServeBackend(t testing.TB, l net.Listener, serve func(*Conn)) *Backend {
	b := &Backend{listener: l, serve: serve, live: map[net.Conn]struct{}{}}
	b.running.Go(b.accept)
	t.Cleanup(b.stop)
	return b
}

// Addr is where the backend listens, HOST:PORT.
func (b *Backend) Addr() string { return b.listener.Addr().String() }

// Sessions tells how many connections came so far.
func (b *Backend) Sessions() int { return int(b.accepted.Load()) }

func (b *Backend) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.accepted.Add(1)
		if b.enter(c) {
			b.running.Go(func() { b.session(c) })
		}
	}
}

func (b *Backend) session(c net.Conn) {
	defer b.leave(c)
	b.serve(NewConn(c))
}

func (b *Backend) enter(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		_ = c.Close()
		return false
	}
	b.live[c] = struct{}{}
	return true
}

func (b *Backend) leave(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.live, c)
	_ = c.Close()
}

func (b *Backend) stop() {
	_ = b.listener.Close()
	b.mu.Lock()
	b.stopped = true
	for c := range b.live {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.running.Wait()
}

// TakeLogin plays a backend's part of a login that it accepts: the greeting, USER,
// PASS. Every other command is answered with -ERR, as by a server that knows no CAPA.
func (c *Conn) TakeLogin() (user, password string, err error) {
	err = c.SendLine("+OK ready")
	for err == nil {
		var line string
		if line, err = c.Line(); err != nil {
			break
		}
		reply := "+OK"
		switch cmd := pop3.ParseCommand([]byte(line)); cmd.Verb {
		case pop3.USER:
			user = string(cmd.Arg())
		case pop3.PASS:
			return user, string(cmd.Arg()), c.SendLine(reply)
		default:
			reply = "-ERR unknown command"
		}
		err = c.SendLine(reply)
	}
	return "", "", err
}
