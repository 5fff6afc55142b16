package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Backend is a server that owns mailboxes, as this gateway sees it.
type Backend struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Aliases   []string `json:"aliases,omitempty"`

	State  string    `json:"state"`            // usable, half-open, open, drained or removed
	Reason string    `json:"reason,omitempty"` // why it is in this state
	Since  time.Time `json:"since,omitzero"`
	Drain  *Drain    `json:"drain,omitempty"` // an operator's word, whatever the state

	Breaker     string    `json:"breaker"`          // closed, half-open or open
	Failures    int       `json:"failures"`         // connects and greetings in a row
	Suspects    int       `json:"suspects"`         // mailboxes that failed behind their login lately
	Rumour      string    `json:"rumour,omitempty"` // what checks or the catalogue say against it
	LastCheck   time.Time `json:"last_check,omitzero"`
	CheckError  string    `json:"check_error,omitempty"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // of that failure

	Logins      int               `json:"logins"` // in progress
	Limit       int               `json:"limit"`  // how many there may be now; 0: no limit
	MaxLogins   int               `json:"max_logins"`
	Queued      int               `json:"queued"`
	Sessions    int               `json:"sessions"`
	MaxSessions int               `json:"max_sessions"`
	Refused     map[string]uint64 `json:"refused"` // logins that were not let through, by reason

	Connect  Latency `json:"connect"`
	Greeting Latency `json:"greeting"`
	Login    Latency `json:"login"`
}

// Latency sums up how long something took of late.
type Latency struct {
	Count  int     `json:"count"`
	Median float64 `json:"median_seconds"`
	Max    float64 `json:"max_seconds"`
}

// Drain is an operator's word that a backend gets no new sessions.
type Drain struct {
	By    string    `json:"by"`
	Since time.Time `json:"since"`
	// Until is when the sessions that are left are ended; zero: they end by themselves.
	Until time.Time `json:"until,omitzero"`
}

// Catalogue is how the list of backends stands that comes from elsewhere.
type Catalogue struct {
	Backends int               `json:"backends"`
	ListedAt time.Time         `json:"listed_at,omitzero"` // when they were last named
	Saved    bool              `json:"saved"`              // the list was read from disk
	Held     []string          `json:"held,omitempty"`     // left with too many others, and stay until they are confirmed
	Faults   map[string]string `json:"faults,omitempty"`   // why a backend is not as it is listed, by name
	Error    string            `json:"error,omitempty"`    // why the list may be old
}

func (c *Catalogue) degraded(now time.Time) []string {
	var lines []string
	switch {
	case c == nil:
		return nil
	case c.ListedAt.IsZero():
		lines = append(lines, "the catalogue of backends was never read")
	case c.Error != "" || c.Saved:
		lines = append(lines, fmt.Sprintf("the catalogue of backends can't be read, the list of %s ago serves", now.Sub(c.ListedAt).Truncate(time.Second)))
	}
	if len(c.Held) > 0 {
		lines = append(lines, fmt.Sprintf("%d backends left the catalogue at once and are held, see postern directory confirm backends", len(c.Held)))
	}
	return lines
}

// BackendList is the answer to GET /api/v1/backends.
type BackendList struct {
	Gateway  string    `json:"gateway"`
	Backends []Backend `json:"backends"`
}

// Drained is the answer to POST /api/v1/backends/{name}/drain and /resume.
type Drained struct {
	Gateway string `json:"gateway"`
	Backend string `json:"backend"`
	Drained bool   `json:"drained"`
}

// ErrNoBackend is what Options.Drain and Options.Resume refuse with.
var ErrNoBackend = errors.New("there is no such backend")

// backends leaves out what a role may not see: the text of a failure may quote a name.
func (s *Server) backends(w *response, r *http.Request) {
	list := BackendList{Gateway: s.options.Facts().Gateway, Backends: []Backend{}}
	for _, b := range s.options.Backends() {
		if callerOf(r).role < Helpdesk {
			b.LastError, b.CheckError, b.Reason, b.Rumour = "", "", "", ""
		}
		list.Backends = append(list.Backends, b)
	}
	reply(w, http.StatusOK, list)
}

func (s *Server) drain(w *response, r *http.Request) {
	deadline, err := deadlineOf(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s.answerDrain(w, r, true, s.options.Drain(r.PathValue("name"), callerOf(r).name, deadline))
}

func (s *Server) resume(w *response, r *http.Request) {
	s.answerDrain(w, r, false, s.options.Resume(r.PathValue("name"), callerOf(r).name))
}

func (s *Server) answerDrain(w *response, r *http.Request, drained bool, err error) {
	switch {
	case errors.Is(err, ErrNoBackend):
		refuse(w, http.StatusNotFound, err.Error())
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		reply(w, http.StatusOK, Drained{Gateway: s.options.Facts().Gateway, Backend: r.PathValue("name"), Drained: drained})
	}
}

// deadlineOf reads how long sessions may go on; negative: for as long as they like.
func deadlineOf(query string) (time.Duration, error) {
	values, err := url.ParseQuery(query)
	if err != nil || len(values) > 0 && (len(values) > 1 || len(values["deadline"]) != 1) {
		return 0, errors.New("want deadline=DURATION, or nothing")
	}
	text := values.Get("deadline")
	if text == "" {
		return -1, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errors.New("deadline: want a duration such as 10m, or 0s")
	}
	return d, nil
}

// degradedBackends tells of backends that don't take everybody in. That is for their users, and no reason
// against this gateway: all gateways see the same.
func degradedBackends(all []Backend, distrust bool) []string {
	var lines []string
	if distrust {
		lines = append(lines, "most backends look down: the gateway distrusts its own checks")
	}
	more := 0
	for _, b := range all {
		switch {
		case b.State != "open" && b.State != "half-open": // what is drained or removed was meant to be
		case len(lines) < mostDegraded:
			lines = append(lines, fmt.Sprintf("backend %s is %s", b.Name, b.State))
		default:
			more++
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more backends", more))
	}
	return lines
}

// mostDegraded is how many backends are named: one network can take hundreds along.
const mostDegraded = 10

// The metrics of backends.
var (
	backendStateDesc    = gaugeOf("postern_backend_state", "1 for the state that a backend is in.", "backend", "state")
	backendSinceDesc    = gaugeOf("postern_backend_state_since_seconds", "Since when a backend is in its state, in seconds since 1970.", "backend")
	backendBreakerDesc  = gaugeOf("postern_backend_breaker", "The breaker: 0 closed, 0.5 half-open, 1 open.", "backend")
	backendLoginsDesc   = gaugeOf("postern_backend_logins", "Logins in progress.", "backend")
	backendQueuedDesc   = gaugeOf("postern_backend_queued", "Logins that wait for their turn.", "backend")
	backendSessionsDesc = gaugeOf("postern_backend_sessions", "Sessions that are logged in.", "backend")
	backendLatencyDesc  = gaugeOf("postern_backend_latency_seconds", "How long parts of a login took of late: median and max.", "backend", "phase", "stat")
	backendRefusedDesc  = gaugeOf("postern_backend_refused_total", "Logins that were not let through to a backend, by reason.", "backend", "reason")
	distrustDesc        = gaugeOf("postern_backends_distrusted", "1 while most backends look down, and the gateway distrusts its own checks.")
)

var backendDescs = []*prometheus.Desc{
	backendStateDesc, backendSinceDesc, backendBreakerDesc, backendLoginsDesc, backendQueuedDesc, backendSessionsDesc, backendLatencyDesc, backendRefusedDesc, distrustDesc,
}

// backendStates are the words of State, so that each has its series from the start.
var backendStates = []string{"usable", "half-open", "open", "drained", "removed"}

func (b Backend) collect(out chan<- prometheus.Metric) {
	name := labelValue(b.Name)
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{name}, labels...)...)
	}
	for _, state := range backendStates {
		gauge(backendStateDesc, truth(b.State == state), state)
	}
	if !b.Since.IsZero() {
		gauge(backendSinceDesc, float64(b.Since.Unix()))
	}
	gauge(backendBreakerDesc, map[string]float64{"half-open": 0.5, "open": 1}[b.Breaker])
	gauge(backendLoginsDesc, float64(b.Logins))
	gauge(backendQueuedDesc, float64(b.Queued))
	gauge(backendSessionsDesc, float64(b.Sessions))
	for _, phase := range []struct {
		name string
		Latency
	}{{"connect", b.Connect}, {"greeting", b.Greeting}, {"login", b.Login}} {
		if phase.Count > 0 {
			gauge(backendLatencyDesc, phase.Median, phase.name, "median")
			gauge(backendLatencyDesc, phase.Max, phase.name, "max")
		}
	}
	for reason, n := range b.Refused {
		out <- prometheus.MustNewConstMetric(backendRefusedDesc, prometheus.CounterValue, float64(n), name, reason)
	}
}
