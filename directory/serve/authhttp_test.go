package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/directory"
	"postern/pop3"
)

const canary = "s3cret-canary"

func authOf(t *testing.T, s *site, change func(*AuthHTTPOptions)) *AuthHTTP {
	t.Helper()
	o := AuthHTTPOptions{
		Locate: s.locate, Ports: ports, Allow: loopback,
		Resolve: func(_ context.Context, host string) (netip.Addr, error) {
			if host != "guest-03.example.com" {
				return netip.Addr{}, errors.New("no such host")
			}
			return netip.MustParseAddr("192.0.2.3"), nil
		},
	}
	if change != nil {
		change(&o)
	}
	a, err := NewAuthHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// request is one as nginx makes it.
func request(protocol, user string, more ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/auth", nil)
	r.RemoteAddr = "127.0.0.1:12345"
	for i, fields := 0, append([]string{
		"Auth-Method", "plain", "Auth-User", user, "Auth-Pass", canary, "Auth-Protocol", protocol,
		"Auth-Login-Attempt", "1", "Client-IP", "192.0.2.42",
	}, more...); i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

// answered is the status and the protocol's headers.
func answered(a *AuthHTTP, r *http.Request) (int, map[string]string) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	got := map[string]string{}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Auth-") {
			got[name] = w.Header().Get(name)
		}
	}
	return w.Code, got
}

func TestAuthHTTPAnswers(t *testing.T) {
	type h = map[string]string
	yes := func(server, port, user string) h {
		return h{"Auth-Status": "OK", "Auth-Server": server, "Auth-Port": port, "Auth-User": user}
	}
	imapNo := h{"Auth-Status": "[AUTHENTICATIONFAILED] Invalid login or password", "Auth-Wait": "3"}
	pop3No := h{"Auth-Status": "[AUTH] Invalid login or password", "Auth-Wait": "3"}
	smtpNo := h{"Auth-Status": "Invalid login or password", "Auth-Wait": "3", "Auth-Error-Code": "535 5.7.8"}
	imapLater := h{"Auth-Status": "[UNAVAILABLE] Try again later"}
	pop3Later := h{"Auth-Status": "[SYS/TEMP] Try again later"}
	smtpLater := h{"Auth-Status": "Try again later", "Auth-Error-Code": "451 4.3.0"}
	for name, c := range map[string]struct {
		protocol, user string
		want           h
	}{
		"pop3":                    {"pop3", "alice@example.com", yes("192.0.2.1", "1110", "alice")},
		"imap":                    {"imap", "alice@example.com", yes("192.0.2.1", "143", "alice")},
		"smtp":                    {"smtp", "alice@example.com", yes("192.0.2.1", "25", "alice")},
		"IPv6":                    {"imap", "bob@example.com", yes("2001:db8::2", "143", "bob@example.com")},
		"backend's name":          {"imap", "carol@example.com", yes("192.0.2.3", "143", "c%r l")},
		"escaped":                 {"imap", "a%20b%25c@example.com", yes("192.0.2.1", "143", "ab")},
		"escaped in lower case":   {"imap", "alice%40example.com", yes("192.0.2.1", "143", "alice")},
		"unknown, imap":           {"imap", "nobody@example.com", imapNo},
		"unknown, pop3":           {"pop3", "nobody@example.com", pop3No},
		"unknown, smtp":           {"smtp", "nobody@example.com", smtpNo},
		"nobody at all":           {"imap", "", imapNo},
		"suspended":               {"imap", "dave@example.com", imapNo},
		"moving, imap":            {"imap", "erin@example.com", imapLater},
		"moving, pop3":            {"pop3", "erin@example.com", pop3Later},
		"moving, smtp":            {"smtp", "erin@example.com", smtpLater},
		"directory down":          {"pop3", "down@example.com", pop3Later},
		"known with a password":   {"pop3", "judged@example.com", pop3Later},
		"backend not configured":  {"imap", "homeless@example.com", imapLater},
		"no imap there":           {"imap", "frank@example.com", imapLater},
		"pop3 needs no port":      {"pop3", "frank@example.com", yes("192.0.2.1", "1110", "frank")},
		"login that can't travel": {"pop3", "space@example.com", pop3Later},
		"bare":                    {"pop3", "bare", yes("192.0.2.1", "1110", "bare")},
	} {
		s := newSite()
		if code, got := answered(authOf(t, s, nil), request(c.protocol, c.user)); code != 200 || !maps.Equal(got, c.want) {
			t.Errorf("%s: %d %v, want %v", name, code, got, c.want)
		}
		if len(s.asked) != 1 || !s.asked[0].Strict {
			t.Errorf("%s: asked %v", name, s.asked)
		}
	}
}

func TestAuthHTTPResolverFails(t *testing.T) {
	a := authOf(t, newSite(), func(o *AuthHTTPOptions) {
		o.Resolve = func(context.Context, string) (netip.Addr, error) { return netip.Addr{}, errors.New("no answer") }
	})
	if _, got := answered(a, request("pop3", "carol@example.com")); got["Auth-Status"] != words["pop3"].temp {
		t.Errorf("%v", got)
	}
}

