package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/backend"
)

// Options are what a catalogue is made of.
type Options struct {
	// Client asks Consul. It is shared with others and stays the caller's, who bounds its
	// connections and the size of answers, and closes it.
	Client  *api.Client
	Service string // whose instances are the backends
	Tag     string // that they have; empty: all of them
	// DeclaredKey is a key in Consul's KV store that only an operator changes: the names of
	// backends that may own mailboxes which nobody assigned. Empty: none may.
	DeclaredKey string
	Defaults    Defaults
	// Reserved are the backends of the configuration. What they are called and where they
	// are can't be taken by an instance that registers itself.
	Reserved []backend.Target
	// Saved is what State.Encode returned, for a start without Consul. Nil: nothing.
	Saved  []byte
	Logger *slog.Logger
}

// Defaults are the settings of a backend whose meta keys are silent.
type Defaults struct {
	Target backend.Target // its name, addresses and aliases don't count, nor does its TLS
	TLS    backend.TLSOptions
}

// savedAfter is how long Consul's first answer is waited for before the saved list serves.
const savedAfter = 2 * time.Second

var errNotAsked = errors.New("no answer of Consul yet")

// Catalogue follows the backends of one service.
type Catalogue struct {
	options Options
	confirm chan struct{}
	heard   atomic.Pointer[time.Time]
}

// New returns a catalogue. Consul need not be there yet.
func New(o Options) (*Catalogue, error) {
	switch {
	case o.Client == nil || o.Logger == nil:
		return nil, errors.New("the catalogue needs a client and a logger")
	case o.Service == "":
		return nil, errors.New("the catalogue needs a service's name")
	case strings.HasPrefix(o.DeclaredKey, "/"):
		return nil, fmt.Errorf("key %.100q: Consul's keys don't begin with a slash", o.DeclaredKey)
	}
	return &Catalogue{options: o, confirm: make(chan struct{}, 1)}, nil
}

// Heard tells when Consul last named the instances, also where nothing was new: at least
// once a minute, while all is well. It is the zero time where nothing was heard.
func (c *Catalogue) Heard() time.Time {
	if at := c.heard.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Confirm lets go of what is held: the backends that left the catalogue with too many
// others, and the declared names that left their key so.
func (c *Catalogue) Confirm() {
	select {
	case c.confirm <- struct{}{}:
	default: // one is under way
	}
}

// Run sends the whole state whenever any of it but its time changed, until the context
// ends. It waits while nobody takes a state, and then sends the newest.
func (c *Catalogue) Run(ctx context.Context, up chan<- State) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()

	r := run{Catalogue: c, book: newBook(c.options), up: up}
	r.services = make(chan answer[[]*api.ServiceEntry])
	watching.Go(func() { watch(ctx, c.askServices, r.services) })
	if c.options.DeclaredKey != "" {
		r.keys = make(chan answer[*api.KVPair])
		watching.Go(func() { watch(ctx, c.askKey, r.keys) })
	}
	r.loop(ctx)
}

// askServices asks for the instances, whatever their health.
func (c *Catalogue) askServices(o *api.QueryOptions) ([]*api.ServiceEntry, *api.QueryMeta, error) {
	return c.options.Client.Health().Service(c.options.Service, c.options.Tag, false, o)
}

func (c *Catalogue) askKey(o *api.QueryOptions) (*api.KVPair, *api.QueryMeta, error) {
	return c.options.Client.KV().Get(c.options.DeclaredKey, o)
}

// run is one Run. Its loop is one goroutine and owns everything here.
type run struct {
	*Catalogue
	book     *book
	services chan answer[[]*api.ServiceEntry]
	keys     chan answer[*api.KVPair] // nil: no key is followed
	up       chan<- State
	last     State
	spoken   bool // last was sent, or is about to be
}

func (r *run) loop(ctx context.Context) {
	late := time.NewTimer(savedAfter)
	defer late.Stop()
	var out chan<- State // up, while there is something to send
	for {
		select {
		case <-ctx.Done():
			return
		case out <- r.last:
			out = nil
			continue
		case a := <-r.services:
			r.book.hearServices(a)
		case a := <-r.keys:
			r.book.hearKey(a)
		case <-r.confirm:
			r.book.confirm()
		case <-late.C:
			r.book.useSaved()
		}
		if r.renew() {
			out = r.up
		}
		if at := r.book.at; r.book.services.current {
			r.heard.Store(&at)
		}
	}
}

// renew makes the state anew, and tells whether there is something to send. Before the
// first answer of everything that is followed there is not: who would spread mailboxes
// over half of the backends would put them in the wrong places.
func (r *run) renew() bool {
	s := r.book.state()
	if errors.Is(s.Err, errNotAsked) {
		return false
	}
	if r.spoken && s.same(r.last) {
		r.last.At = s.At
		return false
	}
	r.tell(r.last, s)
	r.last, r.spoken = s, true
	return true
}
