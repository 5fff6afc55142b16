package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Without descriptors accept waits, running sessions live, and new ones are served
// when there are descriptors again.
func TestServeOutOfDescriptors(t *testing.T) {
	t.Parallel()
	p := newSite(t).start()
	running := p.connect(t)
	if err := running.Login("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	limit := func(n uint64) {
		t.Helper()
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max}, &old); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(err)
	}
	before := old.Cur
	limit(5) // fewer than are open: not one more
	late, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	p.waitFor(t, "accepting a client", "too many open files")
	if reply, err := running.Cmd("STAT"); err != nil || !strings.HasPrefix(reply, "+OK 1") {
		t.Errorf("the running session hears %q, %v", reply, err)
	}
	limit(before)
	greeting := make([]byte, 3)
	_ = late.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := late.Read(greeting); err != nil || string(greeting[:n]) != "+OK" {
		t.Errorf("the waiting client hears %q, %v", greeting[:n], err)
	}
	p.expect(t, "bob", "bob on guest-02")
}

// An address that is not here yet can be listened on with freebind only.
func TestServeFreebind(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("postern.yaml", strings.Replace(read(t, s, "postern.yaml"), "{address: \"127.0.0.1:0\"",
		"{address: \"192.0.2.1:0\", freebind: true", 1))
	p := s.start()
	if !strings.HasPrefix(p.address, "192.0.2.1:") {
		t.Errorf("listens on %s", p.address)
	}
}

// "[::]:PORT" serves both families.
func TestServeBothFamilies(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("this machine has no IPv6, so there are no two families to serve")
	}
	s := newSite(t)
	s.write("postern.yaml", strings.Replace(read(t, s, "postern.yaml"), "127.0.0.1:0", "[::]:0", 1))
	p := s.start()
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		p.address = net.JoinHostPort(host, port)
		p.expect(t, "alice", "alice on guest-01")
		p.waitFor(t, "msg=login", fmt.Sprintf("client=%s", strings.TrimSuffix(net.JoinHostPort(host, ""), "")))
	}
}
