package consul

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// slack is what an answer may take on top of the time that Consul was asked to wait.
	slack = 60 * time.Second
	// maxAwkward bounds the keys that can't be watched by name.
	maxAwkward = 64
)

var (
	errNoIndex  = errors.New("the answer has no index: is that a Consul?")
	errFiltered = errors.New("the token may not read all keys below the prefix")
	errPast     = errors.New("a server without a leader answers from the past")
)

// query is one question, blocking where it has an index.
type query struct {
	piece
	names bool          // only the keys' names, of all that begin with name
	index uint64        // wait for news behind this one; 0: answer at once
	floor uint64        // the highest index that was seen
	wait  time.Duration // for news
}

// reply is Consul's answer to a query.
type reply struct {
	names []string
	pairs api.KVPairs
	index uint64
	meta  *api.QueryMeta
	sure  bool // the leader's
}

// ask decides which answers are believed.
//
// A query that waits takes any server's answer (stale), so that a cluster without a leader serves
// on. An index lower than one that was seen means that Consul was restored from a backup or wiped, or
// that a server lags behind; then, as at the start, the leader is asked from 0, and it alone may set the index
// back. Where there is no leader, any server's answer is taken as long as it isn't older.
//
// It never waits on 0: that would answer at once, for ever.
func (c *Client) ask(ctx context.Context, q query) (reply, error) {
	if q.index > 0 {
		r, err := c.once(ctx, q, true)
		if err != nil || r.index >= q.floor {
			return r, err
		}
		q.index = 0
	}
	r, err := c.once(ctx, q, false)
	if r.sure = err == nil; r.sure || ctx.Err() != nil || denied(err) {
		return r, err
	}
	r, staleErr := c.once(ctx, q, true)
	switch {
	case staleErr != nil:
		return reply{}, err
	case r.index < q.floor:
		return reply{}, c.failed(errPast)
	}
	return r, nil
}

// once asks one time.
func (c *Client) once(ctx context.Context, q query, stale bool) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, q.wait+q.wait/16+slack) // Consul adds up to a sixteenth
	defer cancel()
	options := (&api.QueryOptions{AllowStale: stale}).WithContext(ctx)
	if q.index > 0 {
		options.WaitIndex, options.WaitTime = q.index, q.wait
	}
	r, err := c.send(q, options)
	if err == nil {
		err = r.check(q)
	}
	if err == nil && (q.names || q.all) && len(r.names)+len(r.pairs) == 0 {
		err = c.mayRead(ctx, q.name)
	}
	if err != nil {
		return reply{}, c.failed(err)
	}
	return r, nil
}

func (c *Client) send(q query, options *api.QueryOptions) (r reply, err error) {
	switch {
	case q.names:
		r.names, r.meta, err = c.KV().Keys(q.name, "", options)
	case q.all:
		r.pairs, r.meta, err = c.KV().List(q.name, options)
	default:
		var pair *api.KVPair
		if pair, r.meta, err = c.KV().Get(q.name, options); pair != nil {
			r.pairs = api.KVPairs{pair}
		}
	}
	if err == nil {
		r.index = r.meta.LastIndex
	}
	return r, err
}

// check refuses an answer that may lack something without saying so. Of keys that a token may not
// read Consul says nothing but in a header, and whatever else listens at the address answers 404 too.
func (r reply) check(q query) error {
	strange := func(key string) bool { return !strings.HasPrefix(key, q.name) }
	switch {
	case r.index == 0:
		return errNoIndex
	case r.meta.ResultsFilteredByACLs:
		return errFiltered
	case slices.ContainsFunc(r.names, strange),
		slices.ContainsFunc(r.pairs, func(pair *api.KVPair) bool { return pair == nil || strange(pair.Key) }):
		return errors.New("the answer holds what was not asked for")
	}
	return nil
}

// mayRead is an error where this client may not read below a prefix: that a list is empty for want
// of rights, an anonymous client isn't told; but the plain question for one key is refused.
func (c *Client) mayRead(ctx context.Context, prefix string) error {
	_, _, err := c.KV().Get(prefix, (&api.QueryOptions{AllowStale: true}).WithContext(ctx))
	if denied(err) {
		return err
	}
	return nil
}

// fetchAwkward reads keys that can't be asked for by name. In a transaction a name is data.
func (c *Client) fetchAwkward(ctx context.Context, keys []string) (api.KVPairs, error) {
	if len(keys) > maxAwkward {
		return nil, fmt.Errorf("%d keys have names that can't be watched, such as %.200q: at most %d may", len(keys), keys[0], maxAwkward)
	}
	ctx, cancel := context.WithTimeout(ctx, slack)
	defer cancel()
	var pairs api.KVPairs
	for _, key := range keys {
		get := api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: key}}}
		ok, answer, _, err := c.Txn().Txn(get, (&api.QueryOptions{AllowStale: true}).WithContext(ctx))
		if err != nil {
			return nil, c.failed(err)
		}
		if !ok || len(answer.Results) != 1 || answer.Results[0].KV == nil {
			return nil, fmt.Errorf("key %.200q can't be read, rename it", key)
		}
		if pair := answer.Results[0].KV; pair.ModifyIndex > 0 { // 0: gone meanwhile
			pairs = append(pairs, pair)
		}
	}
	return pairs, nil
}

// isFolder knows the empty keys with which Consul's page makes folders.
func isFolder(pair *api.KVPair) bool { return strings.HasSuffix(pair.Key, "/") && len(pair.Value) == 0 }
