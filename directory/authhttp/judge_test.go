package authhttp

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/directory"
	"postern/pop3"
)

func newHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/auth"
}

// TestRequest holds the request to the octet: this is what nginx writes, but for the version.
func TestRequest(t *testing.T) {
	token := "user=bob@example.com\x01auth=Bearer tok.en/+=\x01\x01"
	for name, c := range map[string]struct {
		change func(*directory.Login)
		want   string
	}{
		"plain": {func(*directory.Login) {}, "Auth-Method: plain\r\nAuth-User: alice@example.com\r\nAuth-Pass: " + canary +
			"\r\nAuth-Protocol: pop3\r\nAuth-Login-Attempt: 1\r\nClient-IP: 192.0.2.42\r\n"},
		"LOGIN over TLS, again": {
			func(l *directory.Login) { l.Mechanism, l.TLS, l.Attempt = pop3.LOGIN, true, 3 },
			"Auth-Method: plain\r\nAuth-User: alice@example.com\r\nAuth-Pass: " + canary +
				"\r\nAuth-Protocol: pop3\r\nAuth-Login-Attempt: 3\r\nClient-IP: 192.0.2.42\r\nAuth-SSL: on\r\n",
		},
		"escaped": {
			func(l *directory.Login) {
				l.User, l.Password = "a b%c+d@example.com", pop3.NewSecret([]byte(" p%20w é:\"\\~ "))
			},
			"Auth-Method: plain\r\nAuth-User: a%20b%25c+d@example.com\r\nAuth-Pass: %20p%2520w%20é:\"\\~%20" +
				"\r\nAuth-Protocol: pop3\r\nAuth-Login-Attempt: 1\r\nClient-IP: 192.0.2.42\r\n",
		},
		"OAuth": {
			func(l *directory.Login) {
				l.Mechanism, l.User, l.Password = pop3.XOAUTH2, "bob@example.com", pop3.NewSecret([]byte(token))
			},
			"Auth-Method: xoauth2\r\nAuth-User: bob@example.com\r\nAuth-Pass: tok.en/+=" +
				"\r\nAuth-Protocol: pop3\r\nAuth-Login-Attempt: 1\r\nClient-IP: 192.0.2.42\r\n",
		},
		"no password": {func(l *directory.Login) { l.Password = pop3.Secret{} },
			"Auth-Method: plain\r\nAuth-User: alice@example.com\r\nAuth-Pass: \r\nAuth-Protocol: pop3\r\nAuth-Login-Attempt: 1\r\nClient-IP: 192.0.2.42\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startRaw(t, answers(answerOK))
			l := login()
			c.change(&l)
			key := Header{Name: "X-Auth-Key", Value: pop3.NewSecret([]byte("shared"))}
			if _, err := ask(t, judgeOf(t, Options{URLs: []string{s.url + "?a=b"}, Headers: []Header{key}}), l); err != nil {
				t.Fatal(err)
			}
			host := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/auth")
			want := "GET /auth?a=b HTTP/1.1\r\nHost: " + host + "\r\n" + c.want + "X-Auth-Key: shared\r\n\r\n"
			if got := s.asked(); len(got) != 1 || got[0] != want {
				t.Errorf("asked %q\nwant  %q", got, want)
			}
		})
	}
}

