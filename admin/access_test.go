package admin

import (
	"crypto/tls"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Who is not let in, and what he hears: nothing of what there is inside.
func TestRefusals(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	_, port, _ := net.SplitHostPort(g.tcp)
	const viewer, operator = "Authorization: Bearer " + viewerSecret, "Authorization: Bearer " + operatorSecret
	for _, tt := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"no token", "GET", "/api/v1/status", nil, 401},
		{"no token, no page", "GET", "/nothing", nil, 401},
		{"no token, wrong method", "PATCH", "/api/v1/status", nil, 401},
		{"no token at metrics", "GET", "/metrics", nil, 401},
		{"no token at readyz", "GET", "/readyz", nil, 401},
		{"empty token", "GET", "/api/v1/status", []string{"Authorization: Bearer "}, 401},
		{"wrong token", "GET", "/api/v1/status", []string{"Authorization: Bearer viewer-0123456780"}, 401},
		{"half a token", "GET", "/api/v1/status", []string{"Authorization: Bearer viewer-012345678"}, 401},
		{"token and more", "GET", "/api/v1/status", []string{viewer + "9"}, 401},
		{"two tokens", "GET", "/api/v1/status", []string{viewer + " " + operatorSecret}, 401},
		{"a token's name", "GET", "/api/v1/status", []string{"Authorization: Bearer vera"}, 401},
		{"basic", "GET", "/api/v1/status", []string{"Authorization: Basic " + viewerSecret}, 401},
		{"in the query", "GET", "/api/v1/status?access_token=" + viewerSecret, nil, 401},
		{"any case of the scheme", "GET", "/api/v1/status", []string{"Authorization: bearer " + viewerSecret}, 200},
		{"a stranger's name", "GET", "/api/v1/status", []string{viewer, "Host: evil.example.org:" + port}, 421},
		{"a stranger's name, no token", "GET", "/api/v1/status", []string{"Host: evil.example.org"}, 421},
		{"localhost is not the address", "GET", "/api/v1/status", []string{viewer, "Host: localhost:" + port}, 421},
		{"another port", "GET", "/api/v1/status", []string{viewer, "Host: 127.0.0.1:1"}, 421},
		{"no port", "GET", "/api/v1/status", []string{viewer, "Host: 127.0.0.1"}, 421},
		{"another address", "GET", "/api/v1/status", []string{viewer, "Host: 127.0.0.2:" + port}, 421},
		{"a name that begins alike", "GET", "/api/v1/status", []string{viewer, "Host: gw1.example.com.example.org"}, 421},
		{"one of admin.hosts", "GET", "/api/v1/status", []string{viewer, "Host: GW1.example.com:9999"}, 200},
		{"one of admin.hosts, no port", "GET", "/api/v1/status", []string{viewer, "Host: gw1.example.com"}, 200},
		{"wrong role", "POST", "/api/v1/reload", []string{"Authorization: Bearer " + helpdeskSecret}, 403},
		{"cross-site", "POST", "/api/v1/reload", []string{operator, "Sec-Fetch-Site: cross-site"}, 403},
		{"same-site is another origin", "POST", "/api/v1/reload", []string{operator, "Sec-Fetch-Site: same-site"}, 403},
		{"another origin", "DELETE", "/api/v1/sessions/s-1", []string{operator, "Origin: http://evil.example.org"}, 403},
		{"same origin", "POST", "/api/v1/reload", []string{operator, "Sec-Fetch-Site: same-origin"}, 200},
		{"reading from elsewhere", "GET", "/api/v1/status", []string{viewer, "Sec-Fetch-Site: cross-site"}, 200},
		{"no page", "GET", "/api/v1/nothing", []string{operator}, 404},
		{"no page of that depth", "GET", "/api/v1/status/more", []string{operator}, 404},
		{"no profiles", "GET", "/debug/pprof/", []string{operator}, 404},
		{"wrong method", "POST", "/api/v1/status", []string{operator}, 405},
		{"reload by GET", "GET", "/api/v1/reload", []string{operator}, 405},
		{"no CORS", "OPTIONS", "/api/v1/status", []string{operator}, 405},
		{"HEAD is GET", "HEAD", "/api/v1/status", []string{viewer}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := g.do(t, tt.method, "http://"+g.tcp+tt.path, tt.header...)
			if got.status != tt.status {
				t.Fatalf("status %d, want %d: %s", got.status, tt.status, got.body)
			}
			if got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("header %v", got.header)
			}
			if tt.status < 400 {
				return
			}
			var refusal Refusal
			got.into(t, &refusal)
			if refusal.Error == "" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%v %q", got.header, got.body)
			}
			if tt.status == 401 && got.header.Get("WWW-Authenticate") != "Bearer" || tt.status == 405 && got.header.Get("Allow") == "" {
				t.Errorf("header %v", got.header)
			}
		})
	}
	if g.reloads != 1 || g.kicked != nil {
		t.Errorf("%d reloads, kicked %v: a refusal was obeyed", g.reloads, g.kicked)
	}
	for _, secret := range []string{viewerSecret, helpdeskSecret, operatorSecret} {
		if strings.Contains(g.logs.String(), secret) || strings.Contains(fmt.Sprintf("%+v %#v", g.options(t).Access, g.options(t).Access), secret) {
			t.Error("a secret was printed")
		}
	}
}

