package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postern/directory/cache"
)

// maxValue bounds a backend's name as a source that is asked may tell it, in octets: a host's name and a port.
const maxValue = 512

var (
	errNothingKept = errors.New("nothing is kept")
	errLongBackend = errors.New("the backend's name is longer than 512 octets")
	errNoState     = errors.New("a state that does not exist")
)

// asked is a Resolver behind its cache.
type asked struct {
	dir      *Directory
	name     string
	resolver Resolver
	cache    *cache.Cache[Value]
	saver    *saver
	restored chan struct{} // closed when what was saved is back

	mu       sync.Mutex
	failing  bool      // was logged
	loggedAt time.Time // when
}

// logPause is between two records of failing: a single row that can't be understood may come and go all day.
const logPause = time.Minute

func newAsked(d *Directory, s NamedSource) *asked {
	a := &asked{dir: d, name: s.Name, resolver: s.Resolver, restored: make(chan struct{})}
	a.saver = newSaver(d, s, askedSaves, a.write)
	place := cache.Place[Value]{Ask: a.ask, Unknown: ErrUnknown, Stored: a.saver.note, Moved: d.signal}
	if listener, ok := s.Resolver.(Listener); ok {
		place.Listen = func(ctx context.Context, forget func(string)) error { return a.listen(ctx, listener, forget) }
	}
	a.cache = cache.New(s.Cache, place)
	return a
}

// mailboxOf takes a canonical name apart.
func mailboxOf(address string) Mailbox {
	m := Mailbox{Address: address, Local: address}
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		m.Local, m.Domain = address[:at], address[at+1:]
	}
	return m
}

// checkValue refuses an answer that can't be understood. What a table's builder checks of an entry is
// checked here of an answer, and it is bounded, since it is kept.
func checkValue(v Value) error {
	switch {
	case v.Backend == "":
		return errNoBackend
	case len(v.Backend) > maxValue:
		return errLongBackend
	case v.State > Moving:
		return errNoState
	}
	return CheckLogin(v.Login)
}

// ask puts one question. Its answer outlives what it was read from.
func (a *asked) ask(ctx context.Context, address string) (Value, error) {
	v, err := a.resolver.Resolve(ctx, mailboxOf(address))
	if err == nil {
		err = checkValue(v)
	}
	a.spoke(ctx, err)
	if err != nil {
		return Value{}, err
	}
	return Value{Backend: strings.Clone(v.Backend), Login: strings.Clone(v.Login), State: v.State}, nil
}

// spoke logs when the source fails and when it is well again. A question that was called off says
// nothing.
func (a *asked) spoke(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	fails := err != nil && !errors.Is(err, ErrUnknown)
	a.mu.Lock()
	tell := fails != a.failing && (!fails || time.Since(a.loggedAt) > logPause)
	if tell {
		a.failing = fails
	}
	if tell && fails {
		a.loggedAt = time.Now()
	}
	a.mu.Unlock()
	switch {
	case tell && fails:
		a.dir.log.Error("directory source failed, kept answers serve", "source", a.name, "err", err)
	case tell:
		a.dir.log.Info("directory source is well again", "source", a.name)
	}
}

// listen hears of changes until that ends, and logs why it did.
func (a *asked) listen(ctx context.Context, listener Listener, forget func(string)) error {
	err := listener.Listen(ctx, forget)
	if err != nil && ctx.Err() == nil {
		a.dir.log.Warn("directory source does not tell of changes, kept answers live their time", "source", a.name, "err", err)
	}
	return err
}

func (a *asked) locate(ctx context.Context, mailbox string, q Query) (Route, error) {
	fresh := time.Duration(0)
	if q.Fresh {
		fresh = FreshAge
	}
	answer, err := a.cache.Resolve(ctx, mailbox, fresh)
	if errors.Is(err, ErrUnknown) {
		return Route{AskedAt: answer.At}, ErrUnknown
	}
	if err != nil {
		return Route{}, fmt.Errorf("source %s: %w", a.name, err)
	}
	return a.route(mailbox, q.User, answer)
}

func (a *asked) route(mailbox, typed string, answer cache.Answer[Value]) (Route, error) {
	route, err := a.dir.routeOf(a.name, mailbox, typed, answer.Value)
	route.AskedAt = answer.At
	return route, err
}

// standing tells what is kept. ErrUnknown means that the source said so.
func (a *asked) standing(mailbox string) (Route, error) {
	answer, ok := a.cache.Peek(mailbox)
	switch {
	case !ok:
		return Route{}, errNothingKept
	case answer.Unknown:
		return Route{}, ErrUnknown
	}
	return a.route(mailbox, mailbox, answer)
}

// run brings back what was saved and listens and saves until ctx is done.
func (a *asked) run(ctx context.Context) {
	a.restore()
	close(a.restored)
	var running sync.WaitGroup
	running.Go(func() { a.cache.Run(ctx) })
	running.Go(func() { a.saver.run(ctx) })
	running.Wait()
}

func (a *asked) close() error {
	a.cache.Close()
	if err := a.resolver.Close(); err != nil {
		return fmt.Errorf("closing source %s: %w", a.name, err)
	}
	return nil
}

// Forget drops the answers that are kept of a mailbox, and tells how many there were. The address is
// what a client could type.
func (d *Directory) Forget(address string) (int, error) {
	mailbox, err := d.canonical(Query{User: address})
	if err != nil {
		return 0, fmt.Errorf("address %.80q: %w", address, err)
	}
	forgotten := 0
	for _, p := range d.allPlaces() {
		if p.asked != nil && p.asked.cache.Forget(mailbox) {
			forgotten++
		}
	}
	return forgotten, nil
}
