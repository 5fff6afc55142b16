package directory

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3"
)

// resolving is a Resolver that a test has in its hands.
type resolving struct {
	mu     sync.Mutex
	says   map[string]Value
	err    error
	asked  []Mailbox
	closed int
	heard  chan string // made within a bubble, where a test needs it
}

func newResolving(lines ...string) *resolving {
	r := &resolving{says: make(map[string]Value)}
	for _, line := range lines {
		f := strings.Fields(line)
		r.says[f[0]] = Value{Backend: f[1]}
	}
	return r
}

func (r *resolving) Resolve(ctx context.Context, m Mailbox) (Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, m)
	v, ok := r.says[m.Address]
	switch {
	case ctx.Err() != nil:
		return Value{}, ctx.Err()
	case r.err != nil:
		return Value{}, r.err
	case !ok:
		return Value{}, ErrUnknown
	}
	return v, nil
}

func (r *resolving) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
	return nil
}

func (r *resolving) Listen(ctx context.Context, forget func(string)) error {
	forget("")
	for {
		select {
		case address := <-r.heard:
			forget(address)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *resolving) set(address string, v Value, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.says[address], r.err = v, err
}

// judging is a Judge that takes one password.
type judging struct {
	logins []Login
	closed int
}

func (j *judging) Judge(_ context.Context, m Mailbox, l Login) (Verdict, error) {
	j.logins = append(j.logins, l)
	switch string(l.Password.Reveal()) {
	case "right":
		return Verdict{Value: Value{Backend: "guest-02", Login: "{local}"}, Password: pop3.NewSecret([]byte("other"))}, nil
	case "empty":
		return Verdict{}, nil
	case "wrong":
		return Verdict{}, &RefusalError{Code: pop3.Auth, Wait: time.Second}
	}
	return Verdict{}, errors.New("the service is down")
}

func (j *judging) Close() error { j.closed++; return nil }

// asking runs a directory in a synctest bubble, with what it logs.
func asking(t *testing.T, o Options, test func(t *testing.T, d *Directory, log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { running(t, o, test) })
}

// running does the same within a bubble that is there.
func running(t *testing.T, o Options, test func(t *testing.T, d *Directory, log *bytes.Buffer)) {
	t.Helper()
	log := new(bytes.Buffer)
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetBackends(guests, Fallback{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	synctest.Wait()
	time.Sleep(time.Millisecond)
	test(t, d, log)
	cancel()
	<-ended
}

// owner is the backend's name, or unknown, or error.
func owner(t *testing.T, d *Directory, q Query) string {
	t.Helper()
	r, err := d.Locate(t.Context(), q)
	switch {
	case err == ErrUnknown:
		return "unknown"
	case err != nil:
		return "error"
	}
	return r.Backend.Name
}

func cached() CacheOptions {
	return CacheOptions{TTL: time.Minute, NegativeTTL: 10 * time.Second, Stale: time.Hour}
}

func TestNewRefusesWrongSources(t *testing.T) {
	source, resolver, judge := newTold(), newResolving(), &judging{}
	for name, o := range map[string]Options{
		"nothing":              {Sources: []NamedSource{{Name: "a"}}},
		"no name":              {Sources: []NamedSource{{Source: source}}},
		"one name":             {Sources: []NamedSource{{Name: "a", Source: source}, {Name: "a", Source: source}}},
		"one name in shadow":   {Sources: []NamedSource{{Name: "a", Source: source}}, Shadow: []NamedSource{{Name: "a", Source: source}}},
		"the policy's name":    {Sources: []NamedSource{{Name: PolicySource, Source: source}}},
		"two kinds":            {Sources: []NamedSource{{Name: "a", Source: source, Resolver: resolver}}},
		"a judge first":        {Sources: []NamedSource{{Name: "j", Judge: judge}, {Name: "a", Source: source}}},
		"two judges":           {Sources: []NamedSource{{Name: "j", Judge: judge}, {Name: "k", Judge: judge}}},
		"a judge as a shadow":  {Shadow: []NamedSource{{Name: "j", Judge: judge}}},
		"a domain that is bad": {DefaultDomain: "a@b"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOrderOfAskedSources(t *testing.T) {
	first, second := newResolving("alice guest-01", "dave nowhere"), newResolving("alice guest-02", "bob guest-02", "dave guest-02")
	asking(t, Options{Sources: []NamedSource{
		{Name: "first", Resolver: first, Cache: cached()}, {Name: "second", Resolver: second, Cache: cached()},
	}}, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
		for user, want := range map[string]string{"alice": "guest-01", "bob": "guest-02", "carol": "unknown", "dave": "error"} {
			if got := owner(t, d, Query{User: user}); got != want {
				t.Errorf("%s: %s, want %s", user, got, want)
			}
		}
		r, err := d.Locate(t.Context(), Query{User: "Bob"})
		if err != nil || r.Source != "second" || r.Entry != "bob" || r.Mailbox != "bob" || r.Login != "bob" || r.AskedAt != time.Now() {
			t.Errorf("%+v, %v", r, err)
		}
		first.set("", Value{}, errors.New("down"))
		time.Sleep(time.Minute)
		for user, want := range map[string]string{"alice": "guest-01", "bob": "error", "carol": "error"} { // alice is stale
			if got := owner(t, d, Query{User: user}); got != want {
				t.Errorf("while the first is down, %s: %s, want %s", user, got, want)
			}
		}
	})
	if first.closed != 1 || second.closed != 1 {
		t.Errorf("closed %d and %d times", first.closed, second.closed)
	}
	if m := (Mailbox{Address: "alice", Local: "alice"}); first.asked[0].Domain != "" || mailboxOf("alice") != m {
		t.Errorf("asked for %+v", first.asked[0])
	}
	if m := mailboxOf("a@b@example.com"); m.Local != "a@b" || m.Domain != "example.com" {
		t.Errorf("%+v", m)
	}
}

func TestAnswersThatCanNotBeUnderstood(t *testing.T) {
	r := newResolving("alice guest-01")
	asking(t, Options{Sources: []NamedSource{{Name: "a", Resolver: r, Cache: cached()}}}, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
		for name, v := range map[string]Value{
			"none": {}, "long": {Backend: strings.Repeat("g", 513)}, "login": {Backend: "guest-01", Login: "a\r\nb"},
			"place": {Backend: "guest-01", Login: "{password}"}, "state": {Backend: "guest-01", State: 3},
		} {
			r.set(name, v, nil)
			if got := owner(t, d, Query{User: name}); got != "error" {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}

func TestFreshAndForget(t *testing.T) {
	r := newResolving("alice guest-01")
	asking(t, Options{Sources: []NamedSource{{Name: "a", Resolver: r, Cache: cached()}}}, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
		is := func(q Query, want string) {
			t.Helper()
			if got := owner(t, d, q); got != want {
				t.Errorf("%+v: %s, want %s", q, got, want)
			}
		}
		is(Query{User: "alice"}, "guest-01")
		r.set("alice", Value{Backend: "guest-02"}, nil)
		time.Sleep(FreshAge)
		is(Query{User: "alice", Fresh: true}, "guest-01")
		time.Sleep(time.Second)
		is(Query{User: "alice"}, "guest-01")
		is(Query{User: "alice", Fresh: true}, "guest-02")
		r.set("alice", Value{Backend: "guest-03"}, nil)
		is(Query{User: "alice"}, "guest-02")
		if n, err := d.Forget("ALICE"); n != 1 || err != nil {
			t.Errorf("forgot %d, %v", n, err)
		}
		is(Query{User: "alice"}, "guest-03")
		if _, err := d.Forget("@"); err == nil {
			t.Error("what is no name is forgotten")
		}
	})
}

func TestJudge(t *testing.T) {
	judge := &judging{}
	resolver := newResolving("bob guest-01")
	asking(t, Options{Sources: []NamedSource{{Name: "a", Resolver: resolver, Cache: cached()}, {Name: "j", Judge: judge}}},
		func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			login := func(user, password string) (Route, error) {
				return d.Locate(t.Context(), Query{User: user, Login: &Login{
					User: user, Password: pop3.NewSecret([]byte(password)), Attempt: 2, Client: netip.MustParseAddr("192.0.2.7"), TLS: true,
				}})
			}
			for range 2 { // nothing is kept
				r, err := login("alice@example.com", "right")
				if err != nil || r.Backend.Name != "guest-02" || r.Login != "alice" || string(r.Password.Reveal()) != "other" || r.Source != "j" || !r.AskedAt.IsZero() {
					t.Errorf("%+v, %v", r, err)
				}
			}
			var refused *RefusalError
			if _, err := login("alice@example.com", "wrong"); !errors.As(err, &refused) || err != error(refused) || refused.Wait != time.Second {
				t.Errorf("a wrong password: %v", err)
			}
			for _, password := range []string{"?", "empty"} {
				if _, err := login("alice@example.com", password); err == nil || errors.As(err, &refused) || errors.Is(err, ErrUnknown) {
					t.Errorf("%s: %v", password, err)
				}
			}
			if len(judge.logins) != 5 || judge.logins[0].Attempt != 2 || !judge.logins[0].TLS {
				t.Errorf("asked: %d times", len(judge.logins))
			}
			if _, err := d.Locate(t.Context(), Query{User: "alice"}); !errors.Is(err, ErrNeedsPassword) {
				t.Errorf("without a login: %v", err)
			}
			if got := owner(t, d, Query{User: "bob"}); got != "guest-01" || len(judge.logins) != 5 {
				t.Errorf("an earlier source's mailbox: %s", got)
			}
		})
	if judge.closed != 1 {
		t.Errorf("closed %d times", judge.closed)
	}
}

func TestAskedSourceFailingIsLoggedOnce(t *testing.T) {
	r := newResolving("alice guest-01")
	asking(t, Options{Sources: []NamedSource{{Name: "a", Resolver: r}}}, func(t *testing.T, d *Directory, log *bytes.Buffer) {
		time.Sleep(time.Hour)
		for range 5 {
			r.set("", Value{}, errors.New("down"))
			owner(t, d, Query{User: "alice"})
			owner(t, d, Query{User: "bob"})
			r.set("", Value{}, nil)
			owner(t, d, Query{User: "bob"})
		}
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "well again") != 1 {
			t.Errorf("log:\n%s", text)
		}
		if s := d.Status()[0]; !s.Asked || s.Err != nil || s.Entries != 0 || s.LoadedAt != time.Now() || s.Cache.Errors != 10 {
			t.Errorf("status %+v", s)
		}
	})
}

// deaf is a Resolver that is told of no change.
type deaf struct{ Resolver }

// TestADirectoryThatIsOnlyAskedGoesOn: nothing has to run for it, and it is not over therefore.
func TestADirectoryThatIsOnlyAskedGoesOn(t *testing.T) {
	r := newResolving("alice guest-01")
	asking(t, Options{Sources: []NamedSource{{Name: "a", Resolver: deaf{r}}}}, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
		time.Sleep(time.Minute)
		if got := owner(t, d, Query{User: "alice"}); got != "guest-01" || r.closed != 0 {
			t.Errorf("alice is at %s, closed %d times", got, r.closed)
		}
	})
	if r.closed != 1 {
		t.Errorf("closed %d times", r.closed)
	}
}
