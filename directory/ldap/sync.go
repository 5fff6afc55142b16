package ldap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
)

var (
	errNoSync  = errors.New("the server has no content synchronisation")
	errEnded   = errors.New("the server ended the search")
	errUnknown = errors.New("the server says that an entry is unchanged that it never sent")
)

// syncing is one search with content synchronisation (RFC 4533), in its refresh stage first and
// its persist stage then.
type syncing struct {
	*following
	draft   *draft // of the refresh; nil in the persist stage
	newest  []byte // cookie, of which not all may be in the content yet
	pending *directory.Update
	within  parts // pending's
	flush   *time.Timer
	waiting bool // for flush
}

// message is one of the search's, or why there are no more.
type message struct {
	entry    *ldap.Entry
	controls []ldap.Control
	err      error
}

// sync follows until the connection is lost, errAgain, or ctx is done.
func (f *following) sync(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithCancel(ctx)
	messages := make(chan message)
	var running sync.WaitGroup
	defer running.Wait()
	defer c.close()
	defer cancel()
	mode := ldap.SyncRequestModeRefreshAndPersist
	response := c.ldap.Syncrepl(ctx, f.search.request(f.filter, 0), 64, mode, f.cookie, false)
	running.Go(func() { pump(ctx, response, messages) })
	running.Go(func() { f.alive(ctx, c, messages) })

	s := &syncing{following: f, draft: f.content.draft(), flush: time.NewTimer(spacing)}
	s.flush.Stop()
	defer s.flush.Stop()
	s.draft.prune = f.cookie == nil
	if err := s.run(ctx, messages); err != nil {
		return s.judge(fmt.Errorf("%s: %w", c.server.url, err))
	}
	return nil
}

// judge turns an end into what has to come of it.
func (s *syncing) judge(err error) error {
	s.abandon()
	var no *refusal
	switch {
	case errors.Is(err, errAgain):
		return errAgain
	case refusedWith(err, ldap.LDAPResultUnavailableCriticalExtension):
		return errNoSync
	case s.cookie != nil && (errors.As(err, &no) || errors.Is(err, errUnknown)):
		s.cookie = nil
		return errAgain
	}
	return err
}

// pump hands on what the server sends. go-ldap ends a search without a word where its connection does.
func pump(ctx context.Context, r ldap.Response, messages chan<- message) {
	for r.Next() {
		if !hand(ctx, messages, message{entry: r.Entry(), controls: r.Controls()}) {
			return
		}
	}
	err := explain(r.Err())
	if err == nil {
		err = errEnded
	}
	hand(ctx, messages, message{err: err})
}

func hand(ctx context.Context, messages chan<- message, m message) bool {
	select {
	case messages <- m:
		return true
	case <-ctx.Done():
		return false
	}
}

// alive tries the connection now and then. A server that hangs keeps it open and says nothing, and the
// directory would be old without knowing it.
func (f *following) alive(ctx context.Context, c *conn, messages chan<- message) {
	beat := time.NewTicker(f.beat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		if err := f.probe(ctx, c); err != nil {
			c.server.failed()
			hand(ctx, messages, message{err: fmt.Errorf("the server says nothing any more: %w", err)})
			return
		}
	}
}

// probe reads the root entry, without attributes. Any answer will do.
func (f *following) probe(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithTimeout(ctx, max(f.timeout, f.beat))
	defer cancel()
	_, err := c.search(ctx, &ldap.SearchRequest{Filter: "(objectClass=*)", Attributes: []string{"1.1"}})
	var lost *lostError
	if errors.As(err, &lost) {
		return err
	}
	return nil
}

// run never waits to be heard: a server that can't get rid of its messages would look dead.
func (s *syncing) run(ctx context.Context, messages <-chan message) error {
	for {
		var up chan<- directory.Update
		var u directory.Update
		if s.pending != nil {
			up, u = s.up, *s.pending
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.look:
			return errAgain
		case m := <-messages:
			if err := s.take(m); err != nil {
				return err
			}
		case <-s.flush.C:
			s.waiting = false
			s.prepare()
		case up <- u:
			s.content.sent(u)
			s.pending = nil
			s.schedule()
		}
	}
}

// schedule has changes sent soon, many at once, and at most twice a second.
func (s *syncing) schedule() {
	if s.draft != nil || s.waiting || s.pending != nil || !s.content.changed {
		return
	}
	s.waiting = true
	s.flush.Reset(max(settle, spacing-time.Since(s.updated)))
}

// prepare makes the next update, if the last one was taken.
func (s *syncing) prepare() {
	if s.pending != nil || s.draft != nil {
		return
	}
	u, in := s.content.update()
	s.pending, s.within, s.updated = &u, in, time.Now()
}

// abandon leaves an update that nobody took to the next session.
func (s *syncing) abandon() {
	if s.pending != nil {
		s.content.kept(s.within)
	}
}
