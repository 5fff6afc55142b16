package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"postern/directory"
	"postern/directory/mapfile"
)

// Store reads and changes what is below a prefix. Several may, in several processes: each change is
// a check-and-set. It asks the leader, not any server.
type Store struct {
	client        *Client
	prefix        string
	defaultDomain string
}

// NewStore returns a store. It asks nothing yet.
func NewStore(o Options) (*Store, error) {
	client, prefix, domain, err := o.prepare()
	if err != nil {
		return nil, err
	}
	return &Store{client: client, prefix: prefix, defaultDomain: domain}, nil
}

// Close ends the connections that are kept.
func (s *Store) Close() { s.client.Close() }

// Groups reads all keys, each as the group that a source makes of it, in the order of their names.
func (s *Store) Groups(ctx context.Context) ([]directory.Group, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	groups, faults := make([]directory.Group, len(keys)), make([]error, len(keys))
	s.inParallel(len(keys), func(i int) {
		pair, err := s.get(ctx, keys[i])
		groups[i].Name, faults[i] = keys[i], err
		if pair != nil && !isFolder(pair) {
			groups[i].Table, faults[i] = parse(pair.Key, pair.Value, s.defaultDomain)
		}
	})
	if err := join(faults); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(groups, func(g directory.Group) bool { return g.Table == nil }), nil
}

// Export writes all entries as one map file, each address once: of an address that is in several keys, the
// first by the keys' names counts, as it does for the gateway, and the others become comments.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	groups, err := s.Groups(ctx)
	if err != nil {
		return err
	}
	written := directory.NewBuilder("")
	var text []byte
	for _, group := range groups {
		text = append(append(append(text[:0], "# "...), label(group.Name)...), '\n')
		for address, v := range group.Table.All() {
			if err := written.Add([]byte(address), v); errors.Is(err, directory.ErrDuplicate) {
				text = append(text, "# again: "...)
			} else if err != nil {
				return err
			}
			text = append(mapfile.Append(text, address, v), '\n')
		}
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
	}
	return nil
}

// keys returns the names of all keys but folders, sorted.
func (s *Store) keys(ctx context.Context) ([]string, error) {
	r, err := s.client.once(ctx, query{piece: piece{name: s.prefix, all: true}, names: true}, false)
	if err != nil {
		return nil, err
	}
	slices.Sort(r.names)
	return r.names, nil
}

// get returns a key, nil where there is none.
func (s *Store) get(ctx context.Context, key string) (*api.KVPair, error) {
	if !plain(key) {
		pairs, err := s.client.fetchAwkward(ctx, []string{key})
		if err != nil || len(pairs) == 0 {
			return nil, err
		}
		return pairs[0], nil
	}
	r, err := s.client.once(ctx, query{piece: piece{name: key}}, false)
	if err != nil || len(r.pairs) == 0 {
		return nil, err
	}
	return r.pairs[0], nil
}

// put writes a key if it is still as it was at this index; 0: if there still is none.
func (s *Store) put(ctx context.Context, key string, value []byte, index uint64) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	pair := &api.KVPair{Key: key, Value: value, ModifyIndex: index}
	if !plain(key) {
		return false, fmt.Errorf("key %s has a name that Consul can't be asked for: rename it", label(key))
	}
	done, _, err = s.client.KV().CAS(pair, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", label(key), s.client.failed(err))
	}
	return done, nil
}

// inParallel runs work for 0 to n-1, a few at a time.
func (s *Store) inParallel(n int, work func(i int)) {
	tokens := make(chan struct{}, parallel)
	var working sync.WaitGroup
	for i := range n {
		tokens <- struct{}{}
		working.Go(func() {
			work(i)
			<-tokens
		})
	}
	working.Wait()
}

// join returns the first faults of many as one error, each text once.
func join(faults []error) error {
	faults = slices.DeleteFunc(slices.Clone(faults), func(err error) bool { return err == nil })
	slices.SortStableFunc(faults, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	faults = slices.CompactFunc(faults, func(a, b error) bool { return a.Error() == b.Error() })
	if more := len(faults) - maxFaults; more > 0 {
		faults = append(faults[:maxFaults], fmt.Errorf("and %d more", more))
	}
	return errors.Join(faults...)
}

// canonical returns an address as entries have it.
func (s *Store) canonical(address string) (string, error) {
	name, err := directory.AppendAddress(nil, []byte(address), s.defaultDomain)
	if err != nil {
		return "", fmt.Errorf("address %.80q: %w", strings.TrimSpace(address), err)
	}
	return string(name), nil
}
