package backend

import (
	"slices"
	"time"
)

const (
	samplesKept = 32          // of each step
	samplesLive = time.Minute // for so long they count
)

// Latency sums up a step of the logins of the last minute, at most of the last 32.
type Latency struct {
	Count  int
	Median time.Duration
	Max    time.Duration
}

// latencies are those of the three steps that users wait for.
type latencies struct{ connect, greeting, login samples }

func (l *latencies) add(now time.Time, o Outcome) {
	l.connect.add(now, o.Connect)
	l.greeting.add(now, o.Greeting)
	l.login.add(now, o.Login)
}

// samples is a ring. Its memory comes with the first sample: of thousands of
// backends most may never be asked.
type samples struct {
	ring []sample
	next int
}

type sample struct {
	at   time.Time
	took time.Duration
}

func (s *samples) add(now time.Time, took time.Duration) {
	if took <= 0 {
		return
	}
	if len(s.ring) < samplesKept {
		s.ring = append(s.ring, sample{now, took})
		return
	}
	s.ring[s.next] = sample{now, took}
	s.next = (s.next + 1) % samplesKept
}

func (s *samples) sum(now time.Time) Latency {
	var live []time.Duration
	for _, one := range s.ring {
		if now.Sub(one.at) <= samplesLive {
			live = append(live, one.took)
		}
	}
	if len(live) == 0 {
		return Latency{}
	}
	slices.Sort(live)
	return Latency{Count: len(live), Median: live[len(live)/2], Max: live[len(live)-1]}
}
