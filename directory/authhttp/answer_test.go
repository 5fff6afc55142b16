package authhttp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/directory"
	"postern/pop3"
)

func TestYes(t *testing.T) {
	for name, c := range map[string]struct {
		fields                   []string
		backend, login, password string
	}{
		"address":           {[]string{"Auth-Server", "192.0.2.7", "Auth-Port", "110"}, "192.0.2.7:110", "", ""},
		"IPv6":              {[]string{"Auth-Server", "2001:DB8::1", "Auth-Port", "110"}, "[2001:db8::1]:110", "", ""},
		"IPv6 in brackets":  {[]string{"Auth-Server", "[2001:db8::1]", "Auth-Port", "110"}, "[2001:db8::1]:110", "", ""},
		"mapped":            {[]string{"Auth-Server", "::ffff:192.0.2.7", "Auth-Port", "110"}, "192.0.2.7:110", "", ""},
		"name":              {[]string{"Auth-Server", "guest-01.example.com", "Auth-Port", "1110"}, "guest-01.example.com:1110", "", ""},
		"login":             {[]string{"Auth-Server", "192.0.2.7", "Auth-Port", "110", "Auth-User", "a%20b@example.com"}, "192.0.2.7:110", "a%20b@example.com", ""},
		"password":          {[]string{"Auth-Server", "192.0.2.7", "Auth-Port", "110", "Auth-Pass", "other word"}, "192.0.2.7:110", "", "other word"},
		"empty password":    {[]string{"Auth-Server", "192.0.2.7", "Auth-Port", "110", "Auth-Pass", ""}, "192.0.2.7:110", "", ""},
		"wait says nothing": {[]string{"Auth-Server", "192.0.2.7", "Auth-Port", "110", "Auth-Wait", "5"}, "192.0.2.7:110", "", ""},
		"other headers":     {[]string{"Auth-Server", "192.0.2.7", "Auth-Port", "110", "Set-Cookie", "a", "Set-Cookie", "b"}, "192.0.2.7:110", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			j := judgeOf(t, Options{URLs: []string{service(t, 200, append(c.fields, "Auth-Status", "OK")...)}})
			v, err := ask(t, j, login())
			if err != nil {
				t.Fatal(err)
			}
			if v.Backend != c.backend || v.Login != c.login || string(v.Password.Reveal()) != c.password {
				t.Errorf("backend %q, login %q, password %q", v.Backend, v.Login, v.Password.Reveal())
			}
		})
	}
}

func TestNo(t *testing.T) {
	for name, c := range map[string]struct {
		fields []string
		code   pop3.Code
		wait   time.Duration
	}{
		"nginx's own example":   {[]string{"Auth-Status", "Invalid login or password", "Auth-Wait", "3"}, pop3.Auth, 3 * time.Second},
		"no wait":               {[]string{"Auth-Status", "no"}, pop3.Auth, 0},
		"ok in lower case":      {[]string{"Auth-Status", "ok"}, pop3.Auth, 0},
		"code":                  {[]string{"Auth-Status", "[IN-USE] locked"}, pop3.InUse, 0},
		"code in lower case":    {[]string{"Auth-Status", "[sys/temp] later"}, pop3.SysTemp, 0},
		"login delay":           {[]string{"Auth-Status", "[LOGIN-DELAY] too often", "Auth-Wait", "60"}, pop3.LoginDelay, time.Minute},
		"permanent":             {[]string{"Auth-Status", "[SYS/PERM] gone"}, pop3.SysPerm, 0},
		"auth":                  {[]string{"Auth-Status", "[AUTH] no"}, pop3.Auth, 0},
		"unknown code":          {[]string{"Auth-Status", "[ALERT] no"}, pop3.Auth, 0},
		"code inside the text":  {[]string{"Auth-Status", "no [SYS/TEMP]"}, pop3.Auth, 0},
		"temporary error code":  {[]string{"Auth-Status", "no", "Auth-Error-Code", "451 4.3.0"}, pop3.SysTemp, 0},
		"permanent error code":  {[]string{"Auth-Status", "no", "Auth-Error-Code", "535 5.7.8"}, pop3.Auth, 0},
		"the text's code wins":  {[]string{"Auth-Status", "[AUTH] no", "Auth-Error-Code", "451 4.3.0"}, pop3.Auth, 0},
		"ask again":             {[]string{"Auth-Status", "WAIT", "Auth-Wait", "2"}, pop3.SysTemp, 2 * time.Second},
		"long wait":             {[]string{"Auth-Status", "no", "Auth-Wait", "86400"}, pop3.Auth, maxWait},
		"overflowing wait":      {[]string{"Auth-Status", "no", "Auth-Wait", "99999999999999999999999"}, pop3.Auth, maxWait},
		"negative wait":         {[]string{"Auth-Status", "no", "Auth-Wait", "-1"}, pop3.Auth, 0},
		"no number":             {[]string{"Auth-Status", "no", "Auth-Wait", "soon"}, pop3.Auth, 0},
		"a server in a refusal": {[]string{"Auth-Status", "no", "Auth-Server", "192.0.2.7", "Auth-Port", "110"}, pop3.Auth, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, judgeOf(t, Options{URLs: []string{service(t, 200, c.fields...)}}), login())
			refusal, ok := errors.AsType[*directory.RefusalError](err)
			if !ok {
				t.Fatalf("no refusal: %v", err)
			}
			if refusal.Code != c.code || refusal.Wait != c.wait {
				t.Errorf("%s after %v, want %s after %v", refusal.Code, refusal.Wait, c.code, c.wait)
			}
		})
	}
}

