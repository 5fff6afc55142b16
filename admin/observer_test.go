package admin

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// drill lets an observer see one of everything.
func drill(o *Observer) {
	o.Opened("pop")
	o.Refused("pop", "limit")
	o.TLS("pop", "1.3")
	o.TLSFailed("pop")
	o.Judged("ok", Phases{Locate: time.Microsecond, Connect: time.Millisecond, Greeting: time.Millisecond, Login: time.Second})
	o.Judged("refused", Phases{Locate: time.Microsecond})
	o.Ended("pop", "client", "fin", 1000, 10)
	o.asked(200)
}

func TestMetricsAreWellNamed(t *testing.T) {
	g := open(t, nil)
	drill(g.observer)
	problems, err := testutil.GatherAndLint(g.observer.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := g.observer.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, f := range families {
		name := f.GetName()
		seen[name] = true
		ours := strings.HasPrefix(name, "postern_")
		if !ours && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s: whose is it?", name)
		}
		if ours && !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: help %q", name, f.GetHelp())
		}
	}
	for _, name := range []string{
		"postern_build_info", "postern_sessions", "postern_connections_total", "postern_logins_total",
		"postern_login_phase_seconds", "postern_relayed_bytes_total", "postern_sessions_ended_total",
		"postern_tls_sessions_total", "postern_tls_certificate_expiry_seconds", "postern_directory_entries",
		"postern_directory_age_seconds", "postern_directory_held", "postern_descriptors_open", "postern_descriptors_limit",
		"postern_ready", "postern_draining", "postern_admin_requests_total", "go_goroutines", "process_cpu_seconds_total",
	} {
		if !seen[name] {
			t.Errorf("no %s", name)
		}
	}
}

func TestObserverCounts(t *testing.T) {
	o := NewObserver(ObserverOptions{Version: "1.0", Listeners: []string{"pop", "pops"}, Results: []string{"ok", "refused", "never"}})
	drill(o)
	o.Opened("pops")
	const want = `# HELP postern_connections_total Connections of clients, by what became of them.
# TYPE postern_connections_total counter
postern_connections_total{listener="pop",result="accepted"} 1
postern_connections_total{listener="pop",result="limit"} 1
postern_connections_total{listener="pops",result="accepted"} 1
# HELP postern_logins_total Logins that were decided.
# TYPE postern_logins_total counter
postern_logins_total{result="never"} 0
postern_logins_total{result="ok"} 1
postern_logins_total{result="refused"} 1
# HELP postern_relayed_bytes_total Octets relayed after the login, by sessions that have ended.
# TYPE postern_relayed_bytes_total counter
postern_relayed_bytes_total{direction="to_backend"} 10
postern_relayed_bytes_total{direction="to_client"} 1000
# HELP postern_sessions Sessions that are open.
# TYPE postern_sessions gauge
postern_sessions{listener="pop"} 0
postern_sessions{listener="pops"} 1
# HELP postern_sessions_ended_total Sessions that ended, by whom and why.
# TYPE postern_sessions_ended_total counter
postern_sessions_ended_total{by="client",reason="fin"} 1
# HELP postern_tls_handshakes_failed_total TLS handshakes that failed.
# TYPE postern_tls_handshakes_failed_total counter
postern_tls_handshakes_failed_total{listener="pop"} 1
postern_tls_handshakes_failed_total{listener="pops"} 0
# HELP postern_tls_sessions_total TLS handshakes that were completed.
# TYPE postern_tls_sessions_total counter
postern_tls_sessions_total{listener="pop",version="1.3"} 1
`
	if err := testutil.GatherAndCompare(o.registry, strings.NewReader(want), "postern_connections_total", "postern_logins_total",
		"postern_relayed_bytes_total", "postern_sessions", "postern_sessions_ended_total", "postern_tls_sessions_total", "postern_tls_handshakes_failed_total"); err != nil {
		t.Error(err)
	}
}

