// Package file is the source for mailbox map files: it reads one, notices when
// it changes, and reads it again, whole or not at all.
//
// What stands in such a file is the business of package mapfile; what becomes of it, of
// package directory.
package file

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"postern/directory"
)

// Options are what a source is made of.
type Options struct {
	Path          string        // as faults call the file
	DefaultDomain string        // for bare names; empty: they stay bare
	Only          []string      // canonical addresses; if set, other entries are passed over
	Poll          time.Duration // how often the file is looked at unasked; 0: 30 s
	Settle        time.Duration // how long it must have been left alone before it is read; 0: 100 ms
	Logger        *slog.Logger  // what stands in the way of noticing changes at once
}

// Source follows one map file.
type Source struct {
	path          string
	defaultDomain string
	only          []string
	poll, settle  time.Duration
	log           *slog.Logger
}

// New returns the source of a file, which need not be there yet.
func New(o Options) (*Source, error) {
	s := &Source{
		path:   o.Path,
		only:   o.Only,
		poll:   cmp.Or(o.Poll, 30*time.Second),
		settle: cmp.Or(o.Settle, 100*time.Millisecond),
		log:    cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	}
	if o.DefaultDomain != "" {
		domain, err := directory.Domain(o.DefaultDomain)
		if err != nil {
			return nil, fmt.Errorf("default domain %q: %w", o.DefaultDomain, err)
		}
		s.defaultDomain = domain
	}
	return s, nil
}

// Check reads a map file for faults only. Among them are backends that knows, if it
// is given, does not know. What is wrong with the content comes as *mapfile.Faults.
func Check(ctx context.Context, path, defaultDomain string, knows func(backend string) bool) error {
	s, err := New(Options{Path: path, DefaultDomain: defaultDomain})
	if err != nil {
		return err
	}
	_, err = s.load(ctx, nil, knows)
	return err
}

// Run implements directory.Source.
func (s *Source) Run(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	changes := newWatch(s.log)
	defer changes.close()
	return s.follow(ctx, changes, look, up)
}

// follow reads the file at the start, when it is asked to, and when it changed
// and was then left alone for a moment: a writer may truncate it first, and a half-written
// file may look like a good one.
func (s *Source) follow(ctx context.Context, changes *watch, look <-chan struct{}, up chan<- directory.Update) error {
	r := &reading{source: s, changes: changes}
	if !send(ctx, up, r.stable(ctx)) {
		return nil
	}
	poll := time.NewTicker(s.poll)
	defer poll.Stop()
	rest := time.NewTimer(s.settle)
	rest.Stop()
	for waiting := false; ; { // for rest
		disturbed, news, u := false, false, directory.Update{}
		select {
		case <-ctx.Done():
			return nil
		case <-look:
			u, news = r.stable(ctx), true
		case event := <-changes.events:
			disturbed = r.concerns(event)
		case <-changes.errors: // events were lost
			disturbed = true
		case <-poll.C:
			disturbed = !waiting && r.changed()
		case <-rest.C:
			waiting = false
			if disturbed = r.moved(); !disturbed {
				u, news, disturbed = r.once(ctx)
			}
		}
		if disturbed {
			rest.Reset(s.settle)
			waiting = true
		}
		if news && !send(ctx, up, u) {
			return nil
		}
	}
}

func send(ctx context.Context, up chan<- directory.Update, u directory.Update) bool {
	if ctx.Err() != nil { // what was read may have been cut short by that
		return false
	}
	select {
	case up <- u:
		return true
	case <-ctx.Done():
		return false
	}
}
