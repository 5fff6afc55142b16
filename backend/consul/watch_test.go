package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"
)

// script answers a query's questions in turn, and then none until the context ends.
type script struct {
	steps []step
	asked []string
	times []time.Time
}

// step is an answer: an index, or an error, after so long.
type step struct {
	index uint64
	err   error
	after time.Duration
	meta  func(*api.QueryMeta)
}

func (s *script) ask(o *api.QueryOptions) (string, *api.QueryMeta, error) {
	question := fmt.Sprintf("%d", o.WaitIndex)
	if o.AllowStale {
		question += " stale"
	}
	s.asked, s.times = append(s.asked, question), append(s.times, time.Now())
	if len(s.steps) == 0 {
		<-o.Context().Done()
		return "", nil, o.Context().Err()
	}
	now := s.steps[0]
	s.steps = s.steps[1:]
	select {
	case <-time.After(now.after):
	case <-o.Context().Done():
		return "", nil, o.Context().Err()
	}
	meta := &api.QueryMeta{LastIndex: now.index}
	if now.meta != nil {
		now.meta(meta)
	}
	return fmt.Sprint("at ", now.index), meta, now.err
}

// run follows the script to its end and returns what was handed on.
func (s *script) run(t *testing.T) (got []string) {
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan answer[string])
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watch(ctx, s.ask, answers)
	}()
	for quiet := false; !quiet; {
		select {
		case a := <-answers:
			if a.err != nil {
				got = append(got, "error")
			} else {
				got = append(got, a.value)
			}
		case <-time.After(80 * time.Second): // longer than a query waits for news
			quiet = true
		}
	}
	cancel()
	<-ended
	return got
}

// TestIndexRules: when is waited for what, and whose answer is believed.
func TestIndexRules(t *testing.T) {
	down := errors.New("refused")
	filtered := func(m *api.QueryMeta) { m.ResultsFilteredByACLs = true }
	for _, test := range []struct {
		name  string
		steps []step
		asked string
		got   string
	}{
		{"news", []step{{index: 5}, {index: 7}}, "0, 5 stale, 7 stale", "at 5, at 7"},
		{"no news, in time", []step{{index: 5}, {index: 5, after: queryWait}}, "0, 5 stale, 5 stale", "at 5, at 5"},
		{"no news, too early", []step{{index: 5}, {index: 5, after: time.Second}}, "0, 5 stale, 0", "at 5, at 5"},
		{"a server lags behind", []step{{index: 5}, {index: 4}, {index: 5}}, "0, 5 stale, 0, 5 stale", "at 5, at 5"},
		{"Consul was restored", []step{{index: 5}, {index: 2}, {index: 2}}, "0, 5 stale, 0, 2 stale", "at 5, at 2"},
		{"no leader, no news lost", []step{{index: 5}, {err: down}, {err: down}, {index: 6}}, "0, 5 stale, 0, 0 stale, 6 stale", "at 5, error, at 6"},
		{"no leader, and the past", []step{{index: 5}, {index: 3}, {err: down}, {index: 3}}, "0, 5 stale, 0, 0 stale, 0", "at 5, error"},
		{"all is down", []step{{err: down}, {err: down}, {err: down}, {err: down}, {index: 1}}, "0, 0 stale, 0, 0 stale, 0, 1 stale", "error, error, at 1"},
		{"no rights", []step{{err: api.StatusError{Code: http.StatusForbidden, Body: "Permission denied"}}, {index: 1}}, "0, 0, 1 stale", "error, at 1"},
		{"not a Consul", []step{{}, {}, {index: 1}}, "0, 0 stale, 0, 1 stale", "error, at 1"},
		{"filtered", []step{{index: 5, meta: filtered}, {index: 5, meta: filtered}, {index: 5}}, "0, 0 stale, 0, 5 stale", "error, at 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := script{steps: test.steps}
				got := s.run(t)
				// What is asked behind the script's end is one question more, or another after its time.
				if asked := strings.Join(s.asked, ", "); !strings.HasPrefix(asked, test.asked) {
					t.Errorf("asked %s, want %s", asked, test.asked)
				}
				if strings.Join(got, ", ") != test.got {
					t.Errorf("got %s, want %s", got, test.got)
				}
			})
		})
	}
}

// TestPace: a busy Consul is asked ten times a second at most, a sick one less and less, and not by all gateways
// in one moment.
func TestPace(t *testing.T) {
	gaps := func(t *testing.T, s *script) (gaps []time.Duration) {
		s.run(t)
		for i := range s.times[1:] {
			if gap := s.times[i+1].Sub(s.times[i]); gap > 0 { // not the second question of one attempt
				gaps = append(gaps, gap)
			}
		}
		return gaps
	}
	synctest.Test(t, func(t *testing.T) {
		busy := &script{}
		for i := range 50 {
			busy.steps = append(busy.steps, step{index: uint64(i) + 1})
		}
		for _, gap := range gaps(t, busy)[:49] {
			if gap < rest || gap > 2*rest {
				t.Errorf("rests for %s", gap)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		sick := &script{}
		for range 40 {
			sick.steps = append(sick.steps, step{err: errors.New("refused")})
		}
		pauses := gaps(t, sick)[:19]
		if pauses[0] > time.Second || slices.Max(pauses) > maxPause*3/2 || pauses[18] < maxPause/2 {
			t.Errorf("pauses %s", pauses)
		}
		if slices.Sort(pauses[8:]); pauses[8] == pauses[18] {
			t.Errorf("no jitter: %s", pauses[8:])
		}
	})
}

// TestEndInAnyState: the context's end ends a question, a rest and a hand-over.
func TestEndInAnyState(t *testing.T) {
	for _, s := range []*script{{}, {steps: []step{{index: 1}}}, {steps: []step{{err: errors.New("refused")}, {err: errors.New("refused")}}}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				watch(ctx, s.ask, make(chan answer[string])) // nobody takes it
			}()
			synctest.Wait()
			cancel()
			<-ended
		})
	}
}
