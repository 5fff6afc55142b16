package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// conn is a connection to one server. Whoever has it closes it, or gives it back to its pool.
type conn struct {
	ldap   *ldap.Conn
	raw    net.Conn
	server *server
	born   time.Time
	spent  atomic.Bool // it was closed from outside
	frames *frames
}

func newConn(raw, stream net.Conn, s *server) *conn {
	c := &conn{raw: raw, server: s, born: time.Now(), frames: newFrames(stream)}
	c.ldap = ldap.NewConn(c.frames, raw != stream)
	c.ldap.Start()
	return c
}

// during lets ask talk on the connection until ctx is done. Then the socket is closed, which ends whatever
// ask waits for.
func (c *conn) during(ctx context.Context, ask func() error) error {
	stop := context.AfterFunc(ctx, func() {
		c.spent.Store(true)
		_ = c.raw.Close()
	})
	err := explain(ask())
	if !stop() && err != nil {
		return &lostError{ctx.Err()}
	}
	return err
}

// search asks once. Of search references it takes no notice: where they lead, nobody was told to trust.
func (c *conn) search(ctx context.Context, r *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var result *ldap.SearchResult
	err := c.during(ctx, func() (err error) {
		result, err = c.ldap.Search(r)
		return err
	})
	return result, err
}

func (c *conn) isSpent() bool { return c.spent.Load() || c.ldap.IsClosing() }

// close ends the connection. The socket goes first, or a server that takes nothing any more would be waited for.
func (c *conn) close() {
	c.spent.Store(true)
	_ = c.raw.Close()
	_ = c.ldap.Close()
}

// refusal is a server's own word that it won't do what it was asked.
type refusal struct {
	code uint16
	text string
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("the server answers %d (%s)", e.code, ldap.LDAPResultCodeMap[e.code])
	if e.text != "" {
		text += fmt.Sprintf(": %.200q", e.text)
	}
	return text
}

// lostError says that a connection gave no answer. Another one may.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// explain turns go-ldap's errors into ours. Theirs carry whole messages along, and texts of any length.
func explain(err error) error {
	var fault *ldap.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &fault):
		return &lostError{fmt.Errorf("the connection is lost: %.300s", err.Error())}
	case fault.ResultCode >= ldap.ErrorNetwork && fault.ResultCode < ldap.LDAPResultSyncRefreshRequired:
		return &lostError{fmt.Errorf("the connection is lost: %.300s", fault.Err.Error())}
	}
	text := ""
	if fault.Err != nil {
		text = fault.Err.Error()
	}
	return &refusal{code: fault.ResultCode, text: text}
}

// refusedWith tells whether a server said no with one of the codes.
func refusedWith(err error, codes ...uint16) bool {
	var r *refusal
	return errors.As(err, &r) && slices.Contains(codes, r.code)
}
