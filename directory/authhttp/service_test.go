package authhttp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postern/directory"
	"postern/pop3"
)

const canary = "s3cret-canary"

func login() directory.Login {
	return directory.Login{
		User: "alice@example.com", Password: pop3.NewSecret([]byte(canary)), Attempt: 1,
		Client: netip.MustParseAddr("192.0.2.42"),
	}
}

func ask(t *testing.T, j *Judge, l directory.Login) (directory.Verdict, error) {
	t.Helper()
	return j.Judge(t.Context(), directory.Mailbox{Address: "alice@example.com"}, l)
}

func judgeOf(t *testing.T, o Options) *Judge {
	t.Helper()
	j, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// service is a fake one that answers each request with the same header fields.
func service(t *testing.T, status int, fields ...string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/auth"
}

// rawService is one whose each connection is in the hands of serve.
type rawService struct {
	url         string
	connections sync.WaitGroup
	mu          sync.Mutex
	heads       []string // of all requests, in their order
}

func startRaw(t *testing.T, serve func(r *rawService, number int, c net.Conn, in *bufio.Reader)) *rawService {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rawService{url: "http://" + l.Addr().String() + "/auth"}
	r.connections.Go(func() {
		for number := 0; ; number++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.connections.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				serve(r, number, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); r.connections.Wait() })
	return r
}

// request reads a request's head and keeps it.
func (r *rawService) request(in *bufio.Reader) error {
	head := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if head += line; line == "\r\n" {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads = append(r.heads, head)
	return nil
}

func (r *rawService) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.heads...)
}

// answerOK is a yes that keeps the connection.
const answerOK = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAuth-Status: OK\r\nAuth-Server: 192.0.2.7\r\nAuth-Port: 110\r\n\r\n"

func answers(text string) func(*rawService, int, net.Conn, *bufio.Reader) {
	return func(r *rawService, _ int, c net.Conn, in *bufio.Reader) {
		for r.request(in) == nil {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// refusedURL is one where nobody listens.
func refusedURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprintf("http://%s/auth", l.Addr())
}
