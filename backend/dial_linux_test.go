package backend_test

import (
	"context"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"postern/backend"
)

// blackhole is an address that swallows connections: a listener that never
// accepts and whose queue is full. Linux drops the SYN then, as a dead host would.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
	for range 16 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address // nobody gets in any more
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the queue never fills")
	return ""
}

func TestDialTimesOut(t *testing.T) {
	hole := blackhole(t)
	for _, addresses := range [][]string{{hole}, {hole, hole, hole}, {refused(t), hole}, {hole, refused(t)}} {
		start := time.Now()
		_, err := dial(t, 300*time.Millisecond, addresses...)
		wantKind(t, err, backend.TimedOut)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%d addresses took %v", len(addresses), took)
		}
	}
}

// One address that swallows packets leaves the others their time.
func TestDialSharesItsTime(t *testing.T) {
	hole := blackhole(t)
	start := time.Now()
	conn, err := dial(t, 1500*time.Millisecond, hole, hole, listen(t, greet("c")))
	if err != nil {
		t.Fatal(err)
	}
	if got := says(t, conn); got != "+OK c\r\n" {
		t.Errorf("got %q", got)
	}
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("two dead addresses had only %v of their two shares of 500ms", took)
	}
}

func TestDialCanceled(t *testing.T) {
	hole := blackhole(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	time.AfterFunc(100*time.Millisecond, cancel)
	start := time.Now()
	_, err := backend.Dialer{}.Dial(ctx, backend.Target{Addresses: []string{hole, hole}})
	wantKind(t, err, backend.Canceled)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDialSocketOptions(t *testing.T) {
	target := backend.Target{Addresses: []string{listen(t, greet("a"))}}
	for _, c := range []struct {
		keepAlive                  time.Duration
		on, idle, interval, probes int
	}{
		{keepAlive: 0, on: 0},
		{keepAlive: time.Minute, on: 1, idle: 60, interval: 60, probes: 3},
		{keepAlive: 7 * time.Second, on: 1, idle: 7, interval: 7, probes: 3},
	} {
		conn, err := backend.Dialer{KeepAlive: c.keepAlive}.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		get := options(t, conn.(*net.TCPConn))
		if got := get(syscall.IPPROTO_TCP, syscall.TCP_NODELAY); got == 0 {
			t.Error("TCP_NODELAY is off")
		}
		if got := get(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); got != c.on {
			t.Errorf("%v: SO_KEEPALIVE %d", c.keepAlive, got)
		}
		if c.on == 0 {
			continue
		}
		for option, want := range map[int]int{syscall.TCP_KEEPIDLE: c.idle, syscall.TCP_KEEPINTVL: c.interval, syscall.TCP_KEEPCNT: c.probes} {
			if got := get(syscall.IPPROTO_TCP, option); got != want {
				t.Errorf("%v: option %d is %d, want %d", c.keepAlive, option, got, want)
			}
		}
		_ = conn.Close()
	}
}

func options(t *testing.T, conn *net.TCPConn) func(level, option int) int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return func(level, option int) (value int) {
		t.Helper()
		if err := raw.Control(func(fd uintptr) {
			value, err = syscall.GetsockoptInt(int(fd), level, option)
		}); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