// TestAuthHTTPEndsSessions: nginx closes where there is no Auth-Wait.
func TestAuthHTTPEndsSessions(t *testing.T) {
	a := authOf(t, newSite(), func(o *AuthHTTPOptions) { o.Wait = 7 * time.Second })
	for attempt, want := range map[string]string{"1": "7", "9": "7", "10": "", "11": "", "x": "7", "": "7"} {
		if _, got := answered(a, request("pop3", "nobody@example.com", "Auth-Login-Attempt", attempt)); got["Auth-Wait"] != want {
			t.Errorf("attempt %q: wait %q, want %q", attempt, got["Auth-Wait"], want)
		}
	}
}

// TestAuthHTTPRefused: who may not ask, or asks for nothing, gets none of the protocol's headers, and the
// directory isn't asked.
func TestAuthHTTPRefused(t *testing.T) {
	with := func(change func(*http.Request)) *http.Request {
		r := request("imap", "alice@example.com", "X-Auth-Key", "shared")
		change(r)
		return r
	}
	for name, c := range map[string]struct {
		request *http.Request
		status  int
	}{
		"right":            {with(func(*http.Request) {}), 200},
		"no key":           {with(func(r *http.Request) { r.Header.Del("X-Auth-Key") }), 403},
		"wrong key":        {with(func(r *http.Request) { r.Header.Set("X-Auth-Key", "share") }), 403},
		"stranger":         {with(func(r *http.Request) { r.RemoteAddr = "192.0.2.9:1" }), 403},
		"mapped stranger":  {with(func(r *http.Request) { r.RemoteAddr = "[::ffff:192.0.2.9]:1" }), 403},
		"mapped neighbour": {with(func(r *http.Request) { r.RemoteAddr = "[::ffff:127.0.0.1]:1" }), 200},
		"by Unix socket":   {with(func(r *http.Request) { r.RemoteAddr = "@" }), 200},
		"elsewhere":        {with(func(r *http.Request) { r.URL.Path = "/" }), 404},
		"below":            {with(func(r *http.Request) { r.URL.Path = "/auth/x" }), 404},
		"post":             {with(func(r *http.Request) { r.Method = "POST" }), 405},
		"head":             {with(func(r *http.Request) { r.Method = "HEAD" }), 405},
		"no protocol":      {with(func(r *http.Request) { r.Header.Del("Auth-Protocol") }), 400},
		"other protocol":   {with(func(r *http.Request) { r.Header.Set("Auth-Protocol", "ldap") }), 400},
		"half an escape":   {with(func(r *http.Request) { r.Header.Set("Auth-User", "a%2") }), 400},
		"no escape":        {with(func(r *http.Request) { r.Header.Set("Auth-User", "a%zz@example.com") }), 400},
		"signed escape":    {with(func(r *http.Request) { r.Header.Set("Auth-User", "a%+1@example.com") }), 400},
	} {
		s := newSite()
		a := authOf(t, s, func(o *AuthHTTPOptions) { o.Key = pop3.NewSecret([]byte("shared")) })
		status, got := answered(a, c.request)
		if status != c.status || (len(got) > 0 || len(s.asked) > 0) != (c.status == 200) {
			t.Errorf("%s: %d %v, asked %v", name, status, got, s.asked)
		}
	}
}

func TestUnescapeIsNginxs(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "a", "%20a%25b%0A": " a%b\n", "%c3%A9": "é", "a+b": "a+b", "é": "é", "%2520": "%20",
	} {
		if got, ok := unescape(text); !ok || got != want {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

func TestAuthHTTPServe(t *testing.T) {
	s := newSite()
	a := authOf(t, s, nil)
	dial, stop := started(t, a.Serve)
	c := dial()
	in := bufio.NewReader(c)
	for range 2 { // nginx doesn't keep a connection; others may
		fmt.Fprintf(c, "GET /auth HTTP/1.1\r\nHost: localhost\r\nAuth-Method: plain\r\nAuth-User: alice@example.com\r\n"+
			"Auth-Pass: %s\r\nAuth-Protocol: pop3\r\n\r\n", canary)
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if r.StatusCode != 200 || r.Header.Get("Auth-Server") != "192.0.2.1" {
			t.Errorf("%v", r)
		}
	}
	// nginx reads an answer's header into one KiB.
	long := strings.Repeat("x", 500)
	s.mu.Lock()
	s.routes["alice@example.com"] = directory.Route{Mailbox: "alice@example.com", Login: long, Backend: guest2}
	s.mu.Unlock()
	c = dial()
	fmt.Fprintf(c, "GET /auth HTTP/1.0\r\nHost: localhost\r\nAuth-User: alice@example.com\r\nAuth-Protocol: imap\r\n\r\n")
	if text, err := io.ReadAll(c); err != nil || len(text) > 1024 || !strings.Contains(string(text), long) {
		t.Errorf("%d octets, %v: %s", len(text), err, text)
	}
	c = dial()
	fmt.Fprintf(c, "GET /auth HTTP/1.0\r\nAuth-User: %s\r\n\r\n", strings.Repeat("a", 64<<10))
	if text, _ := io.ReadAll(c); strings.Contains(string(text), "Auth-Status") {
		t.Errorf("an endless header is answered %q", text)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestOptionsMissing(t *testing.T) {
	if _, err := NewAuthHTTP(AuthHTTPOptions{Ports: ports}); err == nil {
		t.Error("auth_http without a directory")
	}
	if _, err := NewSocketmap(SocketmapOptions{Locate: newSite().locate}); err == nil {
		t.Error("socketmap without a transport")
	}
}
