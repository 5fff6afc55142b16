package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/directory"
	"postern/directory/mapfile"
)

// maxTries bounds how often a change is tried anew because somebody else was faster. Each time at least
// one other got through, so that many are needed only where many write.
const maxTries = 200

var errUnfinished = errors.New("an import is under way, or was interrupted: finish it first")

// Set changes one mailbox's entry, or makes it, and returns what was before. Only its line is written anew. change is asked
// again where somebody else was faster, with what is there by then; where it returns
// what is there already, nothing is written.
//
// That is how mailboxes are assigned by many at once: a change that keeps what exists makes
// the first come the owner, and tells all others.
func (s *Store) Set(ctx context.Context, address string, change mapfile.Change) (before directory.Value, existed bool, err error) {
	name, err := s.canonical(address)
	if err != nil {
		return before, false, err
	}
	for try := range maxTries {
		result, done, err := s.trySet(ctx, name, change)
		if err != nil || done {
			return result.Before, result.Existed, err
		}
		longest := time.Duration(min(try+1, 20)) * 5 * time.Millisecond
		if !sleep(ctx, rand.N(longest)) {
			return before, false, ctx.Err()
		}
	}
	return before, false, fmt.Errorf("setting %s: others changed the same key %d times in a row", name, maxTries)
}

func (s *Store) trySet(ctx context.Context, address string, change mapfile.Change) (r mapfile.Rewritten, done bool, err error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return r, false, err
	}
	pair, err := s.place(ctx, layoutOf(s.prefix, keys), address)
	if err != nil {
		return r, false, err
	}
	value, r, err := s.rewrite(pair, address, change)
	if err != nil || !r.Changed {
		return r, true, err
	}
	done, err = s.put(ctx, pair.Key, value, pair.ModifyIndex)
	return r, done, err
}

// place returns the key that holds an address, else the one where it belongs.
func (s *Store) place(ctx context.Context, l layout, address string) (*api.KVPair, error) {
	candidates := l.byHand
	shard := ""
	if len(l.generations) > 0 {
		g := l.generations[0]
		if len(l.generations) > 1 || !g.complete() {
			return nil, errUnfinished
		}
		shard = g.keys[shardOf(address, g.count)]
		candidates = append(candidates, shard)
	}
	pairs, holds, err := s.search(ctx, candidates, address)
	if err != nil {
		return nil, err
	}
	var holders []string
	var place *api.KVPair
	for i, pair := range pairs {
		switch {
		case holds[i]:
			holders, place = append(holders, label(pair.Key)), pair
		case place == nil && pair != nil && (pair.Key == shard || shard == "" && len(l.byHand) == 1):
			place = pair
		}
	}
	switch {
	case len(holders) > 1:
		return nil, fmt.Errorf("%s is in several keys: %s; take it out of all but one", address, strings.Join(holders, ", "))
	case place != nil:
		return place, nil
	case shard != "":
		return nil, errUnfinished // it was there when the keys were listed
	case len(l.byHand) > 1:
		return nil, fmt.Errorf("%s is in none of %d keys, and which of them it belongs to, people decide: put it there by hand, or import all into shards", address, len(l.byHand))
	}
	key := shardKey(s.prefix, 0, 1)
	return &api.KVPair{Key: key, Value: compose(0, 1, nil)}, nil
}

// search reads keys and tells which hold an address. What one with a fault holds, nobody can tell.
func (s *Store) search(ctx context.Context, keys []string, address string) ([]*api.KVPair, []bool, error) {
	pairs, holds, faults := make([]*api.KVPair, len(keys)), make([]bool, len(keys)), make([]error, len(keys))
	s.inParallel(len(keys), func(i int) {
		pair, err := s.get(ctx, keys[i])
		if err != nil || pair == nil || isFolder(pair) {
			faults[i] = err
			return
		}
		if cutShort(pair.Value) {
			_, faults[i] = parse(pair.Key, pair.Value, s.defaultDomain)
			return
		}
		pairs[i] = pair
		table, err := mapfile.Read(bytes.NewReader(pair.Value),
			mapfile.Options{File: label(keys[i]), DefaultDomain: s.defaultDomain, Only: []string{address}})
		if faults[i] = err; err == nil {
			_, holds[i] = table.Get(address)
		}
	})
	return pairs, holds, join(faults)
}

// rewrite returns a key's value with the entry changed. A shard's last line stays the last.
func (s *Store) rewrite(pair *api.KVPair, address string, change mapfile.Change) ([]byte, mapfile.Rewritten, error) {
	body, end := pair.Value, []byte(nil)
	if bytes.HasPrefix(body, []byte(firstLine)) {
		body, end = bytes.TrimSuffix(body, []byte(lastLine)), []byte(lastLine)
	}
	var value bytes.Buffer
	r, err := mapfile.Rewrite(&value, bytes.NewReader(body),
		mapfile.Options{File: label(pair.Key), DefaultDomain: s.defaultDomain}, address, change)
	if err != nil {
		return nil, r, err
	}
	value.Write(end)
	if value.Len() > maxEdited && value.Len() > len(pair.Value) {
		return nil, r, fmt.Errorf("key %s is full with %d octets: import all again, into more shards", label(pair.Key), len(pair.Value))
	}
	return value.Bytes(), r, nil
}
