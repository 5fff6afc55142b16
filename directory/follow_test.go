package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told is a source that says what a test tells it.
type told struct {
	say   chan Update
	end   chan error
	looks chan chan Update // a look is answered by what is sent on what comes from here
	runs  chan time.Time
}

func newTold() *told {
	return &told{
		say: make(chan Update), end: make(chan error), looks: make(chan chan Update), runs: make(chan time.Time, 100),
	}
}

func (s *told) Run(ctx context.Context, look <-chan struct{}, up chan<- Update) error {
	s.runs <- time.Now()
	for {
		var u Update
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.end:
			return err
		case u = <-s.say:
		case <-look:
			answer := make(chan Update)
			s.looks <- answer
			select {
			case u = <-answer:
			case err := <-s.end:
				return err
			}
		}
		select {
		case up <- u:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// following runs a directory over sources in a synctest bubble, with what it logs.
type following struct {
	*Directory
	t       *testing.T
	log     *bytes.Buffer
	sources []*told
}

func follow(t *testing.T, guard ShrinkGuard, sources int, test func(t *testing.T, f *following)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &following{t: t, log: new(bytes.Buffer)}
		o := Options{ShrinkGuard: guard, Logger: slog.New(slog.NewTextHandler(f.log, nil))}
		for i := range sources {
			f.sources = append(f.sources, newTold())
			o.Sources = append(o.Sources, NamedSource{Name: fmt.Sprintf("s%d", i), Source: f.sources[i]})
		}
		var err error
		if f.Directory, err = New(o); err != nil {
			t.Fatal(err)
		}
		if err := f.SetBackends(guests, Fallback{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.Run(ctx); close(ended) }()
		test(t, f)
		cancel()
		<-ended
	})
}

// say has a source send an update and waits until it is taken.
func (f *following) say(source int, u Update) {
	f.sources[source].say <- u
	synctest.Wait()
}

func (f *following) groups(namesAndLines ...string) (groups []Group) {
	for i := 0; i < len(namesAndLines); i += 2 {
		var lines []string
		for _, mailbox := range strings.Fields(namesAndLines[i+1]) {
			lines = append(lines, mailbox+" guest-01")
		}
		groups = append(groups, Group{Name: namesAndLines[i], Table: build(f.t, lines...)})
	}
	return groups
}

// knows fails unless of a to f exactly the given mailboxes have routes.
func (f *following) knows(mailboxes string) {
	f.t.Helper()
	got := ""
	for _, mailbox := range "abcdef" {
		if _, err := f.Locate(f.t.Context(), Query{User: string(mailbox)}); err == nil {
			got += string(mailbox)
		}
	}
	if got != mailboxes {
		f.t.Errorf("routes for %q, want %q", got, mailboxes)
	}
}

func (f *following) logged(text string, times int) {
	f.t.Helper()
	if got := strings.Count(f.log.String(), text); got != times {
		f.t.Errorf("%q is logged %d times, want %d:\n%s", text, got, times, f.log)
	}
}

var (
	errBad   = errors.New("m.map:3:1: bad line")
	noGuard  = ShrinkGuard{Ratio: 1}
	contract = ShrinkGuard{Ratio: 0.5, Rows: 20}
)

func TestFollowReplacesWholeGroups(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: f.groups("g", "a b", "h", "c")})
		f.knows("abc")
		f.say(0, Update{Groups: f.groups("g", "b d")})
		f.knows("bcd")
		f.say(0, Update{})
		f.knows("bcd")
		f.say(0, Update{Groups: f.groups("h", "")})
		f.knows("bd")
		f.say(0, Update{Groups: []Group{{Name: "g"}}})
		f.knows("")
		if s := f.Status()[0]; s.Entries != 0 || s.LoadedAt.IsZero() || s.Err != nil {
			t.Errorf("status %+v", s)
		}
	})
}

func TestFollowKeepsTheLastGoodState(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: f.groups("g", "a b")})
		loaded := f.Status()[0].LoadedAt
		time.Sleep(time.Hour)
		for range 3 {
			f.say(0, Update{Err: errBad})
		}
		f.knows("ab")
		f.logged("bad line", 1)
		if s := f.Status()[0]; s.Entries != 2 || !s.LoadedAt.Equal(loaded) || !errors.Is(s.Err, errBad) || s.Held {
			t.Errorf("status %+v", s)
		}
		f.say(0, Update{Groups: f.groups("h", "c"), Err: errBad}) // some of it can be read
		f.knows("abc")
		f.logged("bad line", 1)
		f.logged("well again", 0)
		f.say(0, Update{})
		f.logged("well again", 1)
		if s := f.Status()[0]; s.Err != nil || s.Entries != 3 {
			t.Errorf("status %+v", s)
		}
		f.say(0, Update{Err: errBad})
		f.logged("bad line", 2)
	})
}

func TestFollowServesNoPieceOfAFirstState(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: f.groups("g", "a"), Err: errBad})
		if r, err := f.Locate(t.Context(), Query{User: "a"}); !errors.Is(err, ErrNotReady) {
			t.Errorf("%v, %v, want not ready", r, err)
		}
		f.say(0, Update{Groups: f.groups("g", "a", "h", "b")})
		f.knows("ab")
	})
}

func TestFollowAnEmptySourceIsReady(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		f.say(0, Update{})
		if _, err := f.Locate(t.Context(), Query{User: "a"}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v, want unknown", err)
		}
	})
}

