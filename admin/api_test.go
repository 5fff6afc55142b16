package admin

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	var got Status
	g.as(t, viewerSecret, "GET", "/api/v1/status").into(t, &got)
	if got.Gateway != "gw1" || !got.Ready || got.Sessions != 3 || got.UptimeSeconds < 3590 || len(got.Listeners) != 1 {
		t.Errorf("%+v", got)
	}
	if s := got.Directory[0]; s.Entries != 7 || s.AgeSeconds < 59 || s.AgeSeconds > 70 || !s.Failing || s.Error != "" {
		t.Errorf("a viewer is told %+v", s)
	}
	for _, secret := range []string{helpdeskSecret, operatorSecret} {
		g.as(t, secret, "GET", "/api/v1/status").into(t, &got)
		if !strings.Contains(got.Directory[0].Error, canary) {
			t.Errorf("who may see it is not told what is wrong: %+v", got.Directory[0])
		}
	}
	if g.facts.Directory[0].Error == "" || g.facts.Directory[0].AgeSeconds != 0 {
		t.Error("an answer changed the facts")
	}
	var directory DirectoryState
	g.as(t, helpdeskSecret, "GET", "/api/v1/directory").into(t, &directory)
	if directory.Gateway != "gw1" || len(directory.Sources) != 1 || directory.Sources[0].Error == "" {
		t.Errorf("%+v", directory)
	}
	var backends BackendList
	g.as(t, viewerSecret, "GET", "/api/v1/backends").into(t, &backends)
	if len(backends.Backends) != 2 || backends.Backends[0].Sessions != 1 || backends.Backends[1].Sessions != 2 {
		t.Errorf("%+v", backends)
	}
}

// What is empty is an empty list: a program that walks it must not find null.
func TestEmptyListsAreLists(t *testing.T) {
	t.Parallel()
	g := open(t, func(o *Options, _ *limits) {
		o.Facts = func() Facts { return Facts{} }
		o.Sessions = func() []Session { return nil }
		o.Backends = func() []Backend { return nil }
	})
	for _, path := range []string{"status", "sessions", "directory", "backends"} {
		if got := g.as(t, operatorSecret, "GET", "/api/v1/"+path); got.status != 200 || strings.Contains(got.body, "null") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestSessionsAreChosen(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	g.sessions[0].Since = time.Unix(1_800_000_000, 0) // the newest
	for query, want := range map[string]string{
		"":                                    "s-2 s-3 s-1",
		"?limit=1":                            "s-2",
		"?mailbox=ALICE@example.com":          "s-1",
		"?mailbox=alice":                      "",
		"?backend=GUEST-02":                   "s-2 s-3",
		"?backend=guest":                      "",
		"?address=192.0.2.2":                  "s-2",
		"?address=::ffff:192.0.2.2":           "s-2",
		"?address=192.0.2.0/24":               "s-2 s-1",
		"?address=2001:db8::/64":              "s-3",
		"?backend=guest-02&address=192.0.2.2": "s-2",
		"?backend=guest-01&address=192.0.2.2": "",
	} {
		var got SessionList
		g.as(t, helpdeskSecret, "GET", "/api/v1/sessions"+query).into(t, &got)
		if text := strings.Join(ids(got.Sessions), " "); text != want || got.Matching < len(got.Sessions) {
			t.Errorf("%q finds %q of %d, want %q", query, text, got.Matching, want)
		}
	}
	if g.sessions[0].ID != "s-1" {
		t.Error("an answer changed the order of the sessions")
	}
}

// What can't be meant is refused, above all where sessions would end: a slip of
// the pen must not take more of them than was meant.
func TestSelectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	for _, query := range []string{
		"?mailbx=alice@example.com&backend=guest-02", "?mailbox=", "?backend=a&backend=b", "?address=guest-01",
		"?address=192.0.2.0/33", "?mailbox=@example.com", "?limit=0", "?limit=-1", "?limit=x", "?limit=1000000", "?a%zz=1", "?x;y",
	} {
		for _, method := range []string{"GET", "DELETE"} {
			if got := g.as(t, operatorSecret, method, "/api/v1/sessions"+query); got.status != 400 {
				t.Errorf("%s %s: %d %s", method, query, got.status, got.body)
			}
		}
	}
	for _, query := range []string{"", "?", "?limit=1", "?backend=guest-02&limit=1"} {
		if got := g.as(t, operatorSecret, "DELETE", "/api/v1/sessions"+query); got.status != 400 {
			t.Errorf("DELETE %q: %d %s", query, got.status, got.body)
		}
	}
	if g.kicked != nil {
		t.Errorf("kicked %v", g.kicked)
	}
}

func TestKick(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"/s-2":                 {"s-2"},
		"?mailbox=" + canary:   {"s-2"},
		"?backend=guest-02":    {"s-2", "s-3"},
		"?address=192.0.2.1":   {"s-1"},
		"?address=203.0.113.1": nil,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			g := open(t, nil)
			var got Kicked
			g.as(t, helpdeskSecret, "DELETE", "/api/v1/sessions"+path).into(t, &got)
			if got.Gateway != "gw1" || got.Kicked != len(want) || !slices.Equal(g.kicked, want) {
				t.Errorf("%+v, kicked %v", got, g.kicked)
			}
			if got := g.as(t, helpdeskSecret, "DELETE", "/api/v1/sessions/s-9"); got.status != 404 {
				t.Errorf("an id that is not: %d", got.status)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	for _, address := range []string{"Alice@example.com", "a/b@example.com", "100%@example.com", "a b?c#d", "..", "é\x00\xff"} {
		escaped := strings.ReplaceAll(url.PathEscape(address), ".", "%2E")
		var got Explanation
		g.do(t, "GET", "unix:/api/v1/mailboxes/"+escaped).into(t, &got)
		if want := strings.ToValidUTF8(address, "\ufffd"); got.Typed != want || got.Gateway != "gw1" || got.Sources[0].AgeSeconds < 59 {
			t.Errorf("%q is explained as %+v", address, got)
		}
	}
	if got := g.as(t, helpdeskSecret, "GET", "/api/v1/mailboxes/fault"); got.status != 500 || !strings.Contains(got.body, "no answer") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	g := open(t, nil)
	var took Reloaded
	if got := g.as(t, operatorSecret, "POST", "/api/v1/reload"); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	} else if got.into(t, &took); !took.Reloaded || took.Gateway != "gw1" {
		t.Errorf("%+v", took)
	}
	g.mu.Lock()
	g.fault = errors.Join(errors.New("postern.yaml:1:2: colour"), errors.New("postern.yaml:3:4: shape"))
	g.mu.Unlock()
	var refusal Refusal
	got := g.as(t, operatorSecret, "POST", "/api/v1/reload")
	if got.into(t, &refusal); got.status != 422 || !slices.Equal(refusal.Faults, []string{"postern.yaml:1:2: colour", "postern.yaml:3:4: shape"}) {
		t.Errorf("%d %+v", got.status, refusal)
	}
}
