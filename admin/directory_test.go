package admin

import (
	"strings"
	"testing"
	"time"
)

func TestConfirmAndForget(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	for _, test := range []struct {
		path   string
		status int
		says   string
	}{
		{"/api/v1/directory/file:a.map/confirm", 200, `"source":"file:a.map"`},
		{"/api/v1/directory/file:%2Fa%2Fb.map/confirm", 200, `"source":"file:/a/b.map"`},
		{"/api/v1/directory/file:b.map/confirm", 409, "holds nothing"},
		{"/api/v1/directory/nobody/confirm", 404, "no such source"},
		{"/api/v1/mailboxes/alice/forget", 200, `"forgotten":2`},
		{"/api/v1/mailboxes/@/forget", 400, "no name"},
	} {
		if got := g.as(t, operatorSecret, "POST", test.path); got.status != test.status || !strings.Contains(got.body, test.says) {
			t.Errorf("%s: %d %s", test.path, got.status, got.body)
		}
	}
}

func TestDegradedSources(t *testing.T) {
	now := time.Now()
	old := now.Add(-90 * time.Second)
	for _, test := range []struct {
		source Source
		want   string
	}{
		{Source{Name: "x"}, "source x was never loaded"},
		{Source{Name: "x", LoadedAt: old}, ""},
		{Source{Name: "x", LoadedAt: old, Failing: true}, "source x can't be read, its state of 1m30s ago serves"},
		{Source{Name: "x", LoadedAt: old, Saved: true}, "source x was not read yet, its saved state of 1m30s ago serves"},
		{Source{Name: "x", LoadedAt: old, Failing: true, Held: true}, "source x: the shrink guard holds its newest state, the one of 1m30s ago serves"},
		{Source{Name: "x", Asked: true}, ""},
		{Source{Name: "x", Asked: true, Failing: true}, "source x can't answer, what is kept of its answers serves"},
		{Source{Name: "x", Shadow: true, Failing: true}, ""},
	} {
		if got := strings.Join(test.source.degraded(now), "; "); got != test.want {
			t.Errorf("%+v: %q", test.source, got)
		}
	}
}

func TestDirectoryMetrics(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	g.mu.Lock()
	g.facts.Directory = append(g.facts.Directory,
		Source{Name: "sql:postgres", Asked: true, Kept: &Kept{Hits: 3, Misses: 2, Stale: 1, Questions: 5, Errors: 4, InFlight: 6}},
		Source{Name: "old", Shadow: true, Compared: &Shadow{Same: 7, Different: 8, UnknownThere: 9, UnknownHere: 10, Failed: 11, Dropped: 12}},
		Source{Name: "consul:p", Saved: true, Replica: &Replica{StaleSeconds: 1.5, KnownLeader: true}})
	g.facts.Forwarded = 13
	g.mu.Unlock()
	got := g.as(t, viewerSecret, "GET", "/metrics").body
	for _, want := range []string{
		`postern_directory_answers_total{result="hit",source="sql:postgres"} 3`,
		`postern_directory_answers_total{result="stale",source="sql:postgres"} 1`,
		`postern_directory_questions_total{result="answered",source="sql:postgres"} 1`,
		`postern_directory_questions_total{result="failed",source="sql:postgres"} 4`,
		`postern_directory_questions_in_flight{source="sql:postgres"} 6`,
		`postern_directory_shadow_total{result="different",source="old"} 8`,
		`postern_directory_shadow_total{result="unknown here",source="old"} 10`,
		`postern_directory_saved{source="consul:p"} 1`,
		`postern_directory_replica_stale_seconds{source="consul:p"} 1.5`,
		`postern_directory_replica_leader{source="consul:p"} 1`,
		"postern_directory_unknown_total 13",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
