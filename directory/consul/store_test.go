package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/directory"
	"postern/directory/mapfile"
)

// mailboxes yields n addresses, all on one backend.
func mailboxes(n int, backend string) iter.Seq2[string, directory.Value] {
	return func(yield func(string, directory.Value) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("user%06d@example.com", i), directory.Value{Backend: backend}) {
				return
			}
		}
	}
}

// all is what a store holds; an address in several keys fails.
func all(t *testing.T, s *Store) map[string]directory.Value {
	t.Helper()
	groups, err := s.Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries := make(map[string]directory.Value)
	for _, g := range groups {
		for address, v := range g.Table.All() {
			if _, twice := entries[address]; twice {
				t.Errorf("%s is in two keys", address)
			}
			entries[address] = v
		}
	}
	return entries
}

func mustImport(t *testing.T, s *Store, entries iter.Seq2[string, directory.Value]) Progress {
	t.Helper()
	done, err := s.Import(t.Context(), entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func to(backend string) mapfile.Change {
	return func(directory.Value, bool) (directory.Value, error) { return directory.Value{Backend: backend}, nil }
}

// keep is how a mailbox is assigned: the first come decides.
func keep(backend string) mapfile.Change {
	return func(before directory.Value, exists bool) (directory.Value, error) {
		if exists {
			return before, nil
		}
		return directory.Value{Backend: backend}, nil
	}
}

func TestImport(t *testing.T) {
	f := newFake(t)
	s := store(t, f.options())
	f.put("p/by-hand", "# mine\nalice g1\n")
	want := maps.Collect(mailboxes(20_000, "g1"))
	var steps []Progress
	done, err := s.Import(t.Context(), maps.All(want), func(p Progress) { steps = append(steps, p) })
	if err != nil || done.Written != done.Shards || done.Verified != done.Shards || done.Entries != 20_000 || done.Shards < 5 {
		t.Fatalf("%+v, %v", done, err)
	}
	if len(steps) != 2*done.Shards || steps[len(steps)-1] != done {
		t.Errorf("%d steps, the last %+v", len(steps), steps[len(steps)-1])
	}
	want["alice@example.com"] = directory.Value{Backend: "g1"}
	if got := all(t, s); !maps.Equal(got, want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	if again := mustImport(t, s, mailboxes(20_000, "g1")); again.Written != 0 || again.Same != done.Shards {
		t.Errorf("once more: %+v", again)
	}
	if less := mustImport(t, s, mailboxes(300, "g2")); less.Shards != 1 || less.Removed != done.Shards {
		t.Errorf("less: %+v", less)
	}
	if got := all(t, s); len(got) != 301 || f.text("p/by-hand") != "# mine\nalice g1\n" {
		t.Errorf("%d entries", len(got))
	}
}

func TestImportRefuses(t *testing.T) {
	s := store(t, newFake(t).options())
	for name, entries := range map[string]iter.Seq2[string, directory.Value]{
		"twice": func(yield func(string, directory.Value) bool) {
			_ = yield("a@x", directory.Value{Backend: "g"}) && yield("A@x", directory.Value{Backend: "g"})
		},
		"no address": func(yield func(string, directory.Value) bool) { yield("a@", directory.Value{Backend: "g"}) },
		"no backend": func(yield func(string, directory.Value) bool) { yield("a@x", directory.Value{}) },
	} {
		if _, err := s.Import(t.Context(), entries, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestImportIsTakenUp: an import that was interrupted writes only what is missing, and until it is
// complete nobody adds to the half of it.
func TestImportIsTakenUp(t *testing.T) {
	f := newFake(t)
	s := store(t, f.options())
	mustImport(t, s, mailboxes(100, "g0"))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Import(ctx, mailboxes(20_000, "g1"), func(p Progress) {
		if p.Written == 5 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, _, err := s.Set(t.Context(), "new", to("g1")); !errors.Is(err, errUnfinished) {
		t.Errorf("set meanwhile: %v", err)
	}
	groups, err := s.Groups(t.Context())
	if err != nil || len(groups) < 6 || groups[0].Name != "p/shards-1/0" && groups[len(groups)-1].Name != "p/shards-1/0" {
		t.Errorf("what was there is not: %d groups, %v", len(groups), err)
	}
	done := mustImport(t, s, mailboxes(20_000, "g1"))
	if done.Same < 5 || done.Same+done.Written != done.Shards || done.Removed != 1 {
		t.Errorf("%+v", done)
	}
	if got := all(t, s); len(got) != 20_000 {
		t.Errorf("%d entries", len(got))
	}
}

// TestImportBesideAnother: nobody's change is lost without a word.
func TestImportBesideAnother(t *testing.T) {
	f := newFake(t)
	s := store(t, f.options())
	mustImport(t, s, mailboxes(100, "g0"))
	f.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			f.put("p/shards-1/0", "a@x somebody-else\n")
		}
		return false
	})
	_, err := s.Import(t.Context(), mailboxes(20_000, "g1"), nil)
	if err == nil || !strings.Contains(err.Error(), "key p/shards-1/0 was changed by somebody else") {
		t.Error(err)
	}
	if f.text("p/shards-1/0") != "a@x somebody-else\n" {
		t.Error("what somebody else wrote is gone")
	}
	f.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			f.put(strings.TrimPrefix(r.URL.Path, "/v1/kv/"), "a@x somebody-else\n")
		}
		return false
	})
	if _, err := s.Import(t.Context(), mailboxes(20_000, "g2"), nil); err == nil || !strings.Contains(err.Error(), "was changed by somebody else") {
		t.Error(err)
	}
}

// TestNobodyIsMissingDuringAnImport: a source sees each mailbox that is there before and afterwards all the time, also where
// the number of shards changes.
func TestNobodyIsMissingDuringAnImport(t *testing.T) {
	f := newFake(t)
	s := store(t, f.options())
	mustImport(t, s, mailboxes(1000, "g0"))
	r := start(t, source(t, f.options()))
	r.until("all", func() bool { return len(r.entries()) == 1000 })
	imported := make(chan error, 1)
	go func() {
		_, err := s.Import(t.Context(), mailboxes(20_000, "g1"), nil)
		imported <- err
	}()
	r.until("all of the new", func() bool {
		entries := r.entries()
		for i := range 1000 {
			if entries[fmt.Sprintf("user%06d@example.com", i)] == "" {
				t.Fatalf("mailbox %d is missing", i)
			}
		}
		return len(entries) == 20_000 && entries["user000000@example.com"] == "g1" && len(r.state) > 5 && r.state["p/shards-1/0"] == nil
	})
	if err := <-imported; err != nil {
		t.Fatal(err)
	}
}

func TestSet(t *testing.T) {
	f := newFake(t)
	s := store(t, f.options())
	set := func(address, backend string) (directory.Value, bool) {
		t.Helper()
		before, existed, err := s.Set(t.Context(), address, to(backend))
		if err != nil {
			t.Fatal(err)
		}
		return before, existed
	}
	if _, existed := set("Alice", "g1"); existed { // nothing is there at all
		t.Error("alice existed")
	}
	if before, existed := set("alice@example.com", "g2"); !existed || before.Backend != "g1" {
		t.Errorf("%+v, %v", before, existed)
	}
	mustImport(t, s, mailboxes(20_000, "g1"))
	f.put("p/by-hand", "# mine\r\nBOB   g1 # with a comment\r\n@example.org g1\r\n")
	if before, existed := set("bob", "g3"); !existed || before.Backend != "g1" {
		t.Errorf("%+v, %v", before, existed)
	}
	if got, want := f.text("p/by-hand"), "# mine\r\nBOB   g3 # with a comment\r\n@example.org g1\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	set("user000007@example.com", "g4")
	set("new", "g5")
	set("@example.org", "g6")
	entries := all(t, s)
	for address, backend := range map[string]string{"bob@example.com": "g3", "user000007@example.com": "g4", "new@example.com": "g5", "@example.org": "g6"} {
		if entries[address].Backend != backend {
			t.Errorf("%s is at %+v", address, entries[address])
		}
	}
	index := f.index
	set("new", "g5")
	if f.index != index {
		t.Error("what is there already was written again")
	}
}

func TestSetRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		keys  map[string]string
		wants string
	}{
		{"an address in two keys", map[string]string{"p/a": "alice g1\n", "p/b": "ALICE g1\n"}, "in several keys: p/a, p/b"},
		{"two keys by hand", map[string]string{"p/a": "bob g1\n", "p/b": "carol g1\n"}, "in none of 2 keys"},
		{"a faulty key", map[string]string{"p/a": "bob g1\n", "p/b": "carol\n"}, "p/b:1:6:"},
		{"a shard cut short", map[string]string{"p/a": firstLine + "0 of 1\nalice g1\n"}, "p/a:3:1:"},
		{"half an import", map[string]string{shardKey("p/", 0, 2): string(compose(0, 2, nil))}, errUnfinished.Error()},
		{"a full key", map[string]string{"p/a": strings.Repeat("# filler\n", maxEdited/9)}, "key p/a is full"},
	} {
		f := newFake(t)
		for key, value := range test.keys {
			f.put(key, value)
		}
		_, _, err := store(t, f.options()).Set(t.Context(), "alice", to("g2"))
		if err == nil || !strings.Contains(err.Error(), test.wants) {
			t.Errorf("%s: %v, want %s", test.name, err, test.wants)
		}
		for key, value := range test.keys {
			if f.text(key) != value {
				t.Errorf("%s: %s was changed", test.name, key)
			}
		}
	}
	full := errors.New("no room")
	s := store(t, newFake(t).options())
	if _, _, err := s.Set(t.Context(), "alice", func(directory.Value, bool) (directory.Value, error) { return directory.Value{}, full }); !errors.Is(err, full) {
		t.Error(err)
	}
	for _, address := range []string{"", "a@", "@", "a\r\nb"} {
		if _, _, err := s.Set(t.Context(), address, to("g")); err == nil {
			t.Errorf("address %q is taken", address)
		}
	}
}

