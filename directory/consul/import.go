package consul

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/consul/api"

	"postern/directory"
	"postern/directory/mapfile"
)

// Progress tells how far an import is, in shards.
type Progress struct {
	Shards   int // of this import
	Entries  int // in them
	Written  int
	Same     int // were there already, as in an import that is taken up again
	Verified int
	Removed  int // of an earlier import
}

// Import makes the shards hold these entries, and touches no other key. Each address is there once.
//
// No mailbox that was there before and is there afterwards is ever missing: a shard is replaced as a
// whole, and shards of an earlier import of another number go last, when all of the new ones
// were read back. Until then a mailbox is in both, and the key first by name counts. Each write is a
// check-and-set; who changes a shard meanwhile makes the import fail, and it may be run again. What is there
// already is not written again.
//
// progress, if given, is called after each step, never twice at once.
func (s *Store) Import(ctx context.Context, entries iter.Seq2[string, directory.Value], progress func(Progress)) (Progress, error) {
	l, err := s.gather(entries)
	if err != nil {
		return Progress{}, err
	}
	i := &importing{Store: s, lines: l, report: progress, done: Progress{Entries: len(l.hashes)}}
	if err := i.prepare(ctx); err != nil {
		return i.done, err
	}
	for _, step := range []func(context.Context) error{i.write, i.verify, i.remove} {
		if err := step(ctx); err != nil {
			return i.done, err
		}
	}
	return i.done, nil
}

// lines are all entries as lines of map file, one behind the other.
type lines struct {
	text   []byte
	ends   []int
	hashes []uint64 // of the addresses
}

func (s *Store) gather(entries iter.Seq2[string, directory.Value]) (*lines, error) {
	l := &lines{}
	check := directory.NewBuilder("")
	for typed, v := range entries {
		address, err := s.canonical(typed)
		if err == nil {
			err = check.Add([]byte(address), v)
		}
		if err != nil {
			return nil, fmt.Errorf("importing: %w", err)
		}
		l.text = append(mapfile.Append(l.text, address, v), '\n')
		l.ends = append(l.ends, len(l.text))
		l.hashes = append(l.hashes, hash(address))
	}
	return l, nil
}

// divide tells which lines each of count shards gets, and the octets of the largest.
func (l *lines) divide(count int) (shards [][]int32, largest int) {
	shards = make([][]int32, count)
	sizes := make([]int, count)
	start := 0
	for i, end := range l.ends {
		at := l.hashes[i] % uint64(count)
		shards[at] = append(shards[at], int32(i))
		sizes[at] += end - start
		start = end
	}
	return shards, slices.Max(sizes) + len(compose(count, count, nil))
}

func (l *lines) shard(number, count int, of []int32) []byte {
	shard := make([][]byte, len(of))
	for i, line := range of {
		start := 0
		if line > 0 {
			start = l.ends[line-1]
		}
		shard[i] = l.text[start:l.ends[line]]
	}
	return compose(number, count, shard)
}

// importing is one Import.
type importing struct {
	*Store
	lines  *lines
	report func(Progress)
	shards [][]int32
	old    map[string]uint64 // shards of earlier imports, with the index of what is known of them

	mu   sync.Mutex // over what follows
	done Progress
}

// prepare decides on the number of shards. One that is there is kept if it does: then shards are replaced
// in place, and an import that was interrupted is taken up.
func (i *importing) prepare(ctx context.Context) error {
	keys, err := i.keys(ctx)
	if err != nil {
		return err
	}
	there := layoutOf(i.prefix, keys)
	count := shardCount(len(i.lines.text))
	for _, g := range there.generations {
		if _, largest := i.lines.divide(g.count); largest <= maxShard && g.count <= 2*count && count <= 2*g.count {
			count = g.count
		}
	}
	for {
		var largest int
		if i.shards, largest = i.lines.divide(count); largest <= maxShard {
			break
		}
		count += count/8 + 1
	}
	i.done.Shards, i.old = count, make(map[string]uint64)
	for _, g := range there.generations {
		if g.count == count {
			continue
		}
		for _, key := range g.keys {
			pair, err := i.get(ctx, key)
			if err != nil {
				return err
			}
			if pair != nil {
				i.old[key] = pair.ModifyIndex
			}
		}
	}
	return nil
}

func (i *importing) key(number int) string { return shardKey(i.prefix, number, len(i.shards)) }

func (i *importing) value(number int) []byte {
	return i.lines.shard(number, len(i.shards), i.shards[number])
}

func (i *importing) write(ctx context.Context) error {
	return i.each(ctx, func(number int) (func(*Progress), error) {
		pair, err := i.get(ctx, i.key(number))
		if err != nil {
			return nil, err
		}
		value, index := i.value(number), uint64(0)
		if pair != nil {
			if bytes.Equal(pair.Value, value) {
				return func(p *Progress) { p.Same++ }, nil
			}
			index = pair.ModifyIndex
		}
		written, err := i.put(ctx, i.key(number), value, index)
		if err == nil && !written {
			err = i.changed(i.key(number))
		}
		return func(p *Progress) { p.Written++ }, err
	})
}

// verify reads all shards back before anything is removed.
func (i *importing) verify(ctx context.Context) error {
	return i.each(ctx, func(number int) (func(*Progress), error) {
		pair, err := i.get(ctx, i.key(number))
		if err == nil && (pair == nil || !bytes.Equal(pair.Value, i.value(number))) {
			err = i.changed(i.key(number))
		}
		return func(p *Progress) { p.Verified++ }, err
	})
}

// remove removes the shards of earlier imports, unless somebody changed them meanwhile.
func (i *importing) remove(ctx context.Context) error {
	for _, key := range slices.Sorted(maps.Keys(i.old)) {
		pair := &api.KVPair{Key: key, ModifyIndex: i.old[key]}
		removed, _, err := i.client.KV().DeleteCAS(pair, (&api.WriteOptions{}).WithContext(ctx))
		if err != nil {
			return fmt.Errorf("removing %s: %w", label(key), i.client.failed(err))
		}
		if !removed {
			return i.changed(key)
		}
		i.step(func(p *Progress) { p.Removed++ })
	}
	return nil
}

func (i *importing) changed(key string) error {
	return fmt.Errorf("key %s was changed by somebody else during the import: see what they changed, then import again", label(key))
}

// each works on all shards, a few at a time, until one fails.
func (i *importing) each(ctx context.Context, work func(number int) (func(*Progress), error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	i.inParallel(len(i.shards), func(number int) {
		if ctx.Err() != nil {
			return
		}
		step, err := work(number)
		if err != nil {
			cancel(err)
			return
		}
		i.step(step)
	})
	return context.Cause(ctx)
}

func (i *importing) step(count func(*Progress)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	count(&i.done)
	if i.report != nil {
		i.report(i.done)
	}
}