func TestAccessChangesWhileOpen(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	fresh, err := NewToken("vera", Viewer, "another-0123456789")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetAccess(&Access{Tokens: []Token{fresh, fresh}}); err == nil {
		t.Error("one token twice is taken")
	}
	if got := g.as(t, viewerSecret, "GET", "/api/v1/status"); got.status != 200 {
		t.Errorf("a refused change took: %d", got.status)
	}
	if err := g.SetAccess(&Access{Tokens: []Token{fresh}}); err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{viewerSecret: 401, operatorSecret: 401, "another-0123456789": 200} {
		if got := g.as(t, secret, "GET", "/api/v1/status"); got.status != want {
			t.Errorf("%s: status %d, want %d", secret, got.status, want)
		}
	}
}

func TestTokens(t *testing.T) {
	for _, tt := range []struct {
		name   string
		role   Role
		secret string
	}{
		{"", Viewer, viewerSecret}, {"socket", Operator, viewerSecret}, {"vera", 0, viewerSecret},
		{"vera", Operator + 1, viewerSecret}, {"vera", Viewer, "fifteen-octets-"}, {"vera", Viewer, ""},
	} {
		if _, err := NewToken(tt.name, tt.role, tt.secret); err == nil || tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	one, _ := NewToken("one", Viewer, viewerSecret)
	same, _ := NewToken("two", Operator, viewerSecret)
	if err := (&Access{Tokens: []Token{one, same}}).check(); err == nil {
		t.Error("two tokens of one secret: who did it?")
	}
	for role := Viewer; role <= Operator; role++ {
		if back, err := ParseRole(role.String()); err != nil || back != role {
			t.Errorf("%v became %v, %v", role, back, err)
		}
	}
	for _, text := range []string{"", "root", "Viewer"} {
		if _, err := ParseRole(text); err == nil {
			t.Errorf("%q is a role", text)
		}
	}
}

// identify has no way out of its loop and no branch in it, so that every token is compared
// whatever came of the others; and it compares digests in constant time.
func TestIdentifyLooksAtEveryToken(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "access.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	loops, compares := 0, 0
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "identify" {
			continue
		}
		for n := range ast.Preorder(f) {
			loop, ok := n.(*ast.RangeStmt)
			if !ok {
				continue
			}
			loops++
			for n := range ast.Preorder(loop.Body) {
				switch n := n.(type) {
				case *ast.IfStmt, *ast.SwitchStmt, *ast.ReturnStmt, *ast.BranchStmt:
					t.Errorf("identify decides within its loop: %T", n)
				case *ast.SelectorExpr:
					if n.Sel.Name == "ConstantTimeCompare" {
						compares++
					}
				case *ast.BinaryExpr:
					t.Errorf("identify compares by itself: %s", n.Op)
				}
			}
		}
	}
	if loops != 1 || compares != 1 {
		t.Errorf("%d loops, %d comparisons", loops, compares)
	}
	var all []Token
	for i := range 5 {
		one, err := NewToken(fmt.Sprint("t", i), Viewer, fmt.Sprint("secret-0123456789-", i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	access := &Access{Tokens: all}
	for i := range all {
		if got, ok := access.identify(fmt.Sprint("secret-0123456789-", i)); !ok || got.name != all[i].name {
			t.Errorf("token %d is taken for %q", i, got.name)
		}
	}
	if _, ok := access.identify(""); ok {
		t.Error("nothing is a token")
	}
	if _, ok := new(Access).identify(""); ok {
		t.Error("nothing is a token where there is none")
	}
}

// With a certificate the TCP door speaks TLS, and HTTP/1.1 in it: HTTP/2 would put many requests
// on a connection that counts as one.
func TestTCPWithTLS(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	l := listenTCP(t)
	served := make(chan error, 1)
	go func() { served <- g.ServeTCP(l, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}) }()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+l.Addr().String()+"/api/v1/status", nil)
	r.Header.Set("Authorization", "Bearer "+viewerSecret)
	got, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(got.Body)
	got.Body.Close()
	if got.StatusCode != 200 || got.ProtoMajor != 1 || got.TLS == nil {
		t.Errorf("%s %s: %s", got.Proto, got.Status, body)
	}
	plain, err := http.Get("http://" + l.Addr().String() + "/api/v1/status")
	if err == nil {
		plain.Body.Close()
		if plain.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP at the TLS door: %s", plain.Status)
		}
	}
	g.Close(t.Context())
	if err := <-served; err != nil {
		t.Error(err)
	}
}
