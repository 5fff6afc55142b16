package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"postern/backend"
	catalogue "postern/backend/consul"
	"postern/configs"
)

// roster is all backends that a gateway knows, those of the configuration and those that a catalogue
// lists, with what it knows of them.
type roster struct {
	dialer  backend.Dialer
	learner *backend.Learner // what they offer
	pool    *backend.Pool    // how they are
	checker atomic.Pointer[backend.Checker]

	mu      sync.Mutex
	made    *backends        // of the configuration
	listing *listing         // nil: none come from a catalogue
	known   bool             // it has named its backends
	listed  []backend.Target // of the catalogue
	absent  []backend.Target // of an operator's list, and not of the catalogue
	state   catalogue.State  // the last one
}

func newRoster(config *configs.Config, log *slog.Logger) (*roster, error) {
	r := &roster{dialer: backend.Dialer{KeepAlive: config.Timeouts.Keepalive, Winners: backend.NewWinners()}}
	made, err := buildBackends(config)
	if err != nil {
		return nil, err
	}
	r.learner = backend.NewLearner(r.dialer, log)
	r.pool = backend.NewPool(backend.PoolOptions{Settings: poolSettings(config.Backends), Prober: r, Logger: log})
	r.take(config, made)
	return r, nil
}

// take puts the backends of a configuration in force.
func (r *roster) take(config *configs.Config, made *backends) {
	refusals, err := buildRefusals(config.Backends)
	if err == nil { // else the settings of sessions were refused for it
		checker := buildChecker(config.Backends, r.dialer, refusals)
		r.checker.Store(&checker)
	}
	r.pool.Reconfigure(poolSettings(config.Backends))
	r.mu.Lock()
	r.made = made
	r.mu.Unlock()
	r.sync()
}

// sync lets those who know something of each backend know which there are.
func (r *roster) sync() {
	r.mu.Lock()
	all := r.made.and(r.listed).targets
	r.mu.Unlock()
	r.learner.Sync(all)
	r.pool.Sync(all)
}

// backends are all of them, with those that are only known by name.
func (r *roster) backends() *backends {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resolve(r.made)
}

// with returns the same, with the backends of another configuration.
func (r *roster) with(made *backends) *backends {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resolve(made)
}

// resolve is what the directory gets. As long as the catalogue has not said which backends there are,
// nobody may be hashed over those of the configuration alone: his mailbox would be another one
// a moment later. The caller holds r.mu.
func (r *roster) resolve(made *backends) *backends {
	all := made.and(r.listed).and(r.absent)
	if r.listing != nil && !r.known {
		for i := range all.targets {
			all.targets[i].Declared = false
		}
	}
	return all
}

// and adds those whose names are not taken yet.
func (b *backends) and(more []backend.Target) *backends {
	all := &backends{targets: slices.Clone(b.targets), fallback: b.fallback}
	taken := make(map[string]bool)
	for _, t := range all.targets {
		taken[t.Name] = true
	}
	for _, t := range more {
		if !taken[t.Name] {
			all.targets = append(all.targets, t)
		}
	}
	return all
}

// Probe checks a backend by the configuration in force.
func (r *roster) Probe(ctx context.Context, t backend.Target) (entered bool, err error) {
	return r.checker.Load().Probe(ctx, t)
}
