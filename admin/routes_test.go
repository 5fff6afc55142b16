package admin

import (
	"net/http"
	"strings"
	"testing"
)

// The table is walked for each role at each door: who may do what is what the table says, and
// the table says what this test does.
func TestRoutesByRole(t *testing.T) {
	t.Parallel()
	want := map[string]Role{
		"GET /livez": Viewer, "GET /readyz": Viewer, "GET /metrics": Viewer,
		"GET /api/v1/status": Viewer, "GET /api/v1/directory": Viewer, "GET /api/v1/backends": Viewer,
		"GET /api/v1/sessions": Helpdesk, "DELETE /api/v1/sessions": Helpdesk, "DELETE /api/v1/sessions/{id}": Helpdesk,
		"GET /api/v1/mailboxes/{address}":         Helpdesk,
		"POST /api/v1/reload":                     Operator,
		"POST /api/v1/mailboxes/{address}/forget": Helpdesk, "POST /api/v1/directory/{source}/confirm": Operator,
		"POST /api/v1/backends/{name}/drain": Operator, "POST /api/v1/backends/{name}/resume": Operator,
		"GET /debug/pprof/": Operator, "GET /debug/pprof/profile": Operator,
		"GET /debug/pprof/trace": Operator, "GET /debug/pprof/symbol": Operator,
	}
	probes := map[string]bool{"GET /livez": true, "GET /readyz": true, "GET /metrics": true}
	g := open(t, func(o *Options, _ *limits) { o.PProf = true })
	secrets := map[Role]string{Viewer: viewerSecret, Helpdesk: helpdeskSecret, Operator: operatorSecret}
	all := append(append([]route{}, routes...), profiles...)
	if len(all) != len(want) {
		t.Errorf("%d routes, %d expected", len(all), len(want))
	}
	for _, r := range all {
		name := r.method + " " + r.path
		path := strings.NewReplacer("{id}", "s-1", "{address}", "alice@example.com", "{source}", "file:a.map", "{name}", "guest-01").Replace(r.path)
		if strings.Contains(name, "DELETE /api/v1/sessions") && !strings.Contains(name, "id") {
			path += "?backend=guest-02"
		}
		if strings.Contains(path, "pprof/profile") || strings.Contains(path, "pprof/trace") {
			path += "?seconds=1"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for role, secret := range secrets {
				got := g.as(t, secret, r.method, path)
				if allowed := role >= want[name]; allowed && got.status != 200 || !allowed && got.status != 403 {
					t.Errorf("%s: %d %s", role, got.status, got.body)
				}
			}
			if got := g.do(t, r.method, "http://"+g.tcp+path); got.status != 401 {
				t.Errorf("nobody: %d", got.status)
			}
			if got := g.do(t, r.method, "unix:"+path); got.status != 200 {
				t.Errorf("socket: %d", got.status)
			}
			if got := g.do(t, r.method, "http://"+g.probes+path); probes[name] && got.status != 200 || !probes[name] && got.status != 404 {
				t.Errorf("probes: %d", got.status)
			}
		})
	}
}

// Whoever changes something, or tried to and is known, is in the log. A stranger is not: he
// could fill the disk.
func TestChangesAreRecorded(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	g.as(t, operatorSecret, "GET", "/api/v1/sessions")
	g.do(t, "POST", "http://"+g.tcp+"/api/v1/reload")
	if text := g.logs.String(); strings.Contains(text, "msg=admin") {
		t.Errorf("a look or a stranger is recorded:\n%s", text)
	}
	for _, tt := range []struct {
		do   func() answer
		want []string
	}{
		{func() answer { return g.as(t, helpdeskSecret, "DELETE", "/api/v1/sessions/s-1") },
			[]string{"who=hanna", "role=helpdesk", "from=127.0.0.1:", `what="DELETE /api/v1/sessions/s-1"`, "status=200", "kicked=1"}},
		{func() answer { return g.do(t, "DELETE", "unix:/api/v1/sessions?backend=guest-02") },
			[]string{"who=socket", "role=operator", "from=socket", "backend=guest-02", "status=200", "kicked=2"}},
		{func() answer { return g.as(t, viewerSecret, "POST", "/api/v1/reload") },
			[]string{"who=vera", `what="POST /api/v1/reload"`, "status=403"}},
		{func() answer {
			return g.as(t, operatorSecret, "POST", "/api/v1/reload", "Origin: http://evil.example.org")
		},
			[]string{"who=olga", "status=403"}},
		{func() answer {
			return g.as(t, operatorSecret, "DELETE", "/api/v1/sessions/%0a%1b[2J"+strings.Repeat("x", 1000))
		},
			[]string{"who=olga", "%0a%1b[2Jxxx", "status=404"}},
	} {
		tt.do()
		lines := strings.Split(strings.TrimSpace(g.logs.String()), "\n")
		last := lines[len(lines)-1]
		for _, want := range append(tt.want, "msg=admin ") {
			if !strings.Contains(last, want) {
				t.Errorf("no %s in %s", want, last)
			}
		}
		if len(last) > 600 {
			t.Errorf("a record of %d octets", len(last))
		}
	}
}

// A fault in a page is an answer and a record, and the next request is served.
func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	g := open(t, func(o *Options, _ *limits) { o.Sessions = func() []Session { panic("broken") } })
	if got := g.as(t, helpdeskSecret, "GET", "/api/v1/sessions"); got.status != http.StatusInternalServerError || strings.Contains(got.body, "broken") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if text := g.logs.String(); !strings.Contains(text, "fault=broken") || strings.Contains(text, helpdeskSecret) {
		t.Errorf("the log says %s", text)
	}
	if got := g.as(t, viewerSecret, "GET", "/api/v1/status"); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}
