package ldap

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"postern/directory"
)

// How long a source waits before it connects again, and how much of a time lies between two updates.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
	settle     = 20 * time.Millisecond
	spacing    = 500 * time.Millisecond
	heartbeat  = 30 * time.Second
)

// Source follows the entries of LDAP servers. It implements directory.Source.
//
// Run outlives lost connections, because what it knows does: where a server tells of changes, the next
// connection begins where the last one ended, and only what changed in between is sent.
type Source struct {
	search   search
	filter   string
	domain   string
	dialer   *dialer
	timeout  time.Duration
	interval time.Duration
	paged    bool
	parts    uint32
	beat     time.Duration // how often a quiet connection is tried
}

// NewSource returns a source that has not yet connected to anything. An error is the configuration's.
func NewSource(o Options) (*Source, error) {
	o.Address = cmp.Or(o.Address, defaultAddress)
	s, err := o.search()
	if err != nil {
		return nil, err
	}
	s.attributes.address = o.Address
	filter := cmp.Or(o.Filter, "("+o.Backend+"=*)")
	if err := checkFilter(filter, filter); err != nil {
		return nil, err
	}
	if t, err := newTemplate(filter); err == nil && len(t.places) > 0 {
		return nil, errors.New("the filter of a source that is followed has no place for a mailbox")
	}
	domain, err := o.domain()
	if err != nil {
		return nil, err
	}
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	return &Source{
		search: s, filter: filter, domain: domain, dialer: d, timeout: o.timeout(),
		interval: cmp.Or(o.Interval, defaultInterval), paged: o.Paged, parts: maxParts, beat: heartbeat,
	}, nil
}

// errAgain ends a session so that the next begins at once: somebody wants the source to look, or it has
// to begin from nothing.
var errAgain = errors.New("once more")

// following is one Run of a source.
type following struct {
	*Source
	look <-chan struct{}
	up   chan<- directory.Update

	content *content
	cookie  []byte  // where the next refresh begins; nil: at nothing
	from    *server // whose it is
	silent  *server // it can't tell of changes
	failing int     // sessions in a row that did not come as far as a refresh
	updated time.Time
}

// Run implements directory.Source.
func (s *Source) Run(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	f := &following{
		Source: s, look: look, up: up,
		content: newContent(s.search.attributes, s.domain, s.parts),
	}
	for ctx.Err() == nil {
		err := f.session(ctx)
		wait := f.interval
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errAgain):
			continue
		case err != nil:
			f.send(ctx, directory.Update{Err: err})
			wait = f.pause()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-look: // the next session is the look
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// pause grows with each session that failed, and differs: many gateways must not come back as one.
func (f *following) pause() time.Duration {
	pause := min(firstPause<<min(f.failing, 10), maxPause)
	f.failing++
	return pause/2 + rand.N(pause)
}

func (f *following) send(ctx context.Context, u directory.Update) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case f.up <- u:
		return true
	case <-ctx.Done():
		return false
	}
}

// session follows over one connection. It returns without an error where the whole content was
// searched, and is to be searched again after the interval.
func (f *following) session(ctx context.Context) error {
	c, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	c.frames.unbound()
	// Servers that are no exact copies of each other would take another's cookie for a state of theirs.
	if f.from != c.server {
		f.cookie, f.from = nil, c.server
	}
	if f.paged || f.silent == c.server {
		f.cookie = nil
		return f.searchAll(ctx, c)
	}
	if err = f.sync(ctx, c); errors.Is(err, errNoSync) {
		f.silent = c.server
		return errAgain
	}
	return err
}

func (f *following) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return f.dialer.connect(ctx)
}
