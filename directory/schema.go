package directory

import (
	"fmt"

	"github.com/hashicorp/go-memdb"

	"postern/backend"
)

const (
	tableGroups   = "groups"
	tableBackends = "backends"
	indexID       = "id" // memdb wants this name
	indexKey      = "key"
)

// groupRow is one group of one source, by the source's place in the configured
// order: reading the table from its start is reading in the order of search.
//
// memdb keeps rows by pointer and copies nothing. A row that was changed after its
// insertion, or even after its deletion, would change under the feet of every reader
// of an older snapshot; so rows are built once and never touched again.
type groupRow struct {
	Order uint32
	Name  string
	Table *Table
}

// backendRow is one backend, with every key by which an entry may name it.
type backendRow struct {
	Name   string
	Keys   []string
	Target *backend.Target
}

func newDB() (*memdb.MemDB, error) {
	db, err := memdb.NewMemDB(&memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
		tableGroups: {Name: tableGroups, Indexes: map[string]*memdb.IndexSchema{
			indexID: {Name: indexID, Unique: true, Indexer: &memdb.CompoundIndex{Indexes: []memdb.Indexer{
				&memdb.UintFieldIndex{Field: "Order"}, &memdb.StringFieldIndex{Field: "Name"},
			}}},
		}},
		tableBackends: {Name: tableBackends, Indexes: map[string]*memdb.IndexSchema{
			indexID:  {Name: indexID, Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Name"}},
			indexKey: {Name: indexKey, Unique: true, Indexer: &memdb.StringSliceFieldIndex{Field: "Keys"}},
		}},
	}})
	if err != nil {
		return nil, fmt.Errorf("making the directory's tables: %w", err)
	}
	return db, nil
}

// groupRows returns all groups in the order of search.
func groupRows(txn *memdb.Txn) ([]*groupRow, error) {
	found, err := txn.Get(tableGroups, indexID)
	if err != nil {
		return nil, fmt.Errorf("reading groups: %w", err)
	}
	var rows []*groupRow
	for row := found.Next(); row != nil; row = found.Next() {
		rows = append(rows, row.(*groupRow))
	}
	return rows, nil
}

// writeGroups makes a source's groups those in want and touches nothing else.
func writeGroups(txn *memdb.Txn, order uint32, want map[string]*Table) error {
	rows, err := groupRows(txn)
	if err != nil {
		return err
	}
	there := make(map[string]*Table)
	for _, row := range rows {
		if row.Order != order {
			continue
		}
		there[row.Name] = row.Table
		if want[row.Name] == nil {
			if err := txn.Delete(tableGroups, row); err != nil {
				return fmt.Errorf("deleting group %s: %w", row.Name, err)
			}
		}
	}
	for name, table := range want {
		if there[name] == table {
			continue
		}
		if err := txn.Insert(tableGroups, &groupRow{Order: order, Name: name, Table: table}); err != nil {
			return fmt.Errorf("inserting group %s: %w", name, err)
		}
	}
	return nil
}

// writeBackends replaces all backends. memdb overwrites where a unique index is
// hit twice, so the rows' keys must not collide.
func writeBackends(txn *memdb.Txn, rows []*backendRow) error {
	if _, err := txn.DeleteAll(tableBackends, indexID); err != nil {
		return fmt.Errorf("deleting backends: %w", err)
	}
	for _, row := range rows {
		if err := txn.Insert(tableBackends, row); err != nil {
			return fmt.Errorf("inserting backend %s: %w", row.Name, err)
		}
	}
	return nil
}

// backendByKey returns nil where no backend has the key.
func backendByKey(txn *memdb.Txn, key string) (*backend.Target, error) {
	row, err := txn.First(tableBackends, indexKey, key)
	if err != nil {
		return nil, fmt.Errorf("looking up backend %s: %w", key, err)
	}
	if row == nil {
		return nil, nil
	}
	return row.(*backendRow).Target, nil
}
