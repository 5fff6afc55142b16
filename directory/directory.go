package directory

import (
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
	Shadow        []NamedSource // asked too, compared and counted, and never used; no Judge
	Unknown       Unknown       // what becomes of a mailbox that no source knows
	State         string        // a folder for the last good state; empty: none is kept
}

// Directory knows who owns which mailbox. All methods may be called at any time
// from any goroutine.
type Directory struct {
	defaultDomain string
	guard         ShrinkGuard
	log           *slog.Logger
	state         string      // folder
	places        []*place    // in the order of search
	shadows       []*shadow   // beside it
	followers     []*follower // of the places and shadows that are followed
	db            *memdb.MemDB
	current       atomic.Pointer[snapshot]
	policy        policy
	changed       chan struct{}

	// mu makes a commit and the snapshot made from it one step.
	mu       sync.Mutex
	ready    []bool // by the followers' order
	fallback Fallback
	own      map[netip.AddrPort]*backend.Target // made from the fallback, so that one address is one backend
}

// New returns a directory that knows nothing yet: Run fills it. The backends come
// by SetBackends, before or after. Resolvers and Judges are the directory's from then on, which closes
// them when Run ends; after an error they stay the caller's.
func New(o Options) (*Directory, error) {
	db, err := newDB()
	if err != nil {
		return nil, err
	}
	d := &Directory{
		guard: o.ShrinkGuard, log: o.Logger, db: db, state: o.State, changed: make(chan struct{}, 1), policy: policy{Unknown: o.Unknown},
	}
	if o.DefaultDomain != "" {
		if d.defaultDomain, err = Domain(o.DefaultDomain); err != nil {
			return nil, fmt.Errorf("default domain %q: %w", o.DefaultDomain, err)
		}
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if err := d.addSources(o); err != nil {
		return nil, err
	}
	first := &snapshot{}
	for _, f := range d.followers {
		first.sources = append(first.sources, sourceView{name: f.name})
	}
	d.ready = make([]bool, len(d.followers))
	d.current.Store(first)
	return d, nil
}

// Changed tells that something of what Standing says may be different now. One signal may stand for many changes.
func (d *Directory) Changed() <-chan struct{} { return d.changed }

func (d *Directory) signal() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
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
	var declared []*backend.Target
	for i, target := range targets {
		rows[i] = &backendRow{Name: target.Name, Keys: keys[i], Target: &target}
		if target.Declared {
			declared = append(declared, &target)
		}
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
	d.policy.declare(declared)
	d.signal()
	return nil
}

// replace makes a follower's groups those given. Its source is ready from then on.
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
	d.signal()
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
		d.own[at] = d.fallback.make(at)
	}
	return d.own[at], nil
}

// target finds the backend that a value names outside a commit, or nil. Only a value that no configured backend
// has waits for the lock.
func (d *Directory) target(value string) (*backend.Target, error) {
	txn := d.db.Txn(false)
	target, err := backendByKey(txn, backendKey(value))
	if target != nil || err != nil {
		return target, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.match(d.db.Txn(false), value)
}

// Backend finds the backend that an entry's value names, as entries are resolved by it.
func (d *Directory) Backend(value string) (*backend.Target, bool) {
	target, err := d.target(value)
	return target, err == nil && target != nil
}

// Knows tells whether an entry's backend value names a backend.
func (d *Directory) Knows(value string) bool {
	target, err := d.target(value)
	return err == nil && target != nil
}
