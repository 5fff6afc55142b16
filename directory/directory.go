package directory

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"

	"postern/backend"
)

// Options are what a directory is made of.
type Options struct {
	DefaultDomain string // for bare names; empty: they stay bare
	ShrinkGuard   ShrinkGuard
	Logger        *slog.Logger  // one record for each change of a source's state
	Sources       []NamedSource // asked in this order
}

// NamedSource is a source as logs, routes and the operator call it.
type NamedSource struct {
	Name   string // unique
	Source Source
}

// Directory knows who owns which mailbox. All methods may be called at any time
// from any goroutine.
type Directory struct {
	defaultDomain string
	guard         ShrinkGuard
	log           *slog.Logger
	followers     []*follower // by the sources' order
	db            *memdb.MemDB
	current       atomic.Pointer[snapshot]

	// mu makes a commit and the snapshot made from it one step.
	mu       sync.Mutex
	ready    []bool // by the sources' order
	fallback Fallback
	own      map[netip.AddrPort]*backend.Target // made from the fallback, so that one address is one backend
}

// New returns a directory that knows nothing yet: Run fills it. The backends come
// by SetBackends, before or after.
func New(o Options) (*Directory, error) {
	db, err := newDB()
	if err != nil {
		return nil, err
	}
	d := &Directory{guard: o.ShrinkGuard, log: o.Logger, db: db, ready: make([]bool, len(o.Sources))}
	if o.DefaultDomain != "" {
		if d.defaultDomain, err = Domain(o.DefaultDomain); err != nil {
			return nil, fmt.Errorf("default domain %q: %w", o.DefaultDomain, err)
		}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	first := &snapshot{}
	names := make(map[string]bool)
	for i, source := range o.Sources {
		if source.Name == "" || names[source.Name] {
			return nil, fmt.Errorf("source %q: every source needs a name of its own", source.Name)
		}
		names[source.Name] = true
		d.followers = append(d.followers, newFollower(d, uint32(i), source))
		first.sources = append(first.sources, sourceView{name: source.Name})
	}
	d.current.Store(first)
	return d, nil
}

// Locate answers who owns the mailbox that a client named. It reads one snapshot
// and waits for nothing; the context is for sources that have to be asked.
//
// ErrUnknown means that there is no such mailbox. Any other error is for an
// operator: ErrNotReady, ErrLogin or a *NoBackendError.
func (d *Directory) Locate(_ context.Context, q Query) (Route, error) {
	domain := q.DefaultDomain
	if domain == "" {
		domain = d.defaultDomain
	}
	mailbox, err := Canonical(q.User, domain)
	if err != nil {
		return Route{}, ErrUnknown
	}
	return d.current.Load().locate(mailbox, q.User)
}

// SetBackends replaces the backends by which entries are resolved, in one step with
// what Locate sees. It keeps copies of the targets, but not of their slices. Two backends
// of one name are an error that changes nothing.
func (d *Directory) SetBackends(targets []backend.Target, fallback Fallback) error {
	keys, err := backendKeys(targets)
	if err != nil {
		return err
	}
	rows := make([]*backendRow, len(targets))
	for i, target := range targets {
		rows[i] = &backendRow{Name: target.Name, Keys: keys[i], Target: &target}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	txn := d.db.Txn(true)
	defer txn.Abort()
	if err := writeBackends(txn, rows); err != nil {
		return err
	}
	d.fallback, d.own = fallback, make(map[netip.AddrPort]*backend.Target)
	if err := d.publish(txn, false); err != nil {
		return err
	}
	txn.Commit()
	return nil
}

// replace makes a source's groups those given. The source is ready from then on.
func (d *Directory) replace(order uint32, groups map[string]*Table) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	txn := d.db.Txn(true)
	defer txn.Abort()
	if err := writeGroups(txn, order, groups); err != nil {
		return err
	}
	d.ready[order] = true
	if err := d.publish(txn, true); err != nil {
		return err
	}
	txn.Commit()
	return nil
}

// match finds the backend that an entry's value names: one of those configured, or
// one of its own within the fallback's networks, or nil. The caller holds d.mu.
func (d *Directory) match(txn *memdb.Txn, value string) (*backend.Target, error) {
	target, err := backendByKey(txn, backendKey(value))
	if target != nil || err != nil {
		return target, err
	}
	at, ok := d.fallback.own(value)
	if !ok {
		return nil, nil
	}
	if d.own[at] == nil {
		d.own[at] = &backend.Target{Name: at.String(), Addresses: []string{at.String()}, Login: d.fallback.Login}
	}
	return d.own[at], nil
}

// Knows tells whether an entry's backend value names a backend.
func (d *Directory) Knows(value string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	target, err := d.match(d.db.Txn(false), value)
	return err == nil && target != nil
}
