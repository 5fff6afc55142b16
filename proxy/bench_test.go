package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"

	"postern/backend"
	"postern/directory"
)

// BenchmarkSession is one whole session over loopback: greeting, USER, PASS, STAT, QUIT,
// with client and backend in the same process.
func BenchmarkSession(b *testing.B) {
	backendAddress := answering(b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	target := &backend.Target{Name: "b1", Addresses: []string{backendAddress}}
	s := NewServer(Options{
		Settings: testSettings(b), Logger: slog.New(slog.DiscardHandler), Dialer: backend.Dialer{},
		Directory: locatorFunc(func(directory.Query) (directory.Route, error) {
			return directory.Route{Mailbox: "alice@example.com", Login: "alice", Backend: target}, nil
		}),
	})
	served := make(chan struct{})
	go func() { s.Serve(context.Background(), NewListener(l, "bench", &Access{})); close(served) }()
	buf := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		for _, line := range []string{"", "USER alice\r\n", "PASS secret\r\n", "STAT\r\n", "QUIT\r\n"} {
			_, _ = io.WriteString(c, line)
			if n, err := c.Read(buf); err != nil || string(buf[:3]) != "+OK" {
				b.Fatalf("%q, %v", buf[:n], err)
			}
		}
		if _, err := c.Read(buf); err != io.EOF {
			b.Fatal(err)
		}
		c.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	<-served
}

// answering is a backend that says +OK to everything, and closes after QUIT.
func answering(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 512)
				for n, err := 0, error(nil); err == nil; n, err = c.Read(buf) {
					_, _ = io.WriteString(c, "+OK\r\n")
					if n >= 4 && string(buf[:4]) == "QUIT" {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
