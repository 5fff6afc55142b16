package backend_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3"
)

// What an operator set counts at once, is not asked for, and can be taken back.
func TestLearnerOverride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		a, b := e.found(t, "1", full), e.found(t, "2", unknown)
		l, log := learn(t, e)
		b.target.Capabilities = &pop3.Capabilities{Top: true, UIDL: true, Pipelining: true}
		l.Sync(targets(a, b))
		if got, ok := l.Of("guest-2"); !ok || listed(got) != "TOP UIDL PIPELINING" || common(l) != "TOP UIDL PIPELINING" {
			t.Errorf("at once: %s, %v, common %s", listed(got), ok, common(l))
		}
		pass(time.Hour)
		if got := common(l); got != "TOP UIDL PIPELINING" || len(b.times()) > 0 {
			t.Errorf("common %s, asked %d times", got, len(b.times()))
		}
		b.target.Capabilities = &pop3.Capabilities{Top: true}
		l.Sync(targets(a, b))
		if got := common(l); got != "TOP" {
			t.Errorf("set anew: %s", got)
		}
		b.target.Capabilities = nil
		l.Sync(targets(a, b))
		if _, ok := l.Of("guest-2"); ok {
			t.Error("what was set stays known")
		}
		pass(2 * time.Second)
		if got := common(l); got != "TOP UIDL" || len(b.times()) != 1 {
			t.Errorf("taken back: %s, asked %d times", got, len(b.times()))
		}
		if said := log.take(); strings.Contains(said, "changed") {
			t.Errorf("an operator's change is no change of the backend's:\n%s", said)
		}
	})
}

func TestLearnerSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		a, b, c := e.found(t, "1", full), e.found(t, "2", unknown), e.found(t, "3", unpiped)
		l, _ := learn(t, e)
		l.Sync(targets(a, b))
		pass(2 * time.Second)
		steps := []struct {
			name    string
			targets []backend.Target
			want    string // at once
			then    string // when the new ones were asked
			asked   [3]int // in all
		}{
			{"the same again", targets(a, b), "TOP UIDL", "TOP UIDL", [3]int{1, 1, 0}},
			{"one removed", targets(a), allFour, allFour, [3]int{1, 1, 0}},
			{"one added", targets(a, c), allFour, "TOP UIDL RESP-CODES", [3]int{1, 1, 1}},
			{"one moved to another address", []backend.Target{a.target, {Name: "guest-3", Addresses: b.target.Addresses}}, allFour, "TOP UIDL", [3]int{1, 2, 1}},
			{"one renamed", []backend.Target{{Name: "other", Addresses: a.target.Addresses}}, noneKnown, allFour, [3]int{2, 2, 1}},
			{"another form of login", []backend.Target{{Name: "other", Addresses: a.target.Addresses, Login: backend.LoginLocal, Aliases: []string{"x"}}}, allFour, allFour, [3]int{2, 2, 1}},
			{"none", nil, noneKnown, noneKnown, [3]int{2, 2, 1}},
		}
		for _, s := range steps {
			l.Sync(s.targets)
			if got := common(l); got != s.want {
				t.Errorf("%s: %s, want %s", s.name, got, s.want)
			}
			pass(2 * time.Second)
			if got := common(l); got != s.then {
				t.Errorf("%s, later: %s, want %s", s.name, got, s.then)
			}
			if got := [3]int{len(a.times()), len(b.times()), len(c.times())}; got != s.asked {
				t.Errorf("%s: asked %v times, want %v", s.name, got, s.asked)
			}
		}
	})
}

// What a backend says that was dropped while it was asked is nobody's.
func TestLearnerSyncWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		a, slow := e.found(t, "1", full), e.found(t, "2", silence)
		l, log := learn(t, e)
		l.Sync(targets(a, slow))
		pass(3 * time.Second) // slow was greeted and owes its list
		l.Sync(targets(a))
		pass(time.Hour)
		if _, ok := l.Of("guest-2"); ok || common(l) != allFour || len(slow.times()) != 1 {
			t.Errorf("known %v, common %s, asked %d times", ok, common(l), len(slow.times()))
		}
		if said := log.take(); strings.Contains(said, "guest-2") {
			t.Errorf("log:\n%s", said)
		}
	})
}

