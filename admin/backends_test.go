package admin

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDrainAndResume(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	for _, test := range []struct {
		path   string
		status int
		says   string
	}{
		{"/api/v1/backends/guest-01/drain", 200, `"backend":"guest-01","drained":true`},
		{"/api/v1/backends/guest-01/drain?deadline=10m", 200, `"drained":true`},
		{"/api/v1/backends/guest-01/drain?deadline=soon", 400, "want a duration"},
		{"/api/v1/backends/guest-01/drain?deadline=-1s", 400, "want a duration"},
		{"/api/v1/backends/guest-01/drain?dedline=1s", 400, "want deadline"},
		{"/api/v1/backends/nobody/drain", 404, "no such backend"},
		{"/api/v1/backends/guest-01/resume", 200, `"drained":false`},
		{"/api/v1/backends/nobody/resume", 404, "no such backend"},
	} {
		if got := g.as(t, operatorSecret, "POST", test.path); got.status != test.status || !strings.Contains(got.body, test.says) {
			t.Errorf("%s: %d %s", test.path, got.status, got.body)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if want := []string{"guest-01 olga -1ns", "guest-01 olga 10m0s", "nobody olga -1ns"}; !slices.Equal(g.drains, want) {
		t.Errorf("drains: %q", g.drains)
	}
}

func TestBackendMetrics(t *testing.T) {
	t.Parallel()
	g := open(t, func(o *Options, _ *limits) {
		o.Backends = func() []Backend {
			return []Backend{{
				Name: "guest-01", State: "open", Breaker: "open", Since: time.Unix(1700000000, 0), Logins: 1, Queued: 2, Sessions: 3,
				Refused: map[string]uint64{"busy": 4}, Connect: Latency{Count: 1, Median: 0.5, Max: 1.5}, LastError: "quoted secret",
			}}
		}
	})
	metrics := g.as(t, viewerSecret, "GET", "/metrics").body
	for _, want := range []string{
		`postern_backend_state{backend="guest-01",state="open"} 1`, `postern_backend_state{backend="guest-01",state="usable"} 0`,
		`postern_backend_breaker{backend="guest-01"} 1`, `postern_backend_state_since_seconds{backend="guest-01"} 1.7e+09`,
		`postern_backend_logins{backend="guest-01"} 1`, `postern_backend_queued{backend="guest-01"} 2`,
		`postern_backend_sessions{backend="guest-01"} 3`, `postern_backend_refused_total{backend="guest-01",reason="busy"} 4`,
		`postern_backend_latency_seconds{backend="guest-01",phase="connect",stat="median"} 0.5`,
		`postern_backend_latency_seconds{backend="guest-01",phase="connect",stat="max"} 1.5`, "postern_backends_distrusted 0",
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if got := g.as(t, viewerSecret, "GET", "/readyz").body; !strings.Contains(got, "backend guest-01 is open") {
		t.Errorf("/readyz: %s", got)
	}
	if got := g.as(t, viewerSecret, "GET", "/api/v1/backends").body; strings.Contains(got, "quoted secret") {
		t.Errorf("a viewer reads a failure's text: %s", got)
	}
	if got := g.as(t, helpdeskSecret, "GET", "/api/v1/backends").body; !strings.Contains(got, "quoted secret") {
		t.Errorf("the help desk does not: %s", got)
	}
}
