package relay

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// relayed is a relay between real loopback sockets, and the two ends that its
// peers hold.
type relayed struct {
	*Relay
	client, backend *net.TCPConn
	result          chan Result
}

func start(t *testing.T, ahead string, timeouts Timeouts) *relayed {
	t.Helper()
	client, gatewayFront := connection(t)
	gatewayBack, backend := connection(t)
	r := &relayed{
		Relay:  New(gatewayFront, gatewayBack, []byte(ahead), timeouts, new(Buffers)),
		client: client, backend: backend, result: make(chan Result, 1),
	}
	go func() { r.result <- r.Run() }()
	return r
}

// connection returns both ends of a loopback connection.
func connection(t *testing.T) (dialed, accepted *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func (r *relayed) ended(t *testing.T, within time.Duration) Result {
	t.Helper()
	select {
	case result := <-r.result:
		return result
	case <-time.After(within):
		t.Fatalf("the relay lives after %v", within)
		return Result{}
	}
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func expectEnd(t *testing.T, c net.Conn, within time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after %v: %d octets, %v; want the end", within, n, err)
	}
}

func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestRunSendsWhatWasReadAheadFirst(t *testing.T) {
	r := start(t, "STAT\r\n", timeouts)
	expect(t, r.backend, "STAT\r\n")
	send(t, r.client, "LIST\r\n")
	expect(t, r.backend, "LIST\r\n")
	send(t, r.backend, "+OK\r\n")
	expect(t, r.client, "+OK\r\n")
	r.client.Close()
	r.backend.Close()
	want := Result{ToBackend: 12, ToClient: 5, By: Client, Reason: "fin"}
	if got := r.ended(t, 5*time.Second); got.ToBackend != want.ToBackend || got.ToClient != want.ToClient || got.Reason != "fin" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A client that sends QUIT and FIN must not lose what was on its way to it.
func TestRunPassesFINOnAndDeliversTheRest(t *testing.T) {
	r := start(t, "", timeouts)
	send(t, r.client, "RETR 1\r\nQUIT\r\n")
	if err := r.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expect(t, r.backend, "RETR 1\r\nQUIT\r\n")
	expectEnd(t, r.backend, time.Second)
	body := strings.Repeat("x", 1<<20)
	go func() {
		_, _ = io.WriteString(r.backend, body)
		r.backend.Close()
	}()
	got, err := io.ReadAll(r.client)
	if err != nil || string(got) != body {
		t.Fatalf("got %d octets, %v; want %d", len(got), err, len(body))
	}
	result := r.ended(t, time.Second)
	if result.By != Client || result.Reason != "fin" || result.ToClient != 1<<20 {
		t.Errorf("got %+v", result)
	}
}

func TestRunEndsBothOnReset(t *testing.T) {
	for _, by := range []Side{Client, Backend} {
		r := start(t, "", timeouts)
		conns := [...]*net.TCPConn{r.client, r.backend}
		reset(t, conns[by])
		expectEnd(t, conns[1-by], time.Second)
		if result := r.ended(t, time.Second); result.By != by || result.Reason != "reset" {
			t.Errorf("side %d: got %+v", by, result)
		}
	}
}

func TestRunLingersWithoutProgressOnly(t *testing.T) {
	r := start(t, "", Timeouts{Idle: time.Minute, Linger: 300 * time.Millisecond})
	if err := r.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expectEnd(t, r.backend, time.Second)
	for range 5 { // longer than the linger, but with progress
		time.Sleep(100 * time.Millisecond)
		send(t, r.backend, ".")
		expect(t, r.client, ".")
	}
	begin := time.Now()
	result := r.ended(t, 5*time.Second)
	if took := time.Since(begin); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("lingered for %v", took)
	}
	if result.By != Gateway || result.Reason != "linger" {
		t.Errorf("got %+v", result)
	}
}

func TestRunIdleCountsBothDirectionsTogether(t *testing.T) {
	r := start(t, "", Timeouts{Idle: 400 * time.Millisecond, Linger: time.Minute})
	for range 6 { // only one direction moves: the other alone would be idle
		time.Sleep(100 * time.Millisecond)
		send(t, r.backend, ".")
		expect(t, r.client, ".")
	}
	if result := r.ended(t, 5*time.Second); result.By != Gateway || result.Reason != "idle" {
		t.Errorf("got %+v", result)
	}
	expectEnd(t, r.client, time.Second)
	expectEnd(t, r.backend, time.Second)
}

// A client that reads nothing blocks the relay's write; that must end as well.
func TestRunEndsForAClientThatReadsNothing(t *testing.T) {
	r := start(t, "", Timeouts{Idle: 300 * time.Millisecond, Linger: time.Minute})
	go func() {
		chunk := make([]byte, 1<<20)
		for range 64 {
			if _, err := r.backend.Write(chunk); err != nil {
				return
			}
		}
	}()
	if result := r.ended(t, 10*time.Second); result.Reason != "idle" {
		t.Errorf("got %+v", result)
	}
}

// A reset is noticed also while the other side blocks what was on its way to it.
func TestRunSeesAResetBehindAStalledReader(t *testing.T) {
	for _, by := range []Side{Client, Backend} {
		r := start(t, "", timeouts)
		conns := [...]*net.TCPConn{r.client, r.backend}
		flooded := make(chan struct{})
		go func() { // until nothing more fits
			defer close(flooded)
			chunk := make([]byte, 1<<20)
			for {
				_ = conns[by].SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
				if _, err := conns[by].Write(chunk); err != nil {
					return
				}
			}
		}()
		<-flooded
		reset(t, conns[by])
		if result := r.ended(t, 3*time.Second); result.By != by || result.Reason != "reset" {
			t.Errorf("side %d: got %+v", by, result)
		}
	}
}

func TestRunIsTransparent(t *testing.T) {
	r := start(t, "", timeouts)
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data)
	for _, way := range []struct{ from, to *net.TCPConn }{{r.client, r.backend}, {r.backend, r.client}} {
		go func() {
			_, _ = way.from.Write(data)
			_ = way.from.CloseWrite()
		}()
		got, err := io.ReadAll(way.to)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %d octets, %v", len(got), err)
		}
	}
	r.ended(t, time.Second)
}

