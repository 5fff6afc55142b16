package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns the facts into metrics whenever somebody asks for them: they are known
// elsewhere, and a copy would be wrong one day.
type collector struct{ server *Server }

func gaugeOf(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The metrics of the facts.
var (
	readyDesc       = gaugeOf("postern_ready", "1 if new clients should be sent here, as /readyz says.")
	drainingDesc    = gaugeOf("postern_draining", "1 while the gateway drains.")
	degradedDesc    = gaugeOf("postern_degraded", "How many things /readyz lists as degraded.")
	entriesDesc     = gaugeOf("postern_directory_entries", "Entries of a source that serve.", "source")
	ageDesc         = gaugeOf("postern_directory_age_seconds", "How long ago the state of a source that serves was loaded.", "source")
	loadedDesc      = gaugeOf("postern_directory_loaded", "1 if a source was ever loaded.", "source")
	failingDesc     = gaugeOf("postern_directory_failing", "1 while the newest state of a source does not serve.", "source")
	heldDesc        = gaugeOf("postern_directory_held", "1 while the shrink guard holds a source.", "source")
	savedDesc       = gaugeOf("postern_directory_saved", "1 while what serves of a source was read from disk.", "source")
	inFlightDesc    = gaugeOf("postern_directory_questions_in_flight", "Questions that a source is being asked.", "source")
	replicaDesc     = gaugeOf("postern_directory_replica_stale_seconds", "How far the server that a source was read from may be behind its leader.", "source")
	leaderDesc      = gaugeOf("postern_directory_replica_leader", "1 if that server knows its leader.", "source")
	answersDesc     = gaugeOf("postern_directory_answers_total", "Answers of a source that is asked: hit and stale from memory, miss from the source.", "source", "result")
	questionsDesc   = gaugeOf("postern_directory_questions_total", "Questions put to a source, and how many it could not answer.", "source", "result")
	comparedDesc    = gaugeOf("postern_directory_shadow_total", "Answers of a shadow source by how they compare.", "source", "result")
	forwardedDesc   = gaugeOf("postern_directory_unknown_total", "Mailboxes that no source knows, sent on by directory.unknown.")
	expiryDesc      = gaugeOf("postern_tls_certificate_expiry_seconds", "When a certificate expires, in seconds since 1970.", "name")
	certFailingDesc = gaugeOf("postern_tls_certificate_failing", "1 while the newest file of a certificate can't be used.", "name")
	openDesc        = gaugeOf("postern_descriptors_open", "Descriptors that are open.")
	limitDesc       = gaugeOf("postern_descriptors_limit", "Descriptors that may be open.")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		readyDesc, drainingDesc, degradedDesc, entriesDesc, ageDesc, loadedDesc, failingDesc, heldDesc,
		savedDesc, inFlightDesc, replicaDesc, leaderDesc, answersDesc, questionsDesc, comparedDesc, forwardedDesc, expiryDesc, certFailingDesc, openDesc, limitDesc,
	} {
		out <- d
	}
	for _, d := range backendDescs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	now, facts := time.Now(), c.server.options.Facts()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	open, limit := c.server.options.Descriptors()
	backends := c.server.options.Backends()
	ready := facts.readiness(now, backends, open, limit)
	gauge(readyDesc, truth(ready.Ready))
	gauge(drainingDesc, truth(facts.Draining))
	gauge(degradedDesc, float64(len(ready.Degraded)))
	if limit > 0 {
		gauge(openDesc, float64(open))
		gauge(limitDesc, float64(limit))
	}
	for _, s := range facts.Directory {
		s.collect(now, gauge)
		s.count(out)
	}
	out <- prometheus.MustNewConstMetric(forwardedDesc, prometheus.CounterValue, float64(facts.Forwarded))
	gauge(distrustDesc, truth(facts.Distrust))
	for _, b := range backends {
		b.collect(out)
	}
	for name, cert := range byName(facts.Certificates) {
		gauge(expiryDesc, float64(cert.NotAfter.Unix()), name)
		gauge(certFailingDesc, truth(cert.Failing), name)
	}
}

func (s Source) collect(now time.Time, gauge func(d *prometheus.Desc, value float64, labels ...string)) {
	name := labelValue(s.Name)
	gauge(entriesDesc, float64(s.Entries), name)
	gauge(ageDesc, s.age(now).Seconds(), name)
	gauge(loadedDesc, truth(!s.LoadedAt.IsZero()), name)
	gauge(failingDesc, truth(s.Failing), name)
	gauge(heldDesc, truth(s.Held), name)
	gauge(savedDesc, truth(s.Saved), name)
	if s.Kept != nil {
		gauge(inFlightDesc, float64(s.Kept.InFlight), name)
	}
	if s.Replica != nil {
		gauge(replicaDesc, s.Replica.StaleSeconds, name)
		gauge(leaderDesc, truth(s.Replica.KnownLeader), name)
	}
}

func (s Source) count(out chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, value uint64, result string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labelValue(s.Name), result)
	}
	if k := s.Kept; k != nil {
		count(answersDesc, k.Hits, "hit")
		count(answersDesc, k.Misses, "miss")
		count(answersDesc, k.Stale, "stale")
		count(questionsDesc, k.Questions-k.Errors, "answered")
		count(questionsDesc, k.Errors, "failed")
	}
	if c := s.Compared; c != nil {
		count(comparedDesc, c.Same, "same")
		count(comparedDesc, c.Different, "different")
		count(comparedDesc, c.UnknownThere, "unknown there")
		count(comparedDesc, c.UnknownHere, "unknown here")
		count(comparedDesc, c.Failed, "failed")
		count(comparedDesc, c.Dropped, "dropped")
	}
}

// byName makes one of certificates of one name, such as those of two kinds of key: twice the same
// label would be a fault of all metrics. What is worse of them counts.
func byName(all []Certificate) map[string]Certificate {
	worst := make(map[string]Certificate)
	for _, c := range all {
		name := labelValue(c.Name)
		if other, there := worst[name]; there {
			c.Failing = c.Failing || other.Failing
			if other.NotAfter.Before(c.NotAfter) {
				c.NotAfter = other.NotAfter
			}
		}
		worst[name] = c
	}
	return worst
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
