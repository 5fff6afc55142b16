package directory

import (
	"fmt"
	"strings"

	"github.com/hashicorp/go-memdb"

	"postern/backend"
)

// snapshot is what Locate reads: mailboxes and backends as of one commit. It is
// never changed, only replaced.
type snapshot struct{ sources []sourceView } // in the configured order

type sourceView struct {
	name   string
	ready  bool // its first load has happened
	groups []*groupView
}

// groupView is a group's table with its backend values resolved. There are a few
// hundred values for millions of entries, so a lookup only takes one by its number.
type groupView struct {
	table    *Table
	backends []*backend.Target // by the table's numbers; nil: no such backend
}

// locate looks a canonical mailbox up. An earlier source wins over a later one in
// whatever it says; within a source the mailbox's own entry wins over its domain's.
func (s *snapshot) locate(mailbox, typed string) (Route, error) {
	domain := ""
	if at := strings.LastIndexByte(mailbox, '@'); at >= 0 {
		domain = mailbox[at:]
	}
	for i := range s.sources {
		source := &s.sources[i]
		if !source.ready {
			return Route{}, fmt.Errorf("source %s: %w", source.name, ErrNotReady)
		}
		for _, entry := range [...]string{mailbox, domain} {
			if group, e, ok := source.find(entry); ok {
				return group.route(e, Route{Mailbox: mailbox, Source: source.name, Entry: entry}, typed)
			}
		}
	}
	return Route{}, ErrUnknown
}

// find asks the source's groups by their names' order.
func (s *sourceView) find(entry string) (*groupView, packed, bool) {
	for _, group := range s.groups {
		if e, ok := group.table.find(entry); ok {
			return group, e, true
		}
	}
	return nil, packed{}, false
}

// route completes an answer from the entry that was found.
func (g *groupView) route(e packed, r Route, typed string) (Route, error) {
	r.State, r.Backend = e.state, g.backends[e.backend]
	if r.Backend == nil {
		return Route{}, &NoBackendError{Mailbox: r.Mailbox, Entry: r.Entry, Backend: g.table.backends[e.backend], Source: r.Source}
	}
	login, err := loginName(e.login, r.Backend.Login, r.Mailbox, typed)
	if err != nil {
		return Route{}, err
	}
	r.Login = login
	return r, nil
}

// publish makes the next snapshot from what txn holds and lets Locate see it. Views of
// tables that stayed are kept where the backends did too. The caller holds d.mu and commits.
func (d *Directory) publish(txn *memdb.Txn, sameBackends bool) error {
	rows, err := groupRows(txn)
	if err != nil {
		return err
	}
	next := &snapshot{sources: make([]sourceView, len(d.followers))}
	kept := make(map[*Table]*groupView)
	for i, f := range d.followers {
		next.sources[i] = sourceView{name: f.name, ready: d.ready[i]}
		if sameBackends {
			for _, view := range d.current.Load().sources[i].groups {
				kept[view.table] = view
			}
		}
	}
	resolved := make(map[string]*backend.Target)
	for _, row := range rows {
		view := kept[row.Table]
		if view == nil {
			if view, err = d.resolve(txn, row.Table, resolved); err != nil {
				return err
			}
		}
		source := &next.sources[row.Order]
		source.groups = append(source.groups, view)
	}
	d.current.Store(next)
	return nil
}

// resolve finds the backends that a table names. What was found before is in resolved.
func (d *Directory) resolve(txn *memdb.Txn, table *Table, resolved map[string]*backend.Target) (*groupView, error) {
	view := &groupView{table: table, backends: make([]*backend.Target, len(table.backends))}
	for number, value := range table.backends {
		target, seen := resolved[value]
		if !seen {
			var err error
			if target, err = d.match(txn, value); err != nil {
				return nil, err
			}
			resolved[value] = target
		}
		view.backends[number] = target
	}
	return view, nil
}
