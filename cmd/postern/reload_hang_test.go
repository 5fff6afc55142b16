package main

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServeHearsSignalsDuringAReload: a source that takes connections and says nothing holds a reload for as long as
// the gateway waits for sources. A signal to end is obeyed meanwhile, and so are sessions.
func TestServeHearsSignalsDuringAReload(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			if first {
				close(asked)
			}
		}
	}()
	s := newSite(t)
	p := s.start()
	s.write("postern.yaml", strings.Replace(read(t, s, "postern.yaml"), "  sources: [{type: file, path: mailboxes.map}]",
		"  sources: [{type: file, path: mailboxes.map}, {type: consul, prefix: p, address: \""+l.Addr().String()+"\"}]", 1))
	p.signal(t, syscall.SIGHUP)
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Fatal("the reload did not ask Consul")
	}
	p.expect(t, "alice", "alice on guest-01")
	p.signal(t, syscall.SIGHUP) // asks for another one, which will not come
	began := time.Now()
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t, 15*time.Second); status != 0 {
		t.Errorf("exit %d", status)
	}
	t.Logf("ended after %v", time.Since(began))
}