func TestFollowForgetsWhatARestartedSourceDoesNotHave(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: f.groups("g", "a", "h", "b")})
		f.sources[0].end <- errors.New("lost")
		f.knows("ab")
		f.say(0, Update{Err: errBad})
		f.knows("ab")
		f.say(0, Update{Groups: f.groups("g", "a c")})
		f.knows("ac")
	})
}

func TestFollowStartsAgainLaterAndLater(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		source := f.sources[0]
		ended := <-source.runs
		for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			source.end <- errors.New("no network")
			began := <-source.runs
			if waited := began.Sub(ended); waited < pause*time.Second/2 || waited > pause*time.Second*3/2 {
				t.Errorf("start %d after %v, want about %v s", i, waited, pause)
			}
			ended = began
		}
		f.logged("no network", 1)
		time.Sleep(time.Hour) // it was well for long
		source.end <- nil
		ended = time.Now()
		if waited := (<-source.runs).Sub(ended); waited > 2*time.Second {
			t.Errorf("after a good hour it starts after %v", waited)
		}
		f.logged("it ended by itself", 1)
	})
}

func TestLoad(t *testing.T) {
	follow(t, noGuard, 3, func(t *testing.T, f *following) {
		loaded := make(chan error)
		go func() { loaded <- f.Load(t.Context()) }()
		f.say(0, Update{Groups: f.groups("g", "a")})
		f.say(1, Update{Err: errBad})
		select {
		case err := <-loaded:
			t.Fatalf("Load returned %v before the last source spoke", err)
		default:
		}
		f.sources[2].end <- errors.New("no network")
		err := <-loaded
		if !errors.Is(err, errBad) || !strings.Contains(err.Error(), "no network") {
			t.Errorf("Load: %v, want what is wrong with both", err)
		}
		f.say(1, Update{Groups: f.groups("g", "b")})
		if err := f.Load(t.Context()); err == nil || strings.Contains(err.Error(), "bad line") {
			t.Errorf("Load once more: %v, want what is wrong now", err)
		}
	})
}

func TestLoadEndsWithItsContext(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Load(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load: %v", err)
		}
	})
}

// reload asks for a reload, and has each source answer by an update.
func (f *following) reload(answers ...Update) error {
	result := make(chan error)
	go func() { result <- f.Reload(f.t.Context()) }()
	for i, u := range answers {
		answer := <-f.sources[i].looks
		synctest.Wait()
		select {
		case err := <-result:
			f.t.Fatalf("Reload returned %v before source %d answered", err, i)
		default:
		}
		answer <- u
	}
	return <-result
}

func TestReload(t *testing.T) {
	follow(t, noGuard, 2, func(t *testing.T, f *following) {
		f.say(0, Update{Groups: f.groups("g", "a")})
		f.say(1, Update{Groups: f.groups("g", "b")})
		if err := f.reload(Update{}, Update{}); err != nil {
			t.Errorf("nothing new: %v", err)
		}
		err := f.reload(Update{Err: errBad}, Update{Groups: f.groups("g", "b c")})
		if !errors.Is(err, errBad) || strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("one bad source: %v", err)
		}
		f.knows("abc") // the good one serves
		if err := f.reload(Update{Groups: f.groups("g", "d")}, Update{}); err != nil {
			t.Errorf("mended: %v", err)
		}
		f.knows("bcd")
	})
}

func TestReloadWakesASourceThatIsDown(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		source := f.sources[0]
		for range 7 {
			<-source.runs
			source.end <- errors.New("no network")
		}
		<-source.runs
		source.end <- errors.New("no network")
		synctest.Wait()
		asked := time.Now()
		result := make(chan error)
		go func() { result <- f.Reload(t.Context()) }()
		if began := <-source.runs; !began.Equal(asked) {
			t.Errorf("it starts %v after the request", began.Sub(asked))
		}
		f.sources[0].say <- Update{Groups: f.groups("g", "a")}
		if err := <-result; err != nil {
			t.Errorf("Reload: %v", err)
		}
		f.knows("a")
	})
}

func TestReloadOfASourceThatEndsInstead(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		f.say(0, Update{})
		result := make(chan error)
		go func() { result <- f.Reload(t.Context()) }()
		<-f.sources[0].looks
		f.sources[0].end <- errBad
		if err := <-result; !errors.Is(err, errBad) {
			t.Errorf("Reload: %v", err)
		}
	})
}

func TestReloadEndsWithItsContext(t *testing.T) {
	follow(t, noGuard, 1, func(t *testing.T, f *following) {
		for range 2 { // the first request is never answered, the second never taken
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			result := make(chan error)
			go func() { result <- f.Reload(ctx) }()
			select {
			case <-f.sources[0].looks:
			case <-time.After(time.Minute):
			}
			if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Reload: %v", err)
			}
		}
		f.sources[0].end <- nil
	})
}

func TestReloadAfterTheEnd(t *testing.T) {
	d, err := New(Options{Sources: []NamedSource{{Name: "s", Source: newTold()}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Run(ctx)
	if err := d.Reload(t.Context()); err == nil {
		t.Error("a reload that nobody does is no error")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no name":        {Sources: []NamedSource{{}}},
		"two of a name":  {Sources: []NamedSource{{Name: "s"}, {Name: "s"}}},
		"default domain": {DefaultDomain: "@"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
