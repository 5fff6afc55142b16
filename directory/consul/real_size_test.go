package consul

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/directory"
)

// TestRealThousandKeys: more keys than Consul's default allows connections.
func TestRealThousandKeys(t *testing.T) {
	c := agent(t, "")
	keys := kv(t, c.Address)
	var want []string
	for i := range 1000 {
		put(t, keys, fmt.Sprintf("p/domain-%03d.example", i), fmt.Sprintf("user@domain-%03d.example g1\n", i))
		want = append(want, fmt.Sprintf("user@domain-%03d.example", i), "g1")
	}
	r := start(t, source(t, at(c)))
	r.holds(want...)
	for i := range 10 {
		put(t, keys, fmt.Sprintf("p/domain-%03d.example", 97*i), fmt.Sprintf("user@domain-%03d.example g2\n", 97*i))
		want[2*97*i+1] = "g2"
	}
	r.holds(want...)
}

// TestRealTenThousandChanges: as fast as Consul takes them; they arrive together.
func TestRealTenThousandChanges(t *testing.T) {
	c := agent(t, "")
	client, err := api.NewClient(&api.Config{Address: c.Address})
	if err != nil {
		t.Fatal(err)
	}
	put(t, client.KV(), "p/0", "user0@example.com g\n")
	r := start(t, source(t, at(c)))
	r.holds("user0@example.com", "g")
	before := r.updates
	done := make(chan error, 1)
	var want []string
	for key := range 64 {
		want = append(want, fmt.Sprintf("user%d@example.com", key), "g155")
	}
	go func() {
		for change := range 156 { // of each key
			var ops api.TxnOps
			for key := range 64 {
				ops = append(ops, &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: fmt.Sprintf("p/%d", key),
					Value: fmt.Appendf(nil, "user%d@example.com g%d\n", key, change)}})
			}
			if ok, _, _, err := client.Txn().Txn(ops, nil); err != nil || !ok {
				done <- fmt.Errorf("%v: %w", ok, err)
				return
			}
		}
		done <- nil
	}()
	r.holds(want...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if updates := r.updates - before; updates > 1000 {
		t.Errorf("%d updates for 10,000 changes", updates)
	}
}

// TestRealAssign: three at once and a thousand mailboxes agree.
func TestRealAssign(t *testing.T) {
	c := agent(t, "")
	assignedAlike(t, at(c), 1000)
}

// TestRealMillion imports a million mailboxes, loads them, and changes a hundred. It logs what it measures;
// the bounds are wide, since other tests may run.
func TestRealMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	c := agent(t, "")
	s := store(t, at(c))
	began := time.Now()
	done, err := s.Import(t.Context(), func(yield func(string, directory.Value) bool) {
		for i := range 1_000_000 {
			if !yield(fmt.Sprintf("user%07d.name@mail.example.com", i), directory.Value{Backend: fmt.Sprintf("guest-%03d", i%400)}) {
				return
			}
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("imported and verified in %v: %+v", time.Since(began), done)
	if done.Shards >= maxQueries {
		t.Errorf("%d shards", done.Shards)
	}
	var gateways []*running
	for range 3 {
		began = time.Now()
		r := start(t, source(t, at(c)))
		r.until("a million", func() bool { return entriesOf(r) == 1_000_000 })
		t.Logf("loaded in %v", time.Since(began))
		if time.Since(began) > time.Minute {
			t.Errorf("loaded in %v", time.Since(began))
		}
		gateways = append(gateways, r)
	}
	var seen []time.Duration
	for i := range 100 {
		address, backend := fmt.Sprintf("user%07d.name@mail.example.com", 9973*i), fmt.Sprintf("moved-%d", i)
		if _, _, err := s.Set(t.Context(), address, to(backend)); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		for _, r := range gateways {
			r.until("the change", func() bool {
				for _, table := range r.state {
					if v, found := table.Get(address); found {
						return v.Backend == backend
					}
				}
				return false
			})
		}
		seen = append(seen, time.Since(began))
	}
	slices.Sort(seen)
	t.Logf("a change is seen by three after %v (median), %v (90 %%), %v (all)", seen[50], seen[90], seen[99])
	if seen[50] > 2*time.Second {
		t.Errorf("the median is %v", seen[50])
	}
}

func entriesOf(r *running) (n int) {
	for _, table := range r.state {
		n += table.Len()
	}
	return n
}
