package realtest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Path is what happens on the way to a server.
type Path struct {
	// Delay is added to each octet, in each direction. A connection's handshake, which
	// a forwarder can't delay, crosses three times before the server knows of a client:
	// that is added before the first octet from the server.
	Delay time.Duration
	// Instead is said to the client, in place of a connection to the server.
	Instead string
	// ResetAfter so many octets from the server the client's connection is reset; 0: never.
	ResetAfter int
	// Login is called before a login is passed on, and may take its time.
	Login func()
}

// Forwarder is the way to a server, on which things happen.
type Forwarder struct {
	Address string

	target string
	path   atomic.Pointer[Path]
	mu     sync.Mutex
	open   map[net.Conn]struct{} // nil: it is closed
}

// StartForwarder starts one, which ends with the test.
func StartForwarder(t testing.TB, target string, path Path) (*Forwarder, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Forwarder{Address: listener.Addr().String(), target: target, open: map[net.Conn]struct{}{}}
	f.Change(path)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		f.closeAll()
		serving.Wait()
	})
	return f, nil
}

// Change changes the path of connections that come from now on.
func (f *Forwarder) Change(p Path) { f.path.Store(&p) }

// closing keeps a connection for closeAll. It tells whether it is too late.
func (f *Forwarder) closing(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		return true
	}
	f.open[conn] = struct{}{}
	return false
}

func (f *Forwarder) closed(conn net.Conn) {
	_ = conn.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, conn)
}

func (f *Forwarder) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.open {
		_ = conn.Close()
	}
	f.open = nil
}

func (f *Forwarder) serve(client net.Conn) {
	path := *f.path.Load()
	defer f.closed(client)
	if f.closing(client) {
		return
	}
	if path.Instead != "" {
		_, _ = io.WriteString(client, path.Instead)
		return
	}
	server, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer f.closed(server)
	if f.closing(server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { path.carry(server, client, path.toServer) })
	both.Go(func() {
		await(3 * path.Delay)
		path.carry(client, server, path.toClient(client))
	})
	both.Wait()
}

// parcel is what was read at once, and when it arrives.
type parcel struct {
	data []byte
	due  time.Time
}

// carry passes octets on, each later by the delay however many there are. It ends
// with from, or when pass says so.
func (p Path) carry(to, from net.Conn, pass func([]byte) bool) {
	parcels := make(chan parcel, 1024)
	go func() {
		defer close(parcels)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				parcels <- parcel{buf[:n], time.Now().Add(p.Delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	passing := true
	for next := range parcels {
		await(time.Until(next.due))
		if passing = passing && pass(next.data); passing {
			_, err := to.Write(next.data)
			passing = err == nil
		}
		if !passing { // the reader must not wait for us
			_ = from.Close()
		}
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

// toServer holds a login up.
func (p Path) toServer(data []byte) bool {
	if p.Login != nil && (bytes.HasPrefix(data, []byte("AUTH ")) || bytes.HasPrefix(data, []byte("USER "))) {
		p.Login()
	}
	return true
}

// toClient counts, and resets.
func (p Path) toClient(client net.Conn) func([]byte) bool {
	sent := 0
	return func(data []byte) bool {
		if sent += len(data); p.ResetAfter == 0 || sent < p.ResetAfter {
			return true
		}
		_ = client.(*net.TCPConn).SetLinger(0) // close sends RST
		_ = client.Close()
		return false
	}
}

func await(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
