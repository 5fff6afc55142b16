package directory

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// build makes a table of lines like "alice@example.com guest-01 LOGIN".
func build(t testing.TB, lines ...string) *Table {
	t.Helper()
	b := NewBuilder("")
	for _, line := range lines {
		fields := append(strings.Fields(line), "")
		if err := b.Add([]byte(fields[0]), Value{Backend: fields[1], Login: fields[2]}); err != nil {
			t.Fatalf("adding %q: %v", line, err)
		}
	}
	return b.Build()
}

func TestTableHoldsWhatWasAdded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]Value)
	var order []string
	b := NewBuilder("")
	for i := range 40_000 { // several chunks, many doublings of the index
		address := fmt.Sprintf("user%d@%s.example.com", i, strings.Repeat("x", 1+random.IntN(60)))
		v := Value{Backend: fmt.Sprintf("guest-%d", random.IntN(400)), State: State(random.IntN(3))}
		if random.IntN(4) == 0 {
			v.Login = fmt.Sprintf("login%d", i)
		}
		want[address] = v
		order = append(order, address)
		if err := b.Add([]byte(address), v); err != nil {
			t.Fatal(err)
		}
	}
	table := b.Build()
	if table.Len() != len(want) {
		t.Fatalf("%d entries, want %d", table.Len(), len(want))
	}
	for address, v := range want {
		if got, ok := table.Get(address); !ok || got != v {
			t.Fatalf("%s: %v, %v, want %v", address, got, ok, v)
		}
		if got, ok := table.Get("x" + address); ok {
			t.Fatalf("x%s: %v, want none", address, got)
		}
	}
	i := 0
	for address, v := range table.All() {
		if address != order[i] || v != want[address] {
			t.Fatalf("entry %d is %s %v, want %s %v", i, address, v, order[i], want[address])
		}
		i++
	}
	if all := maps.Collect(table.All()); !maps.Equal(all, want) {
		t.Errorf("All gives %d entries that are not the ones added", len(all))
	}
	for range table.All() {
		break // may be left early
	}
}

func TestTableOfNothing(t *testing.T) {
	table := NewBuilder("").Build()
	if _, ok := table.Get("alice@example.com"); ok || table.Len() != 0 || (*Table)(nil).Len() != 0 {
		t.Error("an empty table has entries")
	}
}

func TestTableExtremes(t *testing.T) {
	long := strings.Repeat("a", maxName-len("@b")) + "@b"
	login := strings.Repeat("l", maxLogin)
	table := build(t, long+" guest "+login)
	if v, ok := table.Get(long); !ok || v.Login != login {
		t.Errorf("the longest entry gives %v, %v", v, ok)
	}
}

func TestBuilderKeepsNothingOfItsCaller(t *testing.T) {
	b := NewBuilder("")
	address := []byte("alice@example.com")
	if err := b.Add(address, Value{Backend: "guest"}); err != nil {
		t.Fatal(err)
	}
	copy(address, "mallory")
	if _, ok := b.Build().Get("alice@example.com"); !ok {
		t.Error("the entry changed with the caller's slice")
	}
}

func TestBuilderRefuses(t *testing.T) {
	for _, test := range []struct {
		address string
		value   Value
	}{
		{"", Value{Backend: "guest"}},
		{"@", Value{Backend: "guest"}},
		{"a@b\n", Value{Backend: "guest"}},
		{strings.Repeat("a", 300), Value{Backend: "guest"}},
		{"bob@example.com", Value{}},
		{"bob@example.com", Value{Backend: "guest", Login: "a\r\nDELE 1"}},
		{"bob@example.com", Value{Backend: "guest", Login: "{user}"}},
		{"bob@example.com", Value{Backend: "guest", Login: strings.Repeat("l", maxLogin+1)}},
	} {
		b := NewBuilder("example.com")
		if err := b.Add([]byte(test.address), test.value); err == nil {
			t.Errorf("Add(%q, %+v) is no error", test.address, test.value)
		}
		if table := b.Build(); table.Len() != 0 {
			t.Errorf("Add(%q, %+v) added it nevertheless", test.address, test.value)
		}
	}
}

func TestBuilderSeesDuplicatesInAnyForm(t *testing.T) {
	for _, second := range []string{"alice@example.com", "ALICE@Example.com.", "alice%example.com", "alice"} {
		b := NewBuilder("example.com")
		if err := b.Add([]byte("Alice@example.com"), Value{Backend: "one"}); err != nil {
			t.Fatal(err)
		}
		if err := b.Add([]byte(second), Value{Backend: "two"}); !errors.Is(err, ErrDuplicate) {
			t.Errorf("a second entry as %q: %v, want a duplicate", second, err)
		}
		if v, _ := b.Build().Get("alice@example.com"); v.Backend != "one" {
			t.Errorf("the duplicate %q replaced the entry", second)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add("alice@example.com", "guest-01", "", "bob@example.com", "guest-02", "{local}", uint8(1))
	f.Add("@example.com", "x", "l", "@example.org", "x", "", uint8(2))
	f.Fuzz(func(t *testing.T, address1, backend1, login1, address2, backend2, login2 string, state uint8) {
		b := NewBuilder("")
		want := make(map[string]Value)
		for _, e := range []struct {
			address string
			value   Value
		}{
			{address1, Value{backend1, login1, State(state % 3)}},
			{address2, Value{backend2, login2, Active}},
		} {
			if b.Add([]byte(e.address), e.value) == nil {
				address, err := AppendAddress(nil, []byte(e.address), "")
				if err != nil {
					t.Fatalf("%q was added though it is no address: %v", e.address, err)
				}
				want[string(address)] = e.value
			}
		}
		table := b.Build()
		if got := maps.Collect(table.All()); !maps.Equal(got, want) || table.Len() != len(want) {
			t.Errorf("the table holds %v, want %v", got, want)
		}
	})
}
