package consul

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

const oneAndTwo = "g1@192.0.2.1:1110 g2@192.0.2.2:1110"

func two() []*api.ServiceEntry {
	return []*api.ServiceEntry{at("g1", "192.0.2.1"), at("g2", "192.0.2.2")}
}

func TestChangesArrive(t *testing.T) {
	f := newFake(t)
	o := options()
	o.Tag, o.DeclaredKey = "mail", "postern/declared"
	r := start(t, f.server.URL, o)
	r.fails("", "no instance")
	f.waitsBehind(t, "pop3", 10)
	f.waitsBehind(t, "declared", 10)
	f.has(two()...)
	before := time.Now()
	s := r.has(oneAndTwo)
	if s.Saved || s.At.After(time.Now()) || r.catalogue.Heard().Before(s.At) || before.Sub(s.At) > patience {
		t.Errorf("%+v, heard %s", s, r.catalogue.Heard())
	}
	f.set(func() { f.key = &api.KVPair{Key: "postern/declared", Value: []byte("g2\n")} })
	r.has("g1@192.0.2.1:1110 g2@192.0.2.2:1110*")
	f.has(at("g1", "192.0.2.7"), checked(at("g2", "192.0.2.2"), &api.HealthCheck{Status: api.HealthCritical}))
	r.has("g1@192.0.2.7:1110 g2@192.0.2.2:1110*!")
	f.has(at("g1", "192.0.2.7", "weight=no"))
	r.until("a fault", func(s State) bool { return line(s) == "g1@192.0.2.7:1110 -g2" && s.Faults["g1"] != "" })
	for _, part := range []string{"backend joined", "backend moved", "backend left", "fault=\"meta weight"} {
		if !strings.Contains(r.log.String(), part) {
			t.Errorf("%q was not told:\n%s", part, r.log)
		}
	}
	asked := strings.Join(f.questions(), "\n")
	for _, part := range []string{"/v1/health/service/pop3?tag=mail\n", "index=10&stale=&tag=mail&wait=60000ms", "/v1/kv/postern/declared\n", "/v1/kv/postern/declared?index=10&stale=&wait=60000ms"} {
		if !strings.Contains(asked, part) {
			t.Errorf("%q was not asked:\n%s", part, asked)
		}
	}
}

// TestOutages: whatever Consul answers instead of a list, the list stays, and the error has no secret.
func TestOutages(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) { // takes the connection away
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refused": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "Permission denied: token pop3-token lacks it", http.StatusForbidden)
		}, "it answers 403, Permission denied"},
		"broken": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "No cluster leader pop3-token", http.StatusInternalServerError)
		}, "it answers 500, No cluster leader"},
		"other":    {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "it answers 404"},
		"no index": {func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("[]")) }, "is that a Consul?"},
		"filtered": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			w.Header().Set("X-Consul-LastContact", "0")
			w.Header().Set("X-Consul-KnownLeader", "true")
			w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
			_, _ = w.Write([]byte("[]"))
		}, "may not read all"},
		"not JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			_, _ = w.Write([]byte("\x1b[2J"))
		}, "asking Consul"},
		"null": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "99")
			_, _ = w.Write([]byte("[null]"))
		}, "without a service"},
		"gone": {silent, "asking Consul"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.has(two()...)
			r := start(t, f.server.URL, options())
			r.has(oneAndTwo)
			f.set(func() { f.special = test.answer })
			s := r.fails(oneAndTwo, test.want)
			if text := s.Err.Error() + r.log.String(); strings.Contains(text, "token pop3-token") || strings.Contains(text, "leader pop3-token") || strings.Contains(text, "\x1b") {
				t.Errorf("told: %s", text)
			}
			f.set(func() { f.special = nil })
			r.has(oneAndTwo)
		})
	}
}

// TestNewestOnly: who takes a state late gets the newest, and Consul is asked on meanwhile.
func TestNewestOnly(t *testing.T) {
	f := newFake(t)
	r := start(t, f.server.URL, options())
	for i, name := range []string{"a", "b", "c"} {
		f.has(at(name, "192.0.2.1"))
		f.waitsBehind(t, "pop3", 11+i)
	}
	if s := <-r.states; line(s) != "c@192.0.2.1:1110" {
		t.Errorf("the first state is handed on: %s", line(s))
	}
	f.has(at("d", "192.0.2.1"))
	r.has("d@192.0.2.1:1110")
}

// TestHungConsul: a Consul that takes connections and says nothing does not keep the saved list from serving.
func TestHungConsul(t *testing.T) {
	f := newFake(t)
	f.special = func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	b := newBook(options())
	saved, err := b.services1(two()...).Encode()
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Saved = saved
	r := start(t, f.server.URL, o)
	if s := r.fails(oneAndTwo, "the saved list serves"); !s.Saved || !r.catalogue.Heard().IsZero() {
		t.Errorf("%+v", s)
	}
	f.set(func() { f.special, f.entries = nil, two() })
}

// TestConfirm: what is held goes at an operator's word.
func TestConfirm(t *testing.T) {
	f := newFake(t)
	f.has(two()...)
	r := start(t, f.server.URL, options())
	r.has(oneAndTwo)
	f.has()
	r.fails("g1@192.0.2.1:1110~ g2@192.0.2.2:1110~", "held until")
	r.catalogue.Confirm()
	r.catalogue.Confirm()
	r.fails("", "no instance")
}

func TestBadOptions(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.Client = nil },
		func(o *Options) { o.Logger = nil },
		func(o *Options) { o.Service = "" },
		func(o *Options) { o.DeclaredKey = "/postern/declared" },
	} {
		o := options()
		o.Client = &api.Client{}
		if _, err := New(o); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