// TestNoAnswer: what is no answer refuses nobody.
func TestNoAnswer(t *testing.T) {
	good := []string{"Auth-Status", "OK", "Auth-Server", "192.0.2.7", "Auth-Port", "110"}
	with := func(more ...string) []string { return append(append([]string(nil), good...), more...) }
	for name, c := range map[string]struct {
		status int
		fields []string
		want   error
	}{
		"error page":          {500, nil, errStatus},
		"error with a yes":    {503, good, errStatus},
		"not allowed":         {403, []string{"Auth-Status", "no"}, errStatus},
		"redirection":         {302, with("Location", "http://127.0.0.1:1/"), errStatus},
		"silence":             {200, nil, errSilent},
		"route without yes":   {200, good[2:], errSilent},
		"empty status":        {200, []string{"Auth-Status", ""}, errSilent},
		"two statuses":        {200, with("Auth-Status", "no"), errTwice},
		"two servers":         {200, with("Auth-Server", "192.0.2.8"), errTwice},
		"no server":           {200, []string{"Auth-Status", "OK", "Auth-Port", "110"}, errServer},
		"no port":             {200, good[:4], errPort},
		"port 0":              {200, []string{"Auth-Status", "OK", "Auth-Server", "192.0.2.7", "Auth-Port", "0"}, errPort},
		"port too high":       {200, []string{"Auth-Status", "OK", "Auth-Server", "192.0.2.7", "Auth-Port", "65536"}, errPort},
		"port's name":         {200, []string{"Auth-Status", "OK", "Auth-Server", "192.0.2.7", "Auth-Port", "pop3"}, errPort},
		"socket":              {200, []string{"Auth-Status", "OK", "Auth-Server", "unix:/run/pop3", "Auth-Port", "110"}, errServer},
		"server with a port":  {200, []string{"Auth-Status", "OK", "Auth-Server", "192.0.2.7:110", "Auth-Port", "110"}, errServer},
		"zone":                {200, []string{"Auth-Status", "OK", "Auth-Server", "fe80::1%eth0", "Auth-Port", "110"}, errServer},
		"brace in the login":  {200, with("Auth-User", "{address}"), errBraces},
		"tab in the login":    {200, with("Auth-User", "a\tb"), errUser},
		"endless login":       {200, with("Auth-User", strings.Repeat("a", 600)), errUser},
		"tab in the password": {200, with("Auth-Pass", "a\tb"), errPassword},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, judgeOf(t, Options{URLs: []string{service(t, c.status, c.fields...)}}), login())
			if !errors.Is(err, c.want) || isRefusal(err) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestGarbage: whatever comes is an error that shows nothing of it, since what came may be what was sent.
func TestGarbage(t *testing.T) {
	for name, text := range map[string]string{
		"an echo":        "GET /" + canary + " HTTP/1.1\r\nAuth-Pass: " + canary + "\r\n\r\n",
		"echoed header":  "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"another server": "+OK " + canary + "\r\n",
		"endless header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(canary, maxHeader/len(canary)+1) + "\r\n\r\n",
		"endless line":   strings.Repeat(canary, 10_000),
		"only interim":   strings.Repeat("HTTP/1.1 103 "+canary+"\r\n\r\n", 20),
		"bad length":     "HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n",
		"nothing":        "",
		"half":           "HTTP/1.1 200 OK\r\nAuth-Status: OK\r\nAuth-Ser",
	} {
		t.Run(name, func(t *testing.T) {
			s := startRaw(t, func(r *rawService, _ int, c net.Conn, in *bufio.Reader) {
				if r.request(in) == nil {
					_, _ = c.Write([]byte(text))
				}
			})
			_, err := ask(t, judgeOf(t, Options{URLs: []string{s.url}}), login())
			if err == nil || isRefusal(err) {
				t.Fatalf("no error: %v", err)
			}
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, canary) {
				t.Errorf("the error shows what came: %s", text)
			}
			if n := len(s.asked()); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// FuzzAnswer: whatever comes, it is a route that a directory can hold, a refusal with one of the
// known codes and a bounded wait, or an error that shows nothing of it.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(answerOK))
	f.Add([]byte("HTTP/1.1 200 OK\r\nAuth-Status: [IN-USE] x\r\nAuth-Wait: 7\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 204 x\r\nauth-status: OK\r\nauth-server: ::1\r\nauth-port: 1\r\nauth-user: {local}\r\n\r\nbody"))
	f.Add([]byte("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAuth-Status: WAIT\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := newConn(&fixed{Reader: bytes.NewReader(text)})
		a, _, err := c.exchange([]byte("GET / HTTP/1.1\r\n"), nil)
		if err != nil {
			if err != errGarbage && err.Error() != "the connection ended before the answer did" {
				t.Fatalf("an error with a text of its own: %v", err)
			}
			return
		}
		v, err := a.verdict()
		refusal, refused := errors.AsType[*directory.RefusalError](err)
		switch {
		case err == nil:
			host, port, err := net.SplitHostPort(v.Backend)
			if err != nil || host == "" || port == "" || pop3.HasControl([]byte(v.Backend)) || strings.ContainsAny(host, " /@%") {
				t.Errorf("backend %q", v.Backend)
			}
			if directory.CheckLogin(v.Login) != nil || strings.Contains(v.Login, "{") || pop3.HasControl(v.Password.Reveal()) {
				t.Errorf("login %q", v.Login)
			}
		case refused:
			if pop3.ParseCode(string(refusal.Code)) != refusal.Code || refusal.Code == pop3.NoCode || refusal.Wait < 0 || refusal.Wait > maxWait {
				t.Errorf("refusal %+v", refusal)
			}
		}
	})
}

// fixed is a connection with an answer that is there already.
type fixed struct {
	net.Conn
	*bytes.Reader
}

func (f *fixed) Read(p []byte) (int, error)  { return f.Reader.Read(p) }
func (f *fixed) Write(p []byte) (int, error) { return len(p), nil }

func TestBodyIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		body  int
		fresh bool // the second question needs a new connection
	}{"short": {100, false}, "long": {1 << 20, true}} {
		t.Run(name, func(t *testing.T) {
			connections := map[string]bool{}
			s := newHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				connections[r.RemoteAddr] = true
				w.Header().Set("Auth-Status", "no")
				_, _ = w.Write(bytes.Repeat([]byte("x"), c.body))
			})
			j := judgeOf(t, Options{URLs: []string{s}})
			for range 2 {
				if _, err := ask(t, j, login()); !isRefusal(err) {
					t.Fatal(err)
				}
			}
			if (len(connections) == 2) != c.fresh {
				t.Errorf("%d connections for two questions", len(connections))
			}
		})
	}
}
