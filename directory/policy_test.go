package directory

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"postern/backend"
)

// declaredBackends are backends with the given weights.
func declaredBackends(weights ...int) (targets []backend.Target) {
	for i, w := range weights {
		targets = append(targets, backend.Target{
			Name: fmt.Sprintf("guest-%02d", i), Addresses: []string{fmt.Sprintf("192.0.2.%d:110", i+1)}, Weight: w, Declared: true,
		})
	}
	return targets
}

func hashing(t *testing.T, targets []backend.Target) *Directory {
	t.Helper()
	d, err := New(Options{DefaultDomain: "example.com", Unknown: Unknown{Policy: Hash}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetBackends(targets, Fallback{}); err != nil {
		t.Fatal(err)
	}
	return d
}

func hashed(t *testing.T, d *Directory, mailboxes int) []string {
	t.Helper()
	owners := make([]string, mailboxes)
	for i := range owners {
		r, err := d.Locate(t.Context(), Query{User: fmt.Sprintf("user%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		owners[i] = r.Backend.Name
	}
	return owners
}

// TestHashIsForEver pins the formula. Who changes these values moves everybody's mail.
func TestHashIsForEver(t *testing.T) {
	for h, want := range map[uint64]uint64{
		0: 64 << 32, 1: 64 << 32, 2: 63 << 32, 3: 0x3e6a3fe5c7, 1 << 63: 1 << 32, 3 << 62: 0x6a3fe5c7, 1<<64 - 1: 1,
		0x0123456789abcdef: 0x7d053f6d3, 0xfedcba9876543210: 0x1a526e8,
	} {
		if got := distance(h); got != want {
			t.Errorf("distance(%#x) = %#x, want %#x", h, got, want)
		}
		if exact := (64 - math.Log2(math.Max(1, float64(h)))) * (1 << 32); math.Abs(float64(distance(h))-exact) > 2000 {
			t.Errorf("distance(%#x) = %#x, far from the logarithm %v", h, distance(h), exact)
		}
	}
	d := hashing(t, declaredBackends(1, 2, 0, 5, 1))
	for mailbox, want := range map[string]string{
		"alice@example.com": "guest-03", "bob@example.com": "guest-00", "carol@example.com": "guest-01", "dave@example.org": "guest-01", "münchen@example.com": "guest-03",
	} {
		if r, err := d.Locate(t.Context(), Query{User: mailbox}); err != nil || r.Backend.Name != want {
			t.Errorf("%s lives on %s, %v; want %s", mailbox, r.Backend.Name, err, want)
		}
	}
}

func TestHashSharesFollowWeights(t *testing.T) {
	weights := []int{1, 2, 0, 5, 1}
	counts := make(map[string]int)
	const mailboxes = 50_000
	for _, owner := range hashed(t, hashing(t, declaredBackends(weights...)), mailboxes) {
		counts[owner]++
	}
	for i, w := range weights {
		name, want := fmt.Sprintf("guest-%02d", i), float64(max(1, w))/10
		if got := float64(counts[name]) / mailboxes; math.Abs(got-want) > 0.03*want+0.002 {
			t.Errorf("%s has a share of %.4f, want %.4f", name, got, want)
		}
	}
}

// TestHashMovesOnlyWhatItMust takes a backend away, adds one, and makes one heavier.
func TestHashMovesOnlyWhatItMust(t *testing.T) {
	const mailboxes = 20_000
	all := declaredBackends(1, 2, 1, 5, 1)
	before := hashed(t, hashing(t, all), mailboxes)
	for i, owner := range hashed(t, hashing(t, all[:4]), mailboxes) { // guest-04 is gone
		if moved := owner != before[i]; moved != (before[i] == "guest-04") {
			t.Fatalf("user%d went from %s to %s", i, before[i], owner)
		}
	}
	heavier := declaredBackends(1, 2, 3, 5, 1)
	gone := 0
	for i, owner := range hashed(t, hashing(t, heavier), mailboxes) {
		if owner != before[i] && owner != "guest-02" {
			t.Fatalf("user%d went from %s to %s", i, before[i], owner)
		}
		if owner != before[i] {
			gone++
		}
	}
	if want := (3.0/12 - 1.0/10) * mailboxes; math.Abs(float64(gone)-want) > 0.06*want {
		t.Errorf("%d mailboxes moved to the heavier backend, want about %.0f", gone, want)
	}
	slow := []backend.Target{all[3], all[0], all[4], all[2], all[1]} // another order, another spelling
	for i := range slow {
		slow[i].Name = "G" + slow[i].Name[1:]
		slow[i].Aliases = nil
	}
	for i, owner := range hashed(t, hashing(t, slow), mailboxes) {
		if owner[1:] != before[i][1:] {
			t.Fatalf("user%d went from %s to %s", i, before[i], owner)
		}
	}
}

func TestHashTakesDeclaredBackendsOnly(t *testing.T) {
	targets := declaredBackends(1, 1)
	targets[1].Declared = false
	for _, owner := range hashed(t, hashing(t, targets), 100) {
		if owner != "guest-00" {
			t.Fatalf("a mailbox lives on %s", owner)
		}
	}
	targets[0].Declared = false
	_, err := hashing(t, targets).Locate(t.Context(), Query{User: "alice"})
	if err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("with no backend declared: %v", err)
	}
}

func TestForwardCounts(t *testing.T) {
	old := append(declaredBackends(1), backend.Target{Name: "old", Addresses: []string{"192.0.2.99:110"}, Login: backend.LoginLocal})
	d, err := New(Options{
		DefaultDomain: "example.com", Unknown: Unknown{Policy: Forward, Backend: "OLD"},
		Sources: []NamedSource{{Name: "a", Source: newTold()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetBackends(old, Fallback{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Locate(t.Context(), Query{User: "bob"}); !errors.Is(err, ErrNotReady) {
		t.Errorf("before a source is loaded: %v", err)
	}
	if err := d.replace(0, map[string]*Table{"g": build(t, "alice@example.com guest-00")}); err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{"alice", "bob", "bob", "@example.com"} {
		r, err := d.Locate(t.Context(), Query{User: typed})
		switch typed {
		case "bob":
			if err != nil || r.Backend.Name != "old" || r.Login != "bob" || r.Source != PolicySource || r.Entry != "" || r.Mailbox != "bob@example.com" {
				t.Errorf("%+v, %v", r, err)
			}
		case "alice":
			if err != nil || r.Source != "a" {
				t.Errorf("%+v, %v", r, err)
			}
		default:
			if err != ErrUnknown {
				t.Errorf("%s: %v", typed, err)
			}
		}
	}
	if n := d.Counters().Unknown; n != 2 {
		t.Errorf("%d are forwarded", n)
	}
	if _, err := d.Locate(t.Context(), Query{User: "bob", Strict: true}); err != ErrUnknown {
		t.Errorf("strictly: %v", err)
	}
	if err := d.SetBackends(old[:1], Fallback{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Locate(t.Context(), Query{User: "bob"}); !errors.As(err, new(*NoBackendError)) {
		t.Errorf("without its backend: %v", err)
	}
}

func TestParseUnknown(t *testing.T) {
	for text, want := range map[string]Unknown{
		"reject": {}, "hash": {Policy: Hash}, "backend:old": {Policy: Forward, Backend: "old"}, "backend:[2001:db8::1]:110": {Policy: Forward, Backend: "[2001:db8::1]:110"},
	} {
		if got, err := ParseUnknown(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Reject", "backend", "backend:", "hash:guest-01", "old"} {
		if got, err := ParseUnknown(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
