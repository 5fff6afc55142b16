package admin

import (
	"strings"
	"testing"
	"time"
)

// /readyz turns 503 for what concerns this gateway alone, and for nothing else.
func TestReadiness(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		change   func(*Facts, *Options)
		status   int
		says     string
		degraded bool
	}{
		{"all is well", func(*Facts, *Options) {}, 200, `"degraded":[]`, false},
		{"draining", func(f *Facts, _ *Options) { f.Draining = true }, 503, "draining", false},
		{"never loaded", func(f *Facts, _ *Options) { f.Directory[0].LoadedAt = time.Time{} }, 503, "no directory state", true},
		{"no source", func(f *Facts, _ *Options) { f.Directory = nil }, 503, "no directory state", false},
		{"a later source never loaded", func(f *Facts, _ *Options) {
			f.Directory = append(f.Directory, Source{Name: "consul", Failing: true, Error: canary})
		}, 200, "source consul was never loaded", true},
		{"no descriptors", func(_ *Facts, o *Options) { o.Descriptors = func() (int, int) { return 990, 1000 } }, 503, "no descriptors left", false},
		{"descriptors not known", func(_ *Facts, o *Options) { o.Descriptors = func() (int, int) { return 0, 0 } }, 200, "", false},
		{"failing source", func(f *Facts, _ *Options) { f.Directory[0].Failing, f.Directory[0].Error = true, canary }, 200, "its state of 1m", true},
		{"held source", func(f *Facts, _ *Options) { f.Directory[0].Failing, f.Directory[0].Held = true, true }, 200, "shrink guard", true},
		{"expired", func(f *Facts, _ *Options) { f.Certificates[0].NotAfter = time.Now().Add(-time.Hour) }, 200, "has expired", true},
		{"expires soon", func(f *Facts, _ *Options) { f.Certificates[0].NotAfter = time.Now().Add(73*time.Hour + time.Minute) }, 200, "expires in 73h", true},
		{"broken certificate", func(f *Facts, _ *Options) { f.Certificates[0].Failing = true }, 200, "pop.example.com: its newest", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			facts := someFacts()
			facts.Directory[0].Failing, facts.Directory[0].Error = false, ""
			g := open(t, func(o *Options, _ *limits) {
				tt.change(&facts, o)
				o.Facts = func() Facts { return facts }
			})
			got := g.do(t, "GET", "http://"+g.probes+"/readyz")
			var ready Readiness
			got.into(t, &ready)
			if got.status != tt.status || ready.Ready != (tt.status == 200) || (len(ready.Degraded) > 0) != tt.degraded || !strings.Contains(got.body, tt.says) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if got := g.do(t, "GET", "http://"+g.probes+"/livez"); got.status != 200 || got.body != "ok\n" {
				t.Errorf("livez: %d %s", got.status, got.body)
			}
			metric := "\npostern_ready 0\n"
			if tt.status == 200 {
				metric = "\npostern_ready 1\n"
			}
			if got := g.do(t, "GET", "http://"+g.probes+"/metrics"); !strings.Contains(got.body, metric) {
				t.Errorf("metrics and readyz say different things:\n%s", got.body)
			}
		})
	}
}

// No mailbox, no client's address and no error's text is told to who has no token, though
// sessions and sources are full of them.
func TestProbesTellNothingPersonal(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	g.observer.Opened("pop")
	g.observer.Judged("ok", Phases{Login: time.Millisecond})
	g.observer.Ended("pop", "client", "fin", 1, 1)
	if got := g.as(t, helpdeskSecret, "GET", "/api/v1/sessions"); !strings.Contains(got.body, canary) || !strings.Contains(got.body, "192.0.2.1") {
		t.Fatalf("the canary is not there: %s", got.body)
	}
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/", "/api/v1/sessions", "/api/v1/mailboxes/" + canary, "/api/v1/status"} {
		for _, at := range []string{g.probes, g.tcp} {
			got := g.do(t, "GET", "http://"+at+path)
			for _, personal := range []string{canary, "canary", "192.0.2.", "2001:db8", "a.map:3"} {
				if strings.Contains(got.body, personal) {
					t.Errorf("%s%s tells %s:\n%s", at, path, personal, got.body)
				}
			}
		}
	}
	for _, path := range []string{"/metrics", "/readyz", "/api/v1/status", "/api/v1/directory", "/api/v1/backends"} {
		if got := g.as(t, viewerSecret, "GET", path); got.status != 200 || strings.Contains(got.body, "canary") {
			t.Errorf("a viewer is told by %s: %s", path, got.body)
		}
	}
}
