package admin

import (
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ObserverOptions say what can be observed, so that every metric is there from the start.
type ObserverOptions struct {
	Version   string
	Listeners []string // their names
	Results   []string // that a login can have
}

// Observer counts what happens to sessions, for GET /metrics. Its methods may be called
// from everywhere; none of them waits, and none allocates for what happened before.
// Nothing that a client chose becomes a label.
type Observer struct {
	registry    *prometheus.Registry
	open        *series[prometheus.Gauge]
	connections *series[prometheus.Counter]
	logins      *series[prometheus.Counter]
	ended       *series[prometheus.Counter]
	tls         *series[prometheus.Counter]
	tlsFailed   *series[prometheus.Counter]
	requests    *series[prometheus.Counter]
	phases      [4]prometheus.Observer // locate, connect, greeting, login
	toClient    prometheus.Counter
	toBackend   prometheus.Counter
}

// Phases are how long the parts of a login took. Zero: it did not come that far.
type Phases struct{ Locate, Connect, Greeting, Login time.Duration }

// accepted is the result of a connection that became a session.
const accepted = "accepted"

// NewObserver returns an observer with a registry of its own.
func NewObserver(o ObserverOptions) *Observer {
	registry := prometheus.NewRegistry()
	made := meters{registry}
	var names, connections, results []values
	for _, name := range o.Listeners {
		names, connections = append(names, values{name}), append(connections, values{name, accepted})
	}
	for _, result := range o.Results {
		results = append(results, values{result})
	}
	made.buildInfo(o.Version)
	relayed := made.counter("postern_relayed_bytes_total", "Octets relayed after the login, by sessions that have ended.", "direction")
	observer := &Observer{
		registry: registry,
		open: newSeries(made.gauge("postern_sessions", "Sessions that are open.",
			"listener").WithLabelValues, 1, names...),
		connections: newSeries(made.counter("postern_connections_total", "Connections of clients, by what became of them.",
			"listener", "result").WithLabelValues, 2, connections...),
		logins: newSeries(made.counter("postern_logins_total", "Logins that were decided.",
			"result").WithLabelValues, 1, results...),
		ended: newSeries(made.counter("postern_sessions_ended_total", "Sessions that ended, by whom and why.",
			"by", "reason").WithLabelValues, 2),
		tls: newSeries(made.counter("postern_tls_sessions_total", "TLS handshakes that were completed.",
			"listener", "version").WithLabelValues, 2),
		tlsFailed: newSeries(made.counter("postern_tls_handshakes_failed_total", "TLS handshakes that failed.",
			"listener").WithLabelValues, 1, names...),
		requests: newSeries(made.counter("postern_admin_requests_total", "Requests for the admin API and the probes, by HTTP status.",
			"code").WithLabelValues, 1),
		toClient: relayed.WithLabelValues("to_client"), toBackend: relayed.WithLabelValues("to_backend"),
	}
	phases := made.phases()
	for i, phase := range []string{"locate", "connect", "greeting", "login"} {
		observer.phases[i] = phases.WithLabelValues(phase)
	}
	return observer
}

// Opened notes a session's begin. One Ended follows, however it ends: the gauge of open
// sessions is the difference.
func (o *Observer) Opened(listener string) {
	o.connections.get(values{listener, accepted}).Inc()
	o.open.get(values{listener}).Inc()
}

// Refused notes a connection that became no session.
func (o *Observer) Refused(listener, reason string) {
	o.connections.get(values{listener, reason}).Inc()
}

// Judged notes the verdict of a login.
func (o *Observer) Judged(result string, p Phases) {
	o.logins.get(values{result}).Inc()
	for i, took := range [...]time.Duration{p.Locate, p.Connect, p.Greeting, p.Login} {
		if took > 0 {
			o.phases[i].Observe(took.Seconds())
		}
	}
}

// Ended notes the end of a session that was opened, and what it relayed.
func (o *Observer) Ended(listener, by, reason string, toClient, toBackend int64) {
	o.open.get(values{listener}).Dec()
	o.ended.get(values{by, reason}).Inc()
	o.toClient.Add(float64(max(0, toClient)))
	o.toBackend.Add(float64(max(0, toBackend)))
}

// TLS notes a handshake that was completed. The version is "1.2" or "1.3".
func (o *Observer) TLS(listener, version string) { o.tls.get(values{listener, version}).Inc() }

// TLSFailed notes a handshake that came to nothing.
func (o *Observer) TLSFailed(listener string) { o.tlsFailed.get(values{listener}).Inc() }

// asked notes a request for this package's own pages.
func (o *Observer) asked(status int) {
	o.requests.get(values{strconv.Itoa(status)}).Inc()
}

// pages serves the metrics. One that can't be gathered does not hide the others.
func (o *Observer) pages(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(o.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	})
}

// meters makes metrics in a registry.
type meters struct{ registry *prometheus.Registry }

func (m meters) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m meters) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

// phases reach from a lookup's microseconds to the longest time that a backend gets.
func (m meters) phases() *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "postern_login_phase_seconds",
		Help:    "How long the phases of a login took.",
		Buckets: []float64{.00001, .0001, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"phase"})
	m.registry.MustRegister(v)
	return v
}

// buildInfo also adds what Go and the system tell of the process.
func (m meters) buildInfo(version string) {
	m.gauge("postern_build_info", "Always 1; the labels say what is running.", "version", "goversion").
		WithLabelValues(labelValue(version), runtime.Version()).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
