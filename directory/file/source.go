// Package file is the source for mailbox map files: it reads one, or all in a folder, packed by gzip or
// not, notices when one changes, and reads it again, whole or not at all.
//
// A large file is many groups, blocks of about a megabyte, so that only those which changed are
// made again. In a folder a broken file keeps its last good state and does not hold
// back the others; one that is gone has none.
//
// What stands in such a file is the business of package mapfile; what becomes of it, of
// package directory.
package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"postern/directory"
	"postern/directory/mapfile"
)

// Options are what a source is made of.
type Options struct {
	Path          string        // of a file, or of a folder; as faults call it
	DefaultDomain string        // for bare names; empty: they stay bare
	Only          []string      // canonical addresses; if set, other entries are passed over
	Poll          time.Duration // how often the file is looked at unasked; 0: 30 s
	Settle        time.Duration // how long it must have been left alone before it is read; 0: 100 ms
	Logger        *slog.Logger  // what stands in the way of noticing changes at once
}

// Source follows one map file, or a folder of them.
type Source struct {
	path         string
	options      mapfile.Options
	blocks       *mapfile.Blocks
	most         int64 // octets of a file
	poll, settle time.Duration
	log          *slog.Logger
}

// New returns the source of a file or folder, which need not be there yet.
func New(o Options) (*Source, error) { return newSource(o, nil) }

func newSource(o Options, knows func(backend string) bool) (*Source, error) {
	s := &Source{
		path:   o.Path,
		most:   maxSize,
		poll:   cmp.Or(o.Poll, 30*time.Second),
		settle: cmp.Or(o.Settle, 100*time.Millisecond),
		log:    cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	}
	s.options = mapfile.Options{Only: o.Only, Knows: knows}
	if o.DefaultDomain != "" {
		domain, err := directory.Domain(o.DefaultDomain)
		if err != nil {
			return nil, fmt.Errorf("default domain %q: %w", o.DefaultDomain, err)
		}
		s.options.DefaultDomain = domain
	}
	s.blocks = mapfile.NewBlocks(s.options)
	return s, nil
}

// Check reads a map file, or all in a folder, for faults only. Among them are backends that
// knows, if it is given, does not know. What is wrong with the content comes as *mapfile.Faults, joined
// where several files have any. Many may ask knows at once.
func Check(ctx context.Context, path, defaultDomain string, knows func(backend string) bool) error {
	s, err := newSource(Options{Path: path, DefaultDomain: defaultDomain}, knows)
	if err != nil {
		return err
	}
	files, err := list(path)
	if err != nil {
		return err
	}
	results, err := s.load(ctx, files, nil)
	if err != nil {
		return err
	}
	if len(results) == 1 {
		return results[0].err
	}
	var faults []error
	for _, r := range results {
		faults = append(faults, r.err)
	}
	return errors.Join(faults...)
}

// Run implements directory.Source.
func (s *Source) Run(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	changes := newWatch(s.log)
	defer changes.close()
	return s.follow(ctx, changes, look, up)
}

// follow reads the files at the start, when it is asked to, and when one changed
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