// TestManyAssignAtOnce: whoever comes first decides, and all are told the same.
func TestManyAssignAtOnce(t *testing.T) {
	f := newFake(t)
	assignedAlike(t, f.options(), 60)
}

// assignedAlike has three stores assign the same mailboxes at once, each in another order, and
// wants one answer for each.
func assignedAlike(t *testing.T, o Options, n int) {
	t.Helper()
	told := make([][]string, 3)
	var assigning sync.WaitGroup
	for who := range told {
		told[who] = make([]string, n)
		s := store(t, o)
		assigning.Go(func() {
			for i := range n {
				i = (i + who*n/7) % n
				mine := fmt.Sprintf("g%d", who)
				before, existed, err := s.Set(t.Context(), fmt.Sprintf("user%06d", i), keep(mine))
				if told[who][i] = mine; existed {
					told[who][i] = before.Backend
				}
				if err != nil {
					t.Errorf("mailbox %d: %v", i, err)
					return
				}
			}
		})
	}
	assigning.Wait()
	entries := all(t, store(t, o))
	for i := range n {
		owner := entries[fmt.Sprintf("user%06d@example.com", i)].Backend
		if owner == "" || told[0][i] != owner || told[1][i] != owner || told[2][i] != owner {
			t.Errorf("mailbox %d is at %q, told were %q %q %q", i, owner, told[0][i], told[1][i], told[2][i])
		}
	}
}

