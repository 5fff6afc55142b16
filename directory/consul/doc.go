// Package consul is the source for map files in Consul's KV store: every key below a
// prefix, whatever its name, holds a piece of map file and is a group of its own.
//
// It answers for hearing of changes soon while moving few octets (split.go says which
// keys share a query), for believing only what may be believed (ask.go), and for editing
// what is there by check-and-set, so that several people and programs may (store.go).
//
// What stands in a key is the business of package mapfile; what becomes of it, and whether so
// large a loss may be true, of package directory.
package consul
