package directory

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"postern/backend"
)

// snapshot is what Locate reads: mailboxes and backends as of one commit. It is
// never changed, only replaced.
type snapshot struct{ sources []sourceView } // in the configured order

type sourceView struct {
	name   string
	ready  bool         // its first load has happened
	groups []*groupView // by their names' order
	// Of a source with more than fewGroups groups:
	index    *index
	numbered []*groupView // by the numbers in the index; nil: free
}

// fewGroups are searched one by one faster than an index is.
const fewGroups = 4

// groupView is a group's table with its backend values resolved. There are a few
// hundred values for millions of entries, so a lookup only takes one by its number.
type groupView struct {
	name     string
	number   int // in the source's index
	table    *Table
	backends []*backend.Target // by the table's numbers; nil: no such backend
}

// find looks for an entry. Where several groups have it, the first by name answers.
func (s *sourceView) find(entry string) (*groupView, packed, bool) {
	hash := maphash.String(seed, entry)
	if s.index == nil {
		for _, group := range s.groups {
			if e, ok := findHashed(group.table, entry, hash); ok {
				return group, e, true
			}
		}
		return nil, packed{}, false
	}
	var first *groupView
	var found packed
	for number := range s.index.groups(hash) {
		group := s.numbered[number]
		if first != nil && first.name <= group.name {
			continue
		}
		if e, ok := findHashed(group.table, entry, hash); ok {
			first, found = group, e
		}
	}
	return first, found, first != nil
}

// publish makes the next snapshot from what txn holds and lets Locate see it. Views of
// tables that stayed are kept where the backends did too. The caller holds d.mu and commits.
func (d *Directory) publish(txn *memdb.Txn, sameBackends bool) error {
	rows, err := groupRows(txn)
	if err != nil {
		return err
	}
	next := &snapshot{sources: make([]sourceView, len(d.followers))}
	resolve := resolution{dir: d, txn: txn, targets: make(map[string]*backend.Target), lists: make(map[*string][]*backend.Target)}
	for i, f := range d.followers {
		of := 0
		for of < len(rows) && rows[of].Order == f.order {
			of++
		}
		last := &d.current.Load().sources[i]
		view := sourceView{name: f.name, ready: d.ready[i]}
		if view.groups, err = last.next(rows[:of], sameBackends, &resolve); err != nil {
			return fmt.Errorf("source %s: %w", f.name, err)
		}
		if err := view.number(last); err != nil {
			return fmt.Errorf("source %s: %w", f.name, err)
		}
		next.sources[i], rows = view, rows[of:]
	}
	d.current.Store(next)
	return nil
}

// next returns the views of a source's groups, those from before where they are still true.
func (s *sourceView) next(rows []*groupRow, sameBackends bool, resolve *resolution) ([]*groupView, error) {
	groups := make([]*groupView, len(rows))
	for i, row := range rows {
		if at, ok := s.group(row.Name); ok && sameBackends && s.groups[at].table == row.Table {
			groups[i] = s.groups[at]
			continue
		}
		backends, err := resolve.list(row.Table.backends)
		if err != nil {
			return nil, err
		}
		groups[i] = &groupView{name: row.Name, table: row.Table, backends: backends}
	}
	return groups, nil
}

// group returns the place of a group by its name.
func (s *sourceView) group(name string) (int, bool) {
	return slices.BinarySearchFunc(s.groups, name, func(g *groupView, name string) int { return strings.Compare(g.name, name) })
}

// resolution finds the backends that tables name, each value and each list once: tables of one
// builder share their list, and so keep a lookup's targets in the processor's cache.
type resolution struct {
	dir     *Directory
	txn     *memdb.Txn
	targets map[string]*backend.Target
	lists   map[*string][]*backend.Target // by a list's first value
}

func (r *resolution) list(values []string) ([]*backend.Target, error) {
	if len(values) == 0 {
		return nil, nil
	}
	list := r.lists[&values[0]]
	if len(list) >= len(values) {
		return list[:len(values)], nil
	}
	list = make([]*backend.Target, len(values))
	for number, value := range values {
		target, seen := r.targets[value]
		if !seen {
			var err error
			if target, err = r.dir.match(r.txn, value); err != nil {
				return nil, err
			}
			r.targets[value] = target
		}
		list[number] = target
	}
	r.lists[&values[0]] = list
	return list, nil
}