// Few are asked at once, those that hang are given up, and nobody waits for ever
// behind them.
func TestLearnerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		var guests []*guest
		for i := range 60 {
			capa := silence
			if i%3 == 0 {
				capa = full
			}
			guests = append(guests, e.found(t, strconv.Itoa(i+1), capa))
		}
		l, _ := learn(t, e)
		l.Sync(targets(guests...))
		pass(2 * time.Minute)
		for i, g := range guests {
			if _, ok := l.Of(g.target.Name); ok != (i%3 == 0) {
				t.Errorf("%s: known %v, asked %d times", g.target.Name, ok, len(g.times()))
			}
		}
		if e.most != 8 {
			t.Errorf("%d at once", e.most)
		}
		for _, g := range guests {
			want := strings.Repeat("CAPA QUIT ", len(g.times()))
			if heard := strings.Join(g.lines(), " ") + " "; len(heard) < 10 || !strings.HasPrefix(want, heard) { // some are being asked
				t.Errorf("%s heard %q", g.target.Name, heard)
			}
		}
	})
}

// A list that trickles is given up like one that doesn't come.
func TestLearnerTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		slow := e.found(t, "1", trickle)
		l, log := learn(t, e)
		l.Sync(targets(slow))
		pass(12 * time.Second)
		if said := log.take(); !strings.Contains(said, "capa: timed out") {
			t.Errorf("log:\n%s", said)
		}
	})
}

// Run ends when it is told, and says QUIT to who is being asked.
func TestLearnerRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		slow := e.found(t, "1", silence)
		log := new(logbook)
		l := backend.NewLearner(e, slog.New(slog.NewTextHandler(log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		l.Sync(targets(slow))
		pass(3 * time.Second)
		start := time.Now()
		cancel()
		running.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		if said := log.take(); strings.Join(slow.lines(), " ") != "CAPA QUIT" || said != "" {
			t.Errorf("heard %q, log:\n%s", slow.lines(), said)
		}
		pass(time.Hour)
		if len(slow.times()) != 1 {
			t.Error("asks on behind its end")
		}
	})
}

// Each change is said once, with what an operator needs.
func TestLearnerLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		g := e.found(t, "1", full)
		l, log := learn(t, e)
		l.Sync(targets(g))
		for _, c := range []struct {
			capa string
			down bool
			want string // "" for nothing
		}{
			{full, false, `level=DEBUG msg="learnt what the backend offers" backend=guest-1 offers="TOP, UIDL, RESP-CODES, PIPELINING, SASL PLAIN"`},
			{full, false, ""},
			{full, true, `level=INFO msg="can't learn what the backend offers" backend=guest-1 err="connect: unreachable" known=true`},
			{full, true, ""},
			{full, false, `level=INFO msg="the backend tells what it offers again" backend=guest-1 offers="TOP, UIDL, RESP-CODES, PIPELINING, SASL PLAIN"`},
			{unpiped, false, `level=INFO msg="the backend changed what it offers" backend=guest-1 offers="TOP, UIDL, RESP-CODES" before="TOP, UIDL, RESP-CODES, PIPELINING, SASL PLAIN"`},
			{unpiped, false, ""},
			{silence, false, `level=INFO msg="can't learn what the backend offers" backend=guest-1 err="capa: timed out" known=true`},
			{full, false, `level=INFO msg="the backend changed what it offers" backend=guest-1 offers="TOP, UIDL, RESP-CODES, PIPELINING, SASL PLAIN" before="TOP, UIDL, RESP-CODES"`},
		} {
			g.set(c.capa, c.down)
			pass(25 * time.Minute)
			_, got, _ := strings.Cut(strings.TrimSuffix(log.take(), "\n"), " ")
			if got != c.want {
				t.Errorf("%.20q: got  %s\nwant %s", c.capa, got, c.want)
			}
		}
	})
}

// Sessions ask while backends answer and an operator reloads; the race detector watches.
func TestLearnerConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		a, b := e.found(t, "1", full), e.found(t, "2", unpiped)
		l, _ := learn(t, e)
		var sessions sync.WaitGroup
		for range 4 {
			sessions.Go(func() {
				for range 200 {
					if got := common(l); got != noneKnown && got != allFour && got != "TOP UIDL RESP-CODES" {
						t.Errorf("nobody offers %s", got)
					}
					l.Of("guest-1")
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		for i := range 20 {
			l.Sync(targets(a, b)[:i%3])
			time.Sleep(100 * time.Millisecond)
		}
		sessions.Wait()
	})
}

// What a session asks for costs no allocation.
func BenchmarkLearner(b *testing.B) {
	l := backend.NewLearner(backend.Dialer{}, slog.New(slog.DiscardHandler))
	l.Sync([]backend.Target{{Name: "guest-01", Capabilities: &pop3.Capabilities{Top: true}}})
	b.Run("ask=common", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Common()
		}
	})
	b.Run("ask=of", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Of("guest-01")
		}
	})
}
