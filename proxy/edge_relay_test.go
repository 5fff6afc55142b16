package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3/pop3test"
)

// much is 5 MB that no compression or repetition could hide a fault of.
func much() []byte {
	octets := make([]byte, 5<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(octets)
	return octets
}

// Implicit TLS on real sockets: 5 MB go both ways at once, then each side ends by itself.
func TestEdgeImplicitTLSRelay(t *testing.T) {
	server, trusting := tlsFront(t, nil)
	payload := much()
	guest := pop3test.NewBackend(t, func(c *pop3test.Conn) {
		if _, _, err := c.TakeLogin(); err != nil {
			return
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = c.Raw().Write(payload) })
		got, err := c.Octets(len(payload))
		all.Wait()
		if err != nil || !bytes.Equal(got, payload) {
			_ = c.SendLine("-ERR not what was sent")
			return
		}
		if err := c.End(); err != io.EOF {
			_ = c.SendLine("-ERR no end")
			return
		}
		_ = c.SendLine("+OK all of it, and the end") // behind the client's half-close
	})
	s := serveWith(t, nil, &Access{TLS: server, Implicit: true}, func(_ *Settings, o *Options) { o.Directory = locatorFunc(at(guest.Addr())) })
	conn, err := tls.Dial("tcp", s.address, trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := pop3test.NewClient(conn)
	if err := c.Login("alice", rightPassword); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { _, _ = conn.Write(payload); _ = conn.CloseWrite() })
	got, err := c.Octets(len(payload))
	all.Wait()
	if err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("%d octets came, %v", len(got), err)
	}
	expectLine(t, c, "+OK all of it, and the end")
	expectEnd(t, c)
	s.logs.waitFor(t, "msg=end", "to_client=5242", "to_backend=5242880", "reason=fin")
}

// tlsSession is a client that logged in over implicit TLS.
func tlsSession(t *testing.T, guest func(*pop3test.Conn)) (*edge, net.Conn, *pop3test.Client) {
	t.Helper()
	server, trusting := tlsFront(t, nil)
	e := edgeWith(t, &Access{TLS: server, Implicit: true}, guest, nil)
	socket := e.socket(t, someClient)
	c := over(t, socket, trusting)
	c.SetTimeout(time.Hour)
	if err := c.Login("alice", rightPassword); err != nil {
		t.Fatal(err)
	}
	return e, socket, c
}

// The idle time is that of both directions, and ends a session over TLS too.
func TestEdgeIdleOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, c := tlsSession(t, echoes)
		time.Sleep(14 * time.Minute)
		says(t, c, "NOOP", "NOOP")
		begin := time.Now()
		expectEnd(t, c)
		if took := time.Since(begin); took != 15*time.Minute {
			t.Errorf("closed after %v, want 15m", took)
		}
		e.logs.waitFor(t, "msg=end", "reason=idle")
	})
}

// A client that reads nothing any more ends after the idle time, not never: its TLS
// has no room for a goodbye either.
func TestEdgeReaderThatStallsOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan time.Time, 1)
		begin := time.Now()
		e, _, _ := tlsSession(t, func(c *pop3test.Conn) {
			if _, _, err := c.TakeLogin(); err != nil {
				return
			}
			forever(c)
			block := bytes.Repeat([]byte("x"), 32<<10)
			for {
				if _, err := c.Raw().Write(block); err != nil {
					gone <- time.Now()
					return
				}
			}
		})
		took := (<-gone).Sub(begin)
		if took < 15*time.Minute || took > 16*time.Minute {
			t.Errorf("the backend was let go after %v, want 15m", took)
		}
		synctest.Wait()
		time.Sleep(10 * time.Second) // TLS's goodbye has five
		e.logs.waitFor(t, "msg=end", "ended_by=")
		if n := e.Sessions(); n > 0 {
			t.Errorf("%d sessions are open", n)
		}
	})
}

// A client whose connection is cut without TLS's goodbye frees the backend at once.
func TestEdgeCutWithoutGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan time.Time, 1)
		e, socket, _ := tlsSession(t, func(c *pop3test.Conn) {
			keepsIn(c)
			gone <- time.Now()
		})
		begin := time.Now()
		_ = socket.Close()
		if took := (<-gone).Sub(begin); took > time.Second {
			t.Errorf("the backend was let go after %v", took)
		}
		if line := e.logs.waitFor(t, "msg=end"); !strings.Contains(line, "ended_by=client") {
			t.Error(line)
		}
	})
}

// What the client sent behind PASS in the same record reaches the backend first, once
// it is in, as without TLS.
func TestEdgePipelinedOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, trusting := tlsFront(t, nil)
		e := edgeWith(t, &Access{TLS: server, Implicit: true}, echoes, nil)
		c := over(t, e.socket(t, someClient), trusting)
		if err := c.Send([]byte("USER alice\r\nPASS right\r\nSTAT\r\nLI")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"+OK postern", "+OK", "+OK", "STAT"} {
			expectLine(t, c, want)
		}
		says(t, c, "ST", "LIST")
	})
}
