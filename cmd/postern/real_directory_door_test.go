package main

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// door is the way to a server, at an address that stays. It can be shut, and resets whoever comes then.
type door struct {
	listener net.Listener
	to       string
	shut     atomic.Bool
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	d := &door{listener: l, to: to}
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go d.pass(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { _ = l.Close() }) // those inside end with the server
	return d
}

func (d *door) address() string { return d.listener.Addr().String() }

// pass carries both directions until one of them ends.
func (d *door) pass(c *net.TCPConn) {
	defer c.Close()
	if d.shut.Load() {
		_ = c.SetLinger(0)
		return
	}
	server, err := net.Dial("tcp", d.to)
	if err != nil {
		_ = c.SetLinger(0)
		return
	}
	defer server.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [...][2]net.Conn{{c, server}, {server, c}} {
		go func() {
			_, _ = io.Copy(way[1], way[0])
			ended <- struct{}{}
		}()
	}
	<-ended
}
