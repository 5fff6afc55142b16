package consul

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/directory"
)

// Options are what a source or a store is made of.
type Options struct {
	ClientOptions
	Prefix        string // every key below it holds a piece of map file
	DefaultDomain string // for bare names; empty: they stay bare
}

// Source follows the keys below a prefix.
type Source struct {
	client        *Client
	prefix        string // ends in a slash
	defaultDomain string
	staleness     atomic.Pointer[Staleness]
}

// Staleness is the bound of what a source holds, as Consul's newest answer gave it.
type Staleness struct {
	LastContact time.Duration // since the server that answered heard from its leader; 0: it is the leader
	KnownLeader bool
	Heard       time.Time // when the answer came; there is one each minute at least
}

// New returns a source. Consul need not be there yet.
func New(o Options) (*Source, error) {
	client, prefix, domain, err := o.prepare()
	if err != nil {
		return nil, err
	}
	return &Source{client: client, prefix: prefix, defaultDomain: domain}, nil
}

func (o Options) prepare() (client *Client, prefix, domain string, err error) {
	prefix = strings.Trim(o.Prefix, "/")
	if prefix == "" || !plain(prefix) || path.Clean(prefix) != prefix {
		return nil, "", "", fmt.Errorf("prefix %.100q: want names separated by single slashes", o.Prefix)
	}
	if o.DefaultDomain != "" {
		if domain, err = directory.Domain(o.DefaultDomain); err != nil {
			return nil, "", "", fmt.Errorf("default domain %q: %w", o.DefaultDomain, err)
		}
	}
	client, err = NewClient(o.ClientOptions)
	return client, prefix + "/", domain, err
}

// Staleness tells how far the source may be behind; the zero value where nothing was heard.
func (s *Source) Staleness() Staleness {
	if heard := s.staleness.Load(); heard != nil {
		return *heard
	}
	return Staleness{}
}

func (s *Source) heard(meta *api.QueryMeta) {
	s.staleness.Store(&Staleness{LastContact: meta.LastContact, KnownLeader: meta.KnownLeader, Heard: time.Now()})
}

// Run implements directory.Source.
func (s *Source) Run(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	ctx, cancel := context.WithCancel(ctx)
	r := newRun(s)
	defer s.client.Close()
	defer r.running.Wait()
	defer cancel()
	r.names = r.start(ctx, &watcher{piece: piece{name: s.prefix, all: true}, names: true, wait: namesWait})
	return r.loop(ctx, look, up)
}

var (
	errNoKeys  = errors.New("no key below the prefix")
	errLoading = errors.New("not all keys were read yet")
)
