package authhttp

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/pop3"
	"postern/proxy/tls/tlstest"
)

// answerNo keeps an nginx session: without Auth-Wait nginx ends it.
const answerNo = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAuth-Status: [AUTH] no\r\nAuth-Wait: 1\r\n\r\n"

var ciphers = regexp.MustCompile(`Auth-SSL-(Protocol|Cipher): .*\r\n`)

// TestRealNginxAsksTheSame puts a real nginx and this package before one service. What they
// ask is the same to the octet, but for HTTP/1.0 instead of 1.1, Host without its port, and two
// lines on how the client's TLS is encrypted, which a Login doesn't tell.
func TestRealNginxAsksTheSame(t *testing.T) {
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs a real nginx: `make test` installs it and sets POSTERN_REAL=1")
	}
	s := startRaw(t, answers(answerNo))
	service := strings.TrimPrefix(s.url, "http://")

	certPEM, keyPEM := tlstest.Issue(t, "mail.example.com")
	cert, key := tlstest.Write(t, t.TempDir(), "mail", certPEM, keyPEM)
	addresses, err := realtest.StartNginx(t, realtest.Nginx{
		Service: service, ServiceKey: "shared", Protocols: []string{"pop3", "pop3s"},
		CertFile: cert, KeyFile: key,
	})
	if err != nil {
		t.Fatal(err)
	}
	j := judgeOf(t, Options{URLs: []string{s.url}, Headers: []Header{{"X-Auth-Key", pop3.NewSecret([]byte("shared"))}}})
	for name, l := range map[string]directory.Login{
		"plain":      {User: "alice@example.com", Password: pop3.NewSecret([]byte("secret")), Mechanism: pop3.PLAIN},
		"escaped":    {User: "a b%c+d@example.com", Password: pop3.NewSecret([]byte(" p%20w é:\"\\~{}\x80")), Mechanism: pop3.PLAIN},
		"login":      {User: "bob", Password: pop3.NewSecret([]byte("&=?#")), Mechanism: pop3.LOGIN},
		"user":       {User: "alice%example.com", Password: pop3.NewSecret([]byte("a b  c")), TLS: true},
		"second try": {User: "alice@example.com", Password: pop3.NewSecret([]byte("wrong")), Attempt: 2},
	} {
		t.Run(name, func(t *testing.T) {
			l.Attempt, l.Client = max(l.Attempt, 1), netip.MustParseAddr("127.0.0.1")
			before := len(s.asked())
			address := addresses["pop3"]
			if l.TLS {
				address = addresses["pop3s"]
			}
			throughNginx(t, address, l)
			if _, err := ask(t, j, l); !isRefusal(err) {
				t.Fatal(err)
			}
			asked := s.asked()[before:]
			if len(asked) != l.Attempt+1 {
				t.Fatalf("asked %d times: %q", len(asked), asked)
			}
			nginx, ours := ciphers.ReplaceAllString(asked[l.Attempt-1], ""), asked[l.Attempt]
			host, _, _ := strings.Cut(service, "/")
			name, _, _ := net.SplitHostPort(host)
			want := strings.Replace(ours, "GET /auth HTTP/1.1\r\nHost: "+host+"\r\n", "GET /auth HTTP/1.0\r\nHost: "+name+"\r\n", 1)
			if nginx != want {
				t.Errorf("nginx asks %q\nwe ask     %q", nginx, ours)
			}
		})
	}
}

// throughNginx logs in as often as the login says, in vain.
func throughNginx(t *testing.T, address string, l directory.Login) {
	t.Helper()
	var c net.Conn
	var err error
	if l.TLS {
		c, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	} else {
		c, err = net.Dial("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(c)
	expect := func(want string) {
		t.Helper()
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	expect("+OK")
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	password := string(l.Password.Reveal())
	lines := []string{"USER " + l.User, "PASS " + password}
	switch l.Mechanism {
	case pop3.PLAIN:
		lines = []string{"AUTH PLAIN " + encode("\x00"+l.User+"\x00"+password)}
	case pop3.LOGIN:
		lines = []string{"AUTH LOGIN", encode(l.User), encode(password)}
	}
	for range l.Attempt {
		for i, line := range lines {
			if _, err := c.Write([]byte(line + "\r\n")); err != nil {
				t.Fatal(err)
			}
			if i < len(lines)-1 {
				expect("+")
			}
		}
		expect("-ERR [AUTH] no")
	}
}
