package backend_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// One address that swallows packets costs those behind it a head start each, and
// is closed before the winner is handed out.
func TestDialBehindDeadAddresses(t *testing.T) {
	hole := blackhole(t)
	before := descriptors(t)
	start := time.Now()
	conn, err := dial(t, 20*time.Second, hole, hole, listen(t, greet("c")))
	if err != nil {
		t.Fatal(err)
	}
	if got := says(t, conn); got != "+OK c\r\n" {
		t.Errorf("got %q", got)
	}
	if took := time.Since(start); took < 450*time.Millisecond || took > 10*time.Second {
		t.Errorf("two dead addresses took %v, want two head starts of 250ms", took)
	}
	if now := descriptors(t); now > before+3 { // the connection, its other end, the listener
		t.Errorf("%d descriptors, %d before", now, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// What this machine lacks is no fault of the backend's.
func TestDialLocalFault(t *testing.T) {
	l := listen(t, greet("a"))
	target := backend.Target{Addresses: []string{l}, Source: netip.MustParseAddr("192.0.2.77")} // not here
	_, err := backend.Dialer{}.Dial(t.Context(), target)
	wantKind(t, err, backend.Local)

	for fault, kind := range map[error]backend.Kind{
		syscall.EMFILE: backend.Local, syscall.ENFILE: backend.Local, syscall.EADDRNOTAVAIL: backend.Local,
		syscall.ECONNREFUSED: backend.Unreachable, syscall.ENETUNREACH: backend.Unreachable,
	} {
		d := backend.Dialer{Connect: func(_ context.Context, _, address string) (net.Conn, error) {
			if address == "192.0.2.1:110" {
				return nil, os.NewSyscallError("socket", fault)
			}
			return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
		}}
		_, err := d.Dial(t.Context(), backend.Target{Addresses: []string{"192.0.2.1:110", "192.0.2.1:110"}})
		wantKind(t, err, kind)
		_, err = d.Dial(t.Context(), backend.Target{Addresses: []string{"192.0.2.1:110", "192.0.2.2:110"}})
		wantKind(t, err, backend.Unreachable) // one answered, and refused
	}
}

func TestDialFromSource(t *testing.T) {
	from := make(chan string, 1)
	address := listen(t, func(c *net.TCPConn) { from <- c.RemoteAddr().String() })
	target := backend.Target{Addresses: []string{address}, Source: netip.MustParseAddr("127.0.0.77")}
	conn, err := backend.Dialer{KeepAlive: time.Minute}.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := netip.MustParseAddrPort(<-from); got.Addr() != target.Source {
		t.Errorf("connected from %v", got)
	}
	get := options(t, conn.(*net.TCPConn))
	if knowsLateBind(t) && get(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT) != 1 {
		t.Error("the port was taken before the connect")
	}
	if got := get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != 180_000 {
		t.Errorf("TCP_USER_TIMEOUT %d", got)
	}
}

// knowsLateBind tells whether this is a kernel, and no emulator of one that lacks the option.
func knowsLateBind(t *testing.T) bool {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) == nil
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
		if got := get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); got != 3*int(c.keepAlive.Milliseconds()) {
			t.Errorf("%v: TCP_USER_TIMEOUT %d", c.keepAlive, got)
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
