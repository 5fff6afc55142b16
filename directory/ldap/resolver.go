package ldap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
)

// Resolver asks LDAP servers for one mailbox at a time. It implements directory.Resolver.
type Resolver struct {
	search  search
	filter  template
	timeout time.Duration
	pool    *pool
}

// NewResolver returns a resolver that has not yet connected to anything. An error is the configuration's.
func NewResolver(o Options) (*Resolver, error) {
	s, err := o.search()
	if err != nil {
		return nil, err
	}
	filter, err := newTemplate(o.Filter)
	if err != nil {
		return nil, err
	}
	d, err := newDialer(o)
	if err != nil {
		return nil, err
	}
	return &Resolver{
		search: s, filter: filter, timeout: o.timeout(),
		pool: newPool(d, cmp.Or(max(o.MaxConnections, 0), defaultConnections)),
	}, nil
}

// Close implements directory.Resolver.
func (r *Resolver) Close() error {
	r.pool.close()
	return nil
}

// Resolve implements directory.Resolver.
func (r *Resolver) Resolve(ctx context.Context, m directory.Mailbox) (directory.Value, error) {
	filter, ok := r.filter.fill(m)
	if !ok {
		return directory.Value{}, directory.ErrUnknown
	}
	entries, err := r.ask(ctx, filter)
	if err != nil {
		return directory.Value{}, fmt.Errorf("asking ldap: %w", err)
	}
	v, err := r.answer(entries)
	if err != nil && !errors.Is(err, directory.ErrUnknown) {
		err = fmt.Errorf("asking ldap for %.80q: %w", m.Address, err)
	}
	return v, err
}

// answer makes one answer of the entries. Two that say the same are one mailbox's for us; of two that differ,
// either could be the wrong one.
func (r *Resolver) answer(entries []*ldap.Entry) (directory.Value, error) {
	var answer directory.Value
	for i, e := range entries {
		v, err := r.search.attributes.value(e)
		if err != nil {
			return directory.Value{}, named(e.DN, err)
		}
		if i > 0 && v != answer {
			return directory.Value{}, fmt.Errorf("entries %.200q and %.200q differ", entries[0].DN, e.DN)
		}
		answer = v
	}
	if len(entries) == 0 {
		return directory.Value{}, directory.ErrUnknown
	}
	return answer, nil
}

// ask has the question answered within the time-out. Where a connection gives no answer, the question
// is asked once more on a new one, for which half of the time is left.
func (r *Resolver) ask(ctx context.Context, filter string) ([]*ldap.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	end, ctx, err := r.pool.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	entries, err := r.first(ctx, filter)
	var lost *lostError
	if !errors.As(err, &lost) || ctx.Err() != nil {
		return entries, err
	}
	c, err := r.pool.dialer.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", lost, err)
	}
	return r.use(ctx, c, filter)
}

// first asks on a connection that was kept, if there is one. Only what was lost on the way to
// an answer is a lostError; servers that can't be reached were all tried by then.
func (r *Resolver) first(ctx context.Context, filter string) ([]*ldap.Entry, error) {
	ctx, cancel := portion(ctx, 2)
	defer cancel()
	c := r.pool.kept()
	if c == nil {
		var err error
		if c, err = r.pool.dialer.connect(ctx); err != nil {
			return nil, err
		}
	}
	return r.use(ctx, c, filter)
}

// maxEntries is one more than an answer needs.
const maxEntries = 2

// use asks on a connection and keeps it where it is still good.
func (r *Resolver) use(ctx context.Context, c *conn, filter string) ([]*ldap.Entry, error) {
	c.frames.bound()
	result, err := c.search(ctx, r.search.request(filter, maxEntries))
	switch {
	case errors.Is(err, context.DeadlineExceeded), refusedWith(err, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable):
		c.server.failed() // a server that hangs or goes down
		c.close()
		return nil, &lostError{fmt.Errorf("%s: %w", c.server.url, err)}
	case refusedWith(err, ldap.LDAPResultSizeLimitExceeded):
		err = errors.New("the filter matches more than two entries")
	case err != nil:
		err = fmt.Errorf("%s: %w", c.server.url, err)
	}
	r.pool.give(c)
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}
