package admin

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// maxSeries bounds the label values of one metric. They come from this program's
// own tables and from the configuration; the bound is for the day when one does not,
// because a metric with a stranger's words as labels eats all memory.
const maxSeries = 200

// other stands for all label values above the bound.
const other = "other"

// values are those of a metric's labels, in their order; a metric with one label has none at the end.
type values [2]string

// series hands out the counters of a metric by their label values, without a lock or an
// allocation for those it has seen.
type series[M any] struct {
	with   func(labels ...string) M
	labels int
	known  atomic.Pointer[map[values]M]
	mu     sync.Mutex
}

// newSeries begins with the values that are known, so that a rate is 0 before the first event,
// and not unknown.
func newSeries[M any](with func(labels ...string) M, labels int, known ...values) *series[M] {
	s := &series[M]{with: with, labels: labels}
	s.known.Store(&map[values]M{})
	for _, v := range known {
		s.get(v)
	}
	return s
}

func (s *series[M]) get(v values) M {
	if found, ok := (*s.known.Load())[v]; ok {
		return found
	}
	return s.learn(v)
}

func (s *series[M]) learn(v values) M {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.known.Load()
	if len(known) >= maxSeries {
		v = values{other, other}
	}
	if found, ok := known[v]; ok {
		return found
	}
	labels := make([]string, s.labels)
	for i := range labels {
		labels[i] = labelValue(v[i])
	}
	next := maps.Clone(known)
	next[v] = s.with(labels...)
	s.known.Store(&next)
	return next[v]
}

// labelValue makes a text what Prometheus takes: a path need not be UTF-8.
func labelValue(text string) string { return strings.ToValidUTF8(text, "?") }
