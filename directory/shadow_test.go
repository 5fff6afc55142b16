package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestShadowsAreCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resolver, followed := newResolving("alice guest-01", "bob guest-02", "dave nowhere", "erin guest-01"), newTold()
		main := newTold()
		o := Options{
			Sources: []NamedSource{{Name: "main", Source: main}},
			Shadow:  []NamedSource{{Name: "sql", Resolver: resolver, Cache: cached()}, {Name: "file", Source: followed}},
		}
		running(t, o, func(t *testing.T, d *Directory, log *bytes.Buffer) {
			main.tell(Group{"g", build(t, "alice guest-01", "bob guest-01", "carol guest-01", "dave guest-01")})
			if err := d.Load(t.Context()); err != nil {
				t.Errorf("a shadow holds up the start: %v", err)
			}
			for user, want := range map[string]string{
				"alice": "guest-01", "bob": "guest-01", "carol": "guest-01", "dave": "guest-01", "erin": "unknown", "frank": "unknown",
			} {
				if got := owner(t, d, Query{User: user}); got != want {
					t.Errorf("%s: %s", user, got)
				}
				synctest.Wait()
				time.Sleep(shadowPause)
			}
			want := ShadowCounters{Source: "sql", Same: 2, Different: 1, UnknownThere: 1, UnknownHere: 1, Failed: 1}
			if got := d.Counters().Shadows[0]; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			if got := d.Counters().Shadows[1]; got.Failed != 6 {
				t.Errorf("one that was never loaded: %+v", got)
			}
			if n := strings.Count(log.String(), "shadow differs"); n != 3 {
				t.Errorf("%d differences logged:\n%s", n, log)
			}
			followed.tell(Group{"g", build(t, "alice guest-01", "bob guest-01 b")})
			for range 50 {
				owner(t, d, Query{User: "alice"})
				owner(t, d, Query{User: "bob"})
				synctest.Wait()
			}
			if got := d.Counters().Shadows[1]; got.Same != 50 || got.Different != 50 {
				t.Errorf("%+v", got)
			}
			if n := strings.Count(log.String(), "shadow differs"); n > 5 {
				t.Errorf("%d differences logged at once", n)
			}
			for i, s := range d.Status() {
				if s.Shadow != (i > 0) {
					t.Errorf("status %+v", s)
				}
			}
		})
	})
}

// hanging never answers.
type hanging struct{ resolving }

func (*hanging) Resolve(ctx context.Context, _ Mailbox) (Value, error) {
	<-ctx.Done()
	return Value{}, ctx.Err()
}

func TestASlowShadowIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := newResolving()
		for i := range 2000 {
			main.says[fmt.Sprint(i)] = Value{Backend: "guest-01"}
		}
		o := Options{
			Sources: []NamedSource{{Name: "main", Resolver: main}},
			Shadow:  []NamedSource{{Name: "slow", Resolver: &hanging{}}},
		}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			began := time.Now()
			for i := range 2000 {
				if got := owner(t, d, Query{User: fmt.Sprint(i)}); got != "guest-01" {
					t.Fatal(got)
				}
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("waited %v for a shadow", took)
			}
			synctest.Wait()
			if c := d.Counters().Shadows[0]; c.Dropped < 2000-shadowQueue-shadowWorkers || c.Dropped == 2000 {
				t.Errorf("%+v", c)
			}
		})
	})
}

func TestConfirm(t *testing.T) {
	follow(t, contract, 2, func(t *testing.T, f *following) {
		if err := f.Confirm("s0"); !errors.Is(err, ErrNotHeld) {
			t.Errorf("nothing is held: %v", err)
		}
		if err := f.Confirm("s9"); !errors.Is(err, ErrNoSource) {
			t.Errorf("no such source: %v", err)
		}
		f.say(0, Update{Groups: []Group{{"g", f.table(1000)}}})
		f.say(0, Update{Groups: []Group{{"g", f.table(100)}}})
		if err := f.Confirm("s1"); !errors.Is(err, ErrNotHeld) {
			t.Errorf("another source: %v", err)
		}
		if err := f.Confirm("s0"); err != nil {
			t.Errorf("confirming: %v", err)
		}
		if s := f.Status()[0]; s.Held || s.Err != nil || s.Entries != 100 {
			t.Errorf("status %+v", s)
		}
		f.logged("loss is confirmed", 1)
		if err := f.Confirm("s0"); !errors.Is(err, ErrNotHeld) {
			t.Errorf("twice: %v", err)
		}
		f.say(0, Update{Groups: []Group{{"g", f.table(3)}}}) // the next loss is judged again
		if s := f.Status()[0]; !s.Held || s.Entries != 100 {
			t.Errorf("the next loss: %+v", s)
		}
		f.knows("abcdef")
		f.sources[0].end <- errors.New("lost") // nobody knows what it would say now
		synctest.Wait()
		if err := f.Confirm("s0"); !errors.Is(err, ErrNotHeld) {
			t.Errorf("while the source is away: %v", err)
		}
	})
}

func TestStandingAndChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, main := newResolving("alice guest-01"), newTold()
		o := Options{Sources: []NamedSource{{Name: "sql", Resolver: asked, Cache: cached()}, {Name: "main", Source: main}}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			changed := func(want bool) {
				t.Helper()
				synctest.Wait()
				got := false
				select {
				case <-d.Changed():
					got = true
				default:
				}
				if got != want {
					t.Errorf("changed: %v", got)
				}
			}
			stands := func(mailbox, want string) {
				t.Helper()
				r, ok := d.Standing(mailbox)
				if ok != (want != "") || ok && r.Backend.Name != want {
					t.Errorf("%s stands at %+v, %v; want %q", mailbox, r, ok, want)
				}
			}
			changed(true) // the backends
			main.tell(Group{"g", build(t, "alice guest-02", "bob guest-02")})
			changed(true)
			changed(false)
			stands("bob", "") // the first source was not asked
			owner(t, d, Query{User: "alice"})
			owner(t, d, Query{User: "bob"})
			owner(t, d, Query{User: "carol"})
			changed(false)
			stands("alice", "guest-01")
			stands("bob", "guest-02")
			stands("carol", "")
			time.Sleep(2 * time.Minute)
			stands("alice", "guest-01") // expired
			asked.set("alice", Value{Backend: "guest-03"}, nil)
			owner(t, d, Query{User: "alice"})
			changed(true)
			stands("alice", "guest-03")
			main.tell(Group{"g", build(t, "alice guest-02", "bob guest-03")})
			changed(true)
			stands("bob", "guest-03")
			if got := len(asked.asked); got != 4 {
				t.Errorf("asked %d times", got)
			}
		})
	})
}

func TestAnswersOfEverySource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, main := newResolving("alice guest-01"), newTold()
		o := Options{
			Sources: []NamedSource{{Name: "sql", Resolver: asked, Cache: cached()}, {Name: "main", Source: main}, {Name: "judge", Judge: &judging{}}},
			Unknown: Unknown{Policy: Forward, Backend: "guest-03"},
		}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			main.tell(Group{"g", build(t, "alice guest-02")})
			began := time.Now()
			for range 2 {
				mailbox, answers, err := d.Answers(t.Context(), Query{User: "ALICE"})
				if err != nil || mailbox != "alice" || len(answers) != 4 {
					t.Fatalf("%q, %+v, %v", mailbox, answers, err)
				}
				for i, want := range []string{"guest-01", "guest-02", "", "guest-03"} {
					a := answers[i]
					if a.Known != (want != "") || a.Known && a.Route.Backend.Name != want {
						t.Errorf("%+v, want %s", a, want)
					}
				}
				if answers[0].AskedAt != began || !answers[1].AskedAt.IsZero() || !errors.Is(answers[2].Err, ErrNeedsPassword) || answers[3].Source != PolicySource {
					t.Errorf("%+v", answers)
				}
				time.Sleep(5 * time.Second)
			}
			_, answers, _ := d.Answers(t.Context(), Query{User: "bob"})
			if a := answers[0]; a.Known || a.Err != nil || a.AskedAt != time.Now() {
				t.Errorf("a source that has nothing: %+v", a)
			}
			asked.set("", Value{}, errors.New("down"))
			_, answers, _ = d.Answers(t.Context(), Query{User: "carol"})
			if a := answers[0]; a.Known || a.Err == nil {
				t.Errorf("a source that can't answer: %+v", a)
			}
			if n := d.Counters().Unknown; n != 0 {
				t.Errorf("explaining counts: %d", n)
			}
		})
	})
}

// An operator who asks is no login: nothing is counted, and no shadow compared.
func TestAQuietQueryCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{
			Unknown: Unknown{Policy: Forward, Backend: "guest-02"},
			Sources: []NamedSource{{Name: "main", Resolver: newResolving("alice guest-01"), Cache: cached()}},
			Shadow:  []NamedSource{{Name: "sql", Resolver: newResolving(), Cache: cached()}},
		}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			for _, quiet := range []bool{true, false} {
				for user, want := range map[string]string{"alice": "guest-01", "nobody": "guest-02"} {
					if got := owner(t, d, Query{User: user, Quiet: quiet}); got != want {
						t.Errorf("%s: %s", user, got)
					}
				}
				synctest.Wait()
				c, want := d.Counters(), uint64(1)
				if quiet {
					want = 0
				}
				if c.Unknown != want || c.Shadows[0].UnknownThere != want || c.Shadows[0].Same != want {
					t.Errorf("quiet %v: %+v", quiet, c)
				}
			}
		})
	})
}

// Shadows look when the others do, but a reload fails by none of them, and is not held up.
func TestAReloadIsNoShadows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, broken, hung := newTold(), newTold(), newTold()
		o := Options{
			Sources: []NamedSource{{Name: "main", Source: main}},
			Shadow:  []NamedSource{{Name: "broken", Source: broken}, {Name: "hung", Source: hung}},
		}
		running(t, o, func(t *testing.T, d *Directory, log *bytes.Buffer) {
			main.tell(Group{"g", build(t, "alice guest-01")})
			broken.say <- Update{Err: errors.New("line 3 can't be read")}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if faults := d.LoadShadows(ctx); faults == nil || !strings.Contains(faults.Error(), "line 3") || !errors.Is(faults, context.DeadlineExceeded) {
				t.Errorf("loading: %v", faults)
			}
			go func() { <-main.looks <- Update{} }()
			go func() { <-broken.looks <- Update{Err: errors.New("line 4 can't be read")} }()
			go func() { <-hung.looks }()
			defer func() { hung.end <- errors.New("over") }()
			began := time.Now()
			if err := d.Reload(t.Context()); err != nil || time.Since(began) > shadowLook {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			if s := d.Status()[1]; s.Err == nil || !strings.Contains(log.String(), "line 4 can't be read") {
				t.Errorf("the shadow's fault is told nowhere: %+v\n%s", s, log)
			}
		})
	})
}
