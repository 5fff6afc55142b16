package ldap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

const (
	pageSize = 500
	maxPages = 200_000 // a server whose cookies never end
)

var errNoEnd = errors.New("the server's pages have no end")

// searchAll reads everything in pages (RFC 2696) and sends what changed.
func (f *following) searchAll(ctx context.Context, c *conn) error {
	d := f.content.draft()
	d.prune = true
	if err := f.pages(ctx, c, d); err != nil {
		return fmt.Errorf("%s: %w", c.server.url, err)
	}
	d.commit()
	f.failing = 0
	u, in := f.content.update()
	if !f.send(ctx, u) {
		f.content.kept(in)
		return ctx.Err()
	}
	f.content.sent(u)
	return nil
}

func (f *following) pages(ctx context.Context, c *conn, d *draft) error {
	paging := ldap.NewControlPaging(pageSize)
	for range maxPages {
		result, err := f.page(ctx, c, paging)
		if err != nil {
			return err
		}
		for _, e := range result.Entries {
			sum := sha256.Sum256([]byte(e.DN))
			d.put(key(sum[:len(key{})]), e)
		}
		next, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 { // a server without the control sends everything, or refuses
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
	return errNoEnd
}

func (f *following) page(ctx context.Context, c *conn, paging *ldap.ControlPaging) (*ldap.SearchResult, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return c.search(ctx, f.search.request(f.filter, 0, paging))
}