// Idle relays hold no buffer and no pipe: two descriptors each, and little memory.
func TestRunIdleHoldsNoPipeAndNoBuffer(t *testing.T) {
	const n = 200
	before := descriptors(t)
	var relays []*relayed
	for range n {
		r := start(t, "", timeouts)
		send(t, r.client, "NOOP\r\n")
		expect(t, r.backend, "NOOP\r\n")
		send(t, r.backend, "+OK\r\n")
		expect(t, r.client, "+OK\r\n")
		relays = append(relays, r)
	}
	if got := descriptors(t) - before; got > 4*n+4 { // two of the gateway's, two of the test's
		t.Errorf("%d relays hold %d descriptors", n, got)
	}
	runtime.GC()
	runtime.GC() // the pool gives back at the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if perSession := m.HeapInuse / n; perSession > chunk {
		t.Errorf("%d octets of heap a session, a buffer has %d", perSession, chunk)
	}
	for _, r := range relays {
		r.client.Close()
		r.backend.Close()
		r.ended(t, 5*time.Second)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("counting descriptors needs /proc: %v", err)
	}
	return len(entries)
}

// The descriptor path depends on the connection's concrete type: a struct that
// embeds net.Conn would hide it without a sign.
func TestSourceSeesTheDescriptor(t *testing.T) {
	a, _ := connection(t)
	if newSource(a, new(Buffers)).raw == nil {
		t.Error("a TCP connection is read without its descriptor")
	}
	hidden := struct{ net.Conn }{a}
	if _, ok := net.Conn(hidden).(syscall.Conn); ok {
		t.Error("embedding no longer hides SyscallConn: the comment is out of date")
	}
}

// Connections that are no sockets are relayed too.
func TestRunWithoutDescriptors(t *testing.T) {
	client, front := net.Pipe()
	back, backend := net.Pipe()
	result := make(chan Result, 1)
	go func() { result <- New(front, back, []byte("a"), timeouts, new(Buffers)).Run() }()
	expect(t, backend, "a")
	go func() { _, _ = io.WriteString(client, "bc") }()
	expect(t, backend, "bc")
	go func() { _, _ = io.WriteString(backend, "de") }()
	expect(t, client, "de")
	client.Close()
	backend.Close()
	if r := <-result; r.ToBackend != 3 || r.ToClient != 2 {
		t.Errorf("got %+v", r)
	}
}

func BenchmarkRunSession(b *testing.B) {
	b.ReportAllocs()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	pair := func() (net.Conn, net.Conn) {
		a, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		return a, c
	}
	buf, buffers := make([]byte, 16), new(Buffers)
	for b.Loop() {
		client, front := pair()
		back, backend := pair()
		done := make(chan struct{})
		go func() { New(front, back, nil, timeouts, buffers).Run(); close(done) }()
		for range 2 {
			_, _ = client.Write([]byte("STAT\r\n"))
			_, _ = backend.Read(buf)
			_, _ = backend.Write([]byte("+OK\r\n"))
			_, _ = client.Read(buf)
		}
		backend.Close()
		client.Close()
		<-done
	}
}