// What others know is read when somebody asks. Two of one name would be a fault of all metrics.
func TestFactsAsMetrics(t *testing.T) {
	facts := someFacts()
	facts.Draining = true
	facts.Certificates = append(facts.Certificates, Certificate{Name: "pop.example.com", NotAfter: time.Unix(7, 0)},
		Certificate{Name: "\xff", NotAfter: time.Unix(5, 0), Failing: true})
	g := open(t, func(o *Options, _ *limits) { o.Facts = func() Facts { return facts } })
	body := g.do(t, "GET", "http://"+g.probes+"/metrics").body
	for _, want := range []string{
		"postern_draining 1", "postern_degraded 4", `postern_directory_entries{source="file:a.map"} 7`, `postern_directory_age_seconds{source="file:a.map"} 60.`,
		`postern_directory_failing{source="file:a.map"} 1`, `postern_directory_held{source="file:a.map"} 0`, `postern_directory_loaded{source="file:a.map"} 1`,
		`postern_tls_certificate_expiry_seconds{name="?"} 5`, `postern_tls_certificate_failing{name="?"} 1`,
		`postern_tls_certificate_expiry_seconds{name="pop.example.com"} 7`, `postern_tls_certificate_failing{name="pop.example.com"} 0`, "postern_descriptors_open 100", "postern_descriptors_limit 1000",
		`postern_build_info{goversion="go`, "go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

// Only phases that were gone through are observed.
func TestObserverPhases(t *testing.T) {
	o := NewObserver(ObserverOptions{})
	o.Judged("unknown mailbox", Phases{Locate: 3 * time.Microsecond})
	o.Judged("ok", Phases{Locate: 3 * time.Microsecond, Connect: time.Millisecond, Greeting: 40 * time.Second, Login: 0})
	families, err := o.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, f := range families {
		if f.GetName() == "postern_login_phase_seconds" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	if fmt.Sprint(got) != "map[connect:1 greeting:1 locate:2 login:0]" {
		t.Errorf("%v", got)
	}
}

// A session's events cost no allocation, however many sessions there were.
func TestObserverAllocatesNothing(t *testing.T) {
	o := NewObserver(ObserverOptions{})
	drill(o)
	if n := testing.AllocsPerRun(1000, func() {
		o.Opened("pop")
		o.Refused("pop", "limit")
		o.TLS("pop", "1.3")
		o.Judged("ok", Phases{Locate: time.Microsecond, Connect: time.Millisecond, Greeting: time.Millisecond, Login: time.Second})
		o.Ended("pop", "client", "fin", 1000, 10)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Should a stranger's words ever become labels, they stop at the bound, and what is known goes
// on being counted by its name.
func TestLabelsAreBounded(t *testing.T) {
	o := NewObserver(ObserverOptions{Listeners: []string{"pop"}})
	var flood sync.WaitGroup
	for worker := range 4 {
		flood.Go(func() {
			for i := range 2000 {
				o.Refused("pop", fmt.Sprintf("reason %d\xff", i*4+worker))
				o.Opened("pop")
			}
		})
	}
	flood.Wait()
	if n := testutil.CollectAndCount(o.registry, "postern_connections_total"); n > maxSeries+1 {
		t.Errorf("%d series", n)
	}
	if got := testutil.ToFloat64(o.connections.get(values{"pop", accepted})); got != 8000 {
		t.Errorf("%v sessions counted", got)
	}
	rest := testutil.ToFloat64(o.connections.get(values{other, other}))
	if rest < 8000-maxSeries || rest > 8000 {
		t.Errorf("%v under other", rest)
	}
}

func BenchmarkObserverSession(b *testing.B) {
	o := NewObserver(ObserverOptions{})
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			o.Opened("pop")
			o.Judged("ok", Phases{Locate: time.Microsecond, Connect: time.Millisecond, Greeting: time.Millisecond, Login: time.Second})
			o.Ended("pop", "client", "fin", 1000, 10)
		}
	})
}
