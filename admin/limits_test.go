package admin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func short(_ *Options, l *limits) {
	l.headerTime, l.readTime, l.idleTime = time.Second, 1500*time.Millisecond, time.Second
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// everything reads until the other side closes, and tells how long that took.
func everything(t *testing.T, c net.Conn) (text string, took time.Duration) {
	t.Helper()
	began := time.Now()
	all, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
	return string(all), time.Since(began)
}

// Who takes his time loses his place; what is too large is refused before it is read.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	g := open(t, short)
	head := "POST /api/v1/reload HTTP/1.1\r\nHost: " + g.tcp + "\r\nAuthorization: Bearer " + operatorSecret + "\r\n"
	for _, tt := range []struct{ name, send, want string }{
		{"says nothing", "", ""},
		{"half a header", "GET /livez HTTP/1.1\r\nHo", ""},
		{"endless header", head + "X: " + strings.Repeat("x", 64<<10), "HTTP/1.1 431"},
		{"many headers", head + strings.Repeat("X: 1\r\n", 10000), "HTTP/1.1 431"},
		{"endless line", "GET /" + strings.Repeat("x", 64<<10), "HTTP/1.1 431"},
		{"large body", head + "Content-Length: 65537\r\n\r\n", "HTTP/1.1 413"},
		{"body that doesn't come", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", ""},
		{"idle after an answer", "GET /livez HTTP/1.1\r\nHost: " + g.tcp + "\r\nAuthorization: Bearer " + viewerSecret + "\r\n\r\n", "HTTP/1.1 200"},
		{"no HTTP", "USER alice\r\nPASS secret\r\n", "HTTP/1.1 400"},
		{"no host", "GET /api/v1/status HTTP/1.0\r\nAuthorization: Bearer " + viewerSecret + "\r\n\r\n", "HTTP/1.0 421"},
		{"two hosts", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, g.tcp)
			go func() { _, _ = io.WriteString(c, tt.send) }()
			text, took := everything(t, c)
			if !strings.HasPrefix(text, tt.want) {
				t.Errorf("heard %q, want %q", text, tt.want)
			}
			if took > 6*time.Second {
				t.Errorf("closed after %v", took)
			}
		})
	}
	t.Cleanup(func() {
		if g.reloads != 0 {
			t.Error("an oversized request was obeyed")
		}
	})
}

// A body without an end is not read to its end.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	c := dial(t, g.tcp)
	_, _ = fmt.Fprintf(c, "POST /api/v1/reload HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n",
		g.tcp, operatorSecret)
	chunk := "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n"
	sent := 0
	for ; sent < 1000; sent++ {
		if _, err := io.WriteString(c, chunk); err != nil {
			break
		}
	}
	if sent == 1000 {
		t.Error("64 MiB were read")
	}
}

// Whoever fills a door with silent connections is thrown out in time, and the other doors
// don't notice.
func TestFullDoor(t *testing.T) {
	t.Parallel()
	g := open(t, func(_ *Options, l *limits) {
		l.headerTime, l.connections = 3*time.Second, 3
	})
	var silent []net.Conn
	for range 3 {
		silent = append(silent, dial(t, g.tcp))
	}
	late := dial(t, g.tcp) // the kernel's queue keeps the order
	began := time.Now()
	_, _ = fmt.Fprintf(late, "GET /livez HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", g.tcp, viewerSecret)
	if got := g.do(t, "GET", "unix:/livez"); got.status != 200 {
		t.Errorf("the socket: %d", got.status)
	}
	if got := g.do(t, "GET", "http://"+g.probes+"/livez"); got.status != 200 {
		t.Errorf("the probes: %d", got.status)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the other doors took %v", took)
	}
	line, err := bufio.NewReader(late).ReadString('\n')
	if took := time.Since(began); !strings.HasPrefix(line, "HTTP/1.1 200") || took < 2*time.Second {
		t.Errorf("a fourth connection heard %q, %v after %v", line, err, took)
	}
	for _, c := range silent {
		everything(t, c)
	}
}

// A refused connection gives its place back at once.
func TestStrangersDontKeepPlaces(t *testing.T) {
	t.Parallel()
	g := open(t, func(_ *Options, l *limits) { l.connections = 2 })
	for range 20 {
		c := dial(t, g.tcp)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+g.tcp+"\r\n\r\n")
		if text, _ := everything(t, c); !strings.HasPrefix(text, "HTTP/1.1 401") {
			t.Errorf("heard %q", text)
		}
	}
}