func TestExport(t *testing.T) {
	f := newFake(t)
	s := store(t, f.options())
	mustImport(t, s, mailboxes(10, "g1"))
	f.put("p/b\n# y", "alice g1 login=a%20b state=moving # a comment\n")
	f.put("p/c", "alice g9\n")
	var text bytes.Buffer
	if err := s.Export(t.Context(), &text); err != nil {
		t.Fatal(err)
	}
	table, err := mapfile.Read(bytes.NewReader(text.Bytes()), mapfile.Options{File: "export"})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	if v, _ := table.Get("alice@example.com"); table.Len() != 11 || v != (directory.Value{Backend: "g1", Login: "a b", State: directory.Moving}) {
		t.Errorf("%d entries, alice: %+v", table.Len(), v)
	}
	if !strings.Contains(text.String(), "\n# again: alice@example.com g9\n") {
		t.Errorf("the second alice is not told:\n%s", text.String())
	}
	f.put("p/c", "alice\n")
	if err := s.Export(t.Context(), &text); err == nil || !strings.Contains(err.Error(), "p/c:1:6:") {
		t.Error(err)
	}
}

func TestShardKeys(t *testing.T) {
	for _, count := range []int{1, 2, 10, 11, 100, 127, 1200} {
		for _, number := range []int{0, count / 2, count - 1} {
			key := shardKey("p/", number, count)
			if n, c, ok := parseShardKey("p/", key); !ok || n != number || c != count {
				t.Errorf("%s: %d of %d, %v", key, n, c, ok)
			}
		}
	}
	for _, key := range []string{"p/shards-2/2", "p/shards-2/10", "p/shards-2/00", "p/shards-3/11", "p/shards-02/0", "p/shards-0/0", "p/shards--1/0", "p/shards-2/-1", "p/shards-2/0/1", "p/x", "p/shards-2", "p/"} {
		if _, _, ok := parseShardKey("p/", key); ok {
			t.Errorf("%s is taken for a shard", key)
		}
	}
	// These are the places of entries that exist: they must never change.
	if a, b := shardOf("alice@example.com", 127), shardOf("@example.org", 127); a != 19 || b != 78 {
		t.Errorf("alice is in shard %d, the domain in %d", a, b)
	}
	for octets, want := range map[int]int{0: 1, goodShard: 2, 45_000_000: 127, 450_000_000: 1221} {
		if got := shardCount(octets); got != want {
			t.Errorf("%d octets in %d shards, want %d", octets, got, want)
		}
	}
}

func TestAThousandGroupsOfAStore(t *testing.T) {
	f := newFake(t)
	for i := range 300 {
		f.put(fmt.Sprintf("p/%d", i), fmt.Sprintf("u%d g\n", i))
	}
	groups, err := store(t, f.options()).Groups(t.Context())
	if err != nil || len(groups) != 300 || !slices.IsSortedFunc(groups, func(a, b directory.Group) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("%d groups, %v", len(groups), err)
	}
}
