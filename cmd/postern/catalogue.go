package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"postern/admin"
	"postern/backend"
	catalogue "postern/backend/consul"
	"postern/configs"
	"postern/directory/consul"
	"postern/directory/state"
)

// catalogueFile is where the last list of Consul's backends is kept, with the directory's state.
const catalogueFile = "catalogue"

// maxCatalogue bounds what is read of it, in octets: a backend takes about two hundred.
const maxCatalogue = 16 << 20

// firstList is how long a start waits for the catalogue. What was saved serves sooner.
const firstList = 5 * time.Second

// listing is a catalogue that is being followed.
type listing struct {
	*catalogue.Catalogue
	client *consul.Client
	folder string // where the last list is kept; empty: nowhere
	log    *slog.Logger
}

// newListing returns nil where no backends come from Consul.
func newListing(config *configs.Config, made *backends, folder string, log *slog.Logger) (*listing, error) {
	section := config.Backends.Consul
	if section.Service == "" {
		return nil, nil
	}
	client, err := consul.NewClient(consul.ClientOptions{
		Address: string(section.Address), Token: secret(section.Token), TLS: consul.TLS(clientTLS(section.TLS)),
		Namespace: string(section.Namespace), Partition: string(section.Partition), Datacenter: string(section.Datacenter),
	})
	if err != nil {
		return nil, fmt.Errorf("backends.consul: %w", err)
	}
	l := &listing{client: client, folder: folder, log: log}
	defaults, err := catalogueDefaults(config.Backends.Defaults)
	if err != nil {
		client.Close()
		return nil, err
	}
	l.Catalogue, err = catalogue.New(catalogue.Options{
		Client: client.Client, Service: string(section.Service), Tag: string(section.Tag), DeclaredKey: string(section.Declared),
		Defaults: defaults, Reserved: made.targets, Saved: l.saved(), Logger: log,
	})
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("backends.consul: %w", err)
	}
	return l, nil
}

func catalogueDefaults(s configs.BackendSettings) (catalogue.Defaults, error) {
	target, err := buildTarget(s, backend.Target{})
	if err != nil {
		return catalogue.Defaults{}, fmt.Errorf("backends.defaults: %w", err)
	}
	options, err := backendTLS(s)
	return catalogue.Defaults{Target: target, TLS: options}, err
}

// saved is the list as it was kept, or nil.
func (l *listing) saved() (text []byte) {
	if l.folder == "" {
		return nil
	}
	err := state.Read(l.folder, catalogueFile, func(r io.Reader) (err error) {
		text, err = io.ReadAll(io.LimitReader(r, maxCatalogue))
		return err
	})
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.log.Error("the kept list of Consul's backends can't be used", "err", err)
		}
		return nil
	}
	return text
}

func (l *listing) keep(s catalogue.State) {
	text, err := s.Encode()
	if l.folder == "" || s.Saved || len(text) == 0 && err == nil {
		return
	}
	if err == nil {
		err = state.Write(l.folder, catalogueFile, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
	}
	if err != nil {
		l.log.Error("the list of Consul's backends can't be kept", "err", err)
	}
}

// follow hands each list to take, until the context ends.
func (l *listing) follow(ctx context.Context, take func(catalogue.State)) {
	defer l.client.Close()
	up := make(chan catalogue.State)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx, up)
	}()
	for {
		select {
		case s := <-up:
			take(s)
			l.keep(s)
		case <-done:
			return
		}
	}
}

// list returns the backends with those of the catalogue as it is now, for commands that want to know once.
func (b *backends) list(ctx context.Context, config *configs.Config) (*backends, error) {
	l, err := newListing(config, b, "", slog.New(slog.DiscardHandler))
	if l == nil || err != nil {
		return b, err
	}
	ctx, cancel := context.WithTimeout(ctx, firstList)
	defer cancel()
	all, err := b, fmt.Errorf("backends.consul: no list of service %s within %s", config.Backends.Consul.Service, firstList)
	l.follow(ctx, func(s catalogue.State) {
		if s.At.IsZero() {
			err = fmt.Errorf("backends.consul: %w", s.Err)
			return
		}
		all, err = b.and(slices.Concat(s.Targets, s.Absent)), nil
		cancel()
	})
	return all, err
}

// follow has the roster hear of the catalogue's backends from now on, in place of another one. It returns when the
// first list is there, or has been waited for long enough.
func (g *gateway) follow(ctx context.Context, l *listing) {
	g.listing.stop()
	g.listing = nil
	serves := g.roster.expect(l)
	if l == nil {
		g.roster.list(catalogue.State{At: time.Now()})
		g.tellDirectory()
		return
	}
	first := make(chan struct{})
	g.listing = start(func(ctx context.Context) {
		heard := false
		l.follow(ctx, func(s catalogue.State) {
			g.roster.list(s)
			g.tellDirectory()
			if !heard && !s.At.IsZero() {
				heard = true
				close(first)
			}
		})
	})
	if serves {
		return
	}
	select {
	case <-first:
	case <-time.After(firstList):
		g.log.Warn("Consul does not answer: its backends are not known yet", "service", string(g.config.Backends.Consul.Service))
	case <-ctx.Done():
	}
}

// tellDirectory has the directory in force resolve its entries by the backends of now.
func (g *gateway) tellDirectory() {
	g.telling.Lock() // or who computed first could tell last
	defer g.telling.Unlock()
	now := g.inForce.Load()
	if now == nil {
		return // it is being made, with these backends
	}
	if err := g.roster.backends().giveTo(now.dir); err != nil {
		g.log.Error("the directory keeps the backends that it had", "err", err)
	}
}

// expect tells where the list comes from, from now on; nil: none does. It returns whether one serves already: that
// goes on until the new one is there.
func (r *roster) expect(l *listing) (serves bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = r.known && r.listing != nil && l != nil
	r.listing = l
	return r.known
}

// list takes over what a catalogue says: which backends there are, and what it has against them.
func (r *roster) list(s catalogue.State) {
	r.mu.Lock()
	r.state = s
	if r.known = r.known || !s.At.IsZero(); r.known && !s.At.IsZero() {
		r.listed, r.absent = s.Targets, s.Absent
	}
	r.mu.Unlock()
	if s.At.IsZero() {
		return
	}
	r.sync()
	for _, t := range s.Targets {
		r.pool.Hearsay(t.Name, s.Bad[t.Name] != "", "Consul: "+s.Bad[t.Name])
	}
}

// confirmBackends is the name by which operators confirm a list of Consul's that is held.
const confirmBackends = "backends"

// confirm lets go of backends that left Consul with too many others.
func (r *roster) confirm() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.listing == nil:
		return admin.ErrNoSource
	case len(r.state.Held) == 0:
		return admin.ErrNotHeld
	}
	r.listing.Confirm()
	return nil
}

// catalogue tells how Consul's list stands; nil: none comes from there.
func (r *roster) catalogue() *admin.Catalogue {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listing == nil {
		return nil
	}
	c := &admin.Catalogue{
		Backends: len(r.listed), Held: r.state.Held, Faults: r.state.Faults, Saved: r.state.Saved, ListedAt: r.listing.Heard(),
	}
	if c.ListedAt.IsZero() {
		c.ListedAt = r.state.At
	}
	if r.state.Err != nil {
		c.Error = r.state.Err.Error()
	}
	return c
}
