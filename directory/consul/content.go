package consul

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/hashicorp/consul/api"

	"postern/directory"
	"postern/directory/mapfile"
)

// maxValue bounds a key's value in octets. Consul itself takes 512 KiB, unless told otherwise.
const maxValue = 4 << 20

// content is what a key's value turned out to be.
type content struct {
	sum   uint64
	table *directory.Table // nil with err
	err   error
}

// reader turns values into tables. It remembers the last of each key, since answers hold much that
// is known already: all of it after a time-out, all other keys of a shared query.
type reader struct {
	defaultDomain string
	seed          maphash.Seed

	mu    sync.Mutex
	known map[string]content
}

func newReader(defaultDomain string) *reader {
	return &reader{defaultDomain: defaultDomain, seed: maphash.MakeSeed(), known: make(map[string]content)}
}

// read returns what a pair holds. ModifyIndex would not do to tell whether that is known: after a restore
// the same number stands for another value.
func (r *reader) read(pair *api.KVPair) content {
	sum := maphash.Bytes(r.seed, pair.Value)
	r.mu.Lock()
	c, found := r.known[pair.Key]
	r.mu.Unlock()
	if found && c.sum == sum {
		return c
	}
	c = content{sum: sum}
	c.table, c.err = parse(pair.Key, pair.Value, r.defaultDomain)
	r.mu.Lock()
	r.known[pair.Key] = c
	r.mu.Unlock()
	return c
}

func (r *reader) forget(key string) {
	r.mu.Lock()
	delete(r.known, key)
	r.mu.Unlock()
}

// parse reads a key's value. What is wrong with it is told as KEY:LINE:COLUMN.
func parse(key string, value []byte, defaultDomain string) (*directory.Table, error) {
	if len(value) > maxValue {
		return nil, fmt.Errorf("%s:1:1: a value of %d octets, at most %d are read", label(key), len(value), maxValue)
	}
	if cutShort(value) {
		return nil, fmt.Errorf("%s:%d:1: the shard's last line is missing: the value was cut short", label(key), bytes.Count(value, newline)+1)
	}
	table, err := mapfile.Read(bytes.NewReader(value), mapfile.Options{File: label(key), DefaultDomain: defaultDomain})
	if _, ok := errors.AsType[*mapfile.Faults](err); err != nil && !ok {
		return nil, fmt.Errorf("key %s: %w", label(key), err)
	}
	return table, err
}

// label makes a key's name fit for a log: names may hold anything.
func label(key string) string {
	quoted := fmt.Sprintf("%.300q", key)
	if bare := quoted[1 : len(quoted)-1]; bare == key {
		return key
	}
	return quoted
}