// TestInjection: nothing that a client types becomes a header, and nothing of it is sent at all.
func TestInjection(t *testing.T) {
	s := startRaw(t, answers(answerOK))
	j := judgeOf(t, Options{URLs: []string{s.url}})
	for _, evil := range []string{"a\r\nAuth-Protocol: smtp", "a\nb", "a\rb", "a\x00b", "a\x7fb", "a\tb"} {
		inUser, inPassword := login(), login()
		inUser.User, inPassword.Password = evil, pop3.NewSecret([]byte(evil+canary))
		for _, l := range []directory.Login{inUser, inPassword} {
			_, err := ask(t, j, l)
			if err == nil || isRefusal(err) || strings.Contains(err.Error(), canary) {
				t.Errorf("%q: %v", evil, err)
			}
		}
	}
	if got := s.asked(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
}

func TestOptionsRefused(t *testing.T) {
	secret := pop3.NewSecret([]byte(canary))
	for name, o := range map[string]Options{
		"no url":            {},
		"other scheme":      {URLs: []string{"ftp://example.com/" + canary}},
		"no host":           {URLs: []string{"http:///" + canary}},
		"not a url":         {URLs: []string{"http://[" + canary}},
		"password in a url": {URLs: []string{"http://a:" + canary + "@example.com/"}},
		"fragment":          {URLs: []string{"http://example.com/#a"}},
		"protocol's header": {URLs: []string{"http://example.com"}, Headers: []Header{{"auth-pass", secret}}},
		"host header":       {URLs: []string{"http://example.com"}, Headers: []Header{{"Host", secret}}},
		"client's address":  {URLs: []string{"http://example.com"}, Headers: []Header{{"Client-IP", secret}}},
		"no header name":    {URLs: []string{"http://example.com"}, Headers: []Header{{"", secret}}},
		"two headers":       {URLs: []string{"http://example.com"}, Headers: []Header{{"A: b\r\nC", secret}}},
		"line in a value":   {URLs: []string{"http://example.com"}, Headers: []Header{{"A", pop3.NewSecret([]byte(canary + "\r\nB: c"))}}},
		"no ca":             {URLs: []string{"https://example.com"}, TLS: TLS{CA: filepath.Join(t.TempDir(), "none.pem")}},
		"cert without key":  {URLs: []string{"https://example.com"}, TLS: TLS{Cert: "cert.pem"}},
	} {
		_, err := New(o)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	o := Options{URLs: []string{"http://example.com/"}, Headers: []Header{{"X-Auth-Key", pop3.NewSecret([]byte(canary))}}}
	j := judgeOf(t, o)
	if text := fmt.Sprintf("%v %+v %#v %v %+v %#v", o, o, o, j, j, j); strings.Contains(text, canary) {
		t.Error(text)
	}
}

func TestConnectionIsKept(t *testing.T) {
	connections := 0
	s := startRaw(t, func(r *rawService, number int, c net.Conn, in *bufio.Reader) {
		r.mu.Lock()
		connections++
		r.mu.Unlock()
		answers(answerOK)(r, number, c, in)
	})
	j := judgeOf(t, Options{URLs: []string{s.url}})
	for range 5 {
		if _, err := ask(t, j, login()); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if connections != 1 || len(s.heads) != 5 {
		t.Errorf("%d connections for %d questions", connections, len(s.heads))
	}
}

// TestDeadKeptConnection: one that the service has closed by now is found out before the password is written
// to it, so the question may go to a new one.
func TestDeadKeptConnection(t *testing.T) {
	for name, last := range map[string]string{"closed": "", "says what nobody asked": "HTTP/1.1 408 Timeout\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{}, 10)
			s := startRaw(t, func(r *rawService, number int, c net.Conn, in *bufio.Reader) {
				if r.request(in) == nil {
					_, _ = io.WriteString(c, answerOK)
				}
				if number == 0 {
					_, _ = io.WriteString(c, last)
				}
				_ = c.Close()
				over <- struct{}{}
			})
			j := judgeOf(t, Options{URLs: []string{s.url}})
			for i := range 2 {
				if _, err := ask(t, j, login()); err != nil {
					t.Fatalf("question %d: %v", i, err)
				}
				<-over
				waitDead(t, j.servers[0])
			}
			if n := len(s.asked()); n != 2 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// waitDead waits until the kernel knows that the idle connection ended.
func waitDead(t *testing.T, s *server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		dead := len(s.idle) == 0 || !isAlive(s.idle[0].raw)
		s.mu.Unlock()
		if dead {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the connection still seems alive")
		}
	}
}

// TestNeverTwice: a service that reads the question and says nothing may have counted it, on a
// new connection or a kept one. Neither it nor its neighbour is asked again.
func TestNeverTwice(t *testing.T) {
	for kept := range 2 {
		t.Run(fmt.Sprintf("after %d answers", kept), func(t *testing.T) {
			first := startRaw(t, func(r *rawService, _ int, c net.Conn, in *bufio.Reader) {
				for range kept {
					if r.request(in) == nil {
						_, _ = io.WriteString(c, answerOK)
					}
				}
				_ = r.request(in)
			})
			second := startRaw(t, answers(answerOK))
			j := judgeOf(t, Options{URLs: []string{first.url, second.url}})
			for range kept {
				if _, err := ask(t, j, login()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := ask(t, j, login()); err == nil || isRefusal(err) {
				t.Errorf("no error: %v", err)
			}
			if n := len(first.asked()); n != kept+1 || len(second.asked()) != 0 {
				t.Errorf("asked %d and %d times", n, len(second.asked()))
			}
			// The next login's question goes to the other one.
			if _, err := ask(t, j, login()); err != nil || len(second.asked()) != 1 {
				t.Errorf("%v, asked %d times", err, len(second.asked()))
			}
		})
	}
}

// TestFailover: a server that can't be reached is left out, and for a while not even tried.
func TestFailover(t *testing.T) {
	tries := 0
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "dead.example.com") {
			tries++
			return nil, errors.New("no route to it")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	s := startRaw(t, answers(answerOK))
	j, err := newJudge(Options{URLs: []string{"http://dead.example.com/auth", s.url}, Timeout: 10 * time.Second}, time.Second, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for range 3 {
		if _, err := ask(t, j, login()); err != nil {
			t.Fatal(err)
		}
	}
	if tries != 1 || len(s.asked()) != 3 {
		t.Errorf("%d tries of the dead one, %d questions", tries, len(s.asked()))
	}
	j.servers[0].note(false, time.Now().Add(-avoidTime)) // the while is over
	if _, err := ask(t, j, login()); err != nil || tries != 2 {
		t.Errorf("%v, %d tries", err, tries)
	}
}

func TestNobodyThere(t *testing.T) {
	j := judgeOf(t, Options{URLs: []string{refusedURL(t), refusedURL(t)}})
	for range 2 { // avoided ones are tried where there is nobody else
		_, err := ask(t, j, login())
		if err == nil || isRefusal(err) || strings.Count(err.Error(), "refused") != 2 {
			t.Errorf("%v", err)
		}
	}
}

func TestTimeout(t *testing.T) {
	s := startRaw(t, func(r *rawService, _ int, _ net.Conn, in *bufio.Reader) {
		if r.request(in) == nil {
			_, _ = in.ReadByte() // until the other side has enough
		}
	})
	j := judgeOf(t, Options{URLs: []string{s.url}, Timeout: 100 * time.Millisecond})
	if _, err := ask(t, j, login()); !errors.Is(err, context.DeadlineExceeded) || isRefusal(err) {
		t.Errorf("%v", err)
	}
	if !j.servers[0].isAvoided(time.Now()) {
		t.Error("a server that hangs is not avoided")
	}
}

// TestClientLeaves: that says nothing about the server.
func TestClientLeaves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := startRaw(t, func(r *rawService, _ int, _ net.Conn, in *bufio.Reader) {
		if r.request(in) == nil {
			cancel()
			_, _ = in.ReadByte()
		}
	})
	j := judgeOf(t, Options{URLs: []string{s.url}, Timeout: time.Minute})
	if _, err := j.Judge(ctx, directory.Mailbox{}, login()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if j.servers[0].isAvoided(time.Now()) {
		t.Error("the server is avoided")
	}
}

func TestClose(t *testing.T) {
	s := startRaw(t, answers(answerOK))
	j := judgeOf(t, Options{URLs: []string{s.url}})
	if _, err := ask(t, j, login()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, j, login()); err != nil { // one that came late
		t.Fatal(err)
	}
	if n := len(j.servers[0].idle); n != 0 {
		t.Errorf("%d connections are kept after Close", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := startRaw(t, answers(answerOK))
	j := judgeOf(t, Options{URLs: []string{s.url}, Timeout: time.Minute})
	var askers sync.WaitGroup
	for range 3 * maxConnections {
		askers.Go(func() {
			if _, err := ask(t, j, login()); err != nil {
				t.Error(err)
			}
		})
	}
	askers.Wait()
	if n := len(j.servers[0].idle); n > maxConnections {
		t.Errorf("%d connections are kept", n)
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Auth-Status", "no")
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that don't trust it
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	j := judgeOf(t, Options{URLs: []string{s.URL}, TLS: TLS{CA: ca}})
	for range 2 { // the second time on the same connection
		if _, err := ask(t, j, login()); !isRefusal(err) {
			t.Errorf("%v", err)
		}
	}
	for name, o := range map[string]TLS{"another name": {CA: ca, ServerName: "other.example.org"}, "unknown authority": {}} {
		if _, err := ask(t, judgeOf(t, Options{URLs: []string{s.URL}, TLS: o}), login()); err == nil || isRefusal(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ask(t, judgeOf(t, Options{URLs: []string{s.URL}, TLS: TLS{InsecureSkipVerify: true}}), login()); !isRefusal(err) {
		t.Errorf("%v", err)
	}
}
