package ldap

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
)

// held is a content with what was sent of it.
type held struct {
	*content
	t      *testing.T
	groups map[string]*directory.Table
}

func newHeld(t *testing.T) *held {
	a := attributes{backend: "host", login: "uid", state: "state", address: "mail"}
	return &held{content: newContent(a, "example.com", maxParts), t: t, groups: make(map[string]*directory.Table)}
}

// put takes an entry: its attributes as name=value.
func (h *held) put(name string, attributes ...string) {
	values := make(map[string][]string)
	for _, a := range attributes {
		name, value, _ := strings.Cut(a, "=")
		values[name] = append(values[name], value)
	}
	d := h.draft()
	d.put(keyOf(name), ldap.NewEntry("cn="+name+",ou=people", values))
	d.commit()
}

func (h *held) remove(name string) {
	d := h.draft()
	d.remove(keyOf(name))
	d.commit()
}

func keyOf(name string) (k key) {
	copy(k[:], name)
	return k
}

// sends makes an update, takes it, and returns its error's text.
func (h *held) sends() string {
	u, _ := h.update()
	h.sent(u)
	for _, g := range u.Groups {
		h.groups[g.Name] = g.Table
	}
	if u.Err != nil {
		return u.Err.Error()
	}
	return ""
}

func (h *held) wants(want map[string]directory.Value) {
	h.t.Helper()
	got := make(map[string]directory.Value)
	for _, table := range h.groups {
		maps.Copy(got, maps.Collect(table.All()))
	}
	if !maps.Equal(got, want) {
		h.t.Errorf("got %v, want %v", got, want)
	}
}

func TestEntries(t *testing.T) {
	h := newHeld(t)
	h.put("a", "mail=Alice@Example.com", "mail=alice@example.com", "mail=a.l@example.org", "HOST=guest-01", "uid=al")
	h.put("b", "mail=bob", "host=guest-02", "state=moving")
	h.put("d", "mail=@example.net", "host=guest-03", "state=active")
	h.put("person", "mail=person@example.com", "uid=p")
	h.put("machine", "host=guest-04")
	if text := h.sends(); text != "" {
		t.Error(text)
	}
	h.wants(map[string]directory.Value{
		"alice@example.com": {Backend: "guest-01", Login: "al"}, "a.l@example.org": {Backend: "guest-01", Login: "al"},
		"bob@example.com": {Backend: "guest-02", State: directory.Moving}, "@example.net": {Backend: "guest-03"},
	})
	if h.changed || h.dirty != 0 {
		t.Error("all was sent, and there is more")
	}
	h.put("b", "mail=bob", "host=guest-02", "state=moving")
	if h.changed {
		t.Error("an entry that is as it was is a change")
	}
}

// TestAFaultHoldsItsGroup, and no other, until it is mended or gone.
func TestAFaultHoldsItsGroup(t *testing.T) {
	h := newHeld(t)
	h.put("a", "mail=alice", "host=guest-01")
	h.put("b", "mail=bob", "host=guest-01")
	if h.sends() != "" || h.partOf("alice@example.com") == h.partOf("bob@example.com") {
		t.Fatal("not the start that it has to be")
	}
	for what, wrong := range map[string][]string{
		"control": {"mail=bob", "host=guest-02", "uid=\r\n"}, "state": {"mail=bob", "host=guest-02", "state=MOVING"},
		"attribute host has 2": {"mail=bob", "host=guest-02", "host=guest-03"}, "two long": {"mail=bob", "host=" + strings.Repeat("x", 301)},
		"address": {"mail=bob@", "host=guest-02"}, "filled in": {"mail=bob", "host=g", "uid={x}"},
	} {
		h.put("b", wrong...)
		h.put("a", "mail=alice", "host="+strings.ReplaceAll(what, " ", "-"))
		text := h.sends()
		if want := strings.TrimPrefix(what, "two "); !strings.Contains(text, want) || !strings.HasPrefix(text, `entry "cn=b,ou=people": `) {
			t.Errorf("%s: %s", what, text)
		}
		h.wants(map[string]directory.Value{
			"alice@example.com": {Backend: strings.ReplaceAll(what, " ", "-")}, "bob@example.com": {Backend: "guest-01"},
		})
	}
	h.put("b", "mail=bob", "host=guest-02")
	h.put("a", "mail=alice", "host=guest-01")
	if text := h.sends(); text != "" {
		t.Error(text)
	}
	h.wants(map[string]directory.Value{"alice@example.com": {Backend: "guest-01"}, "bob@example.com": {Backend: "guest-02"}})
	h.put("b", "mail=bob@", "host=x")
	h.remove("b")
	if text := h.sends(); text != "" {
		t.Error(text)
	}
	h.wants(map[string]directory.Value{"alice@example.com": {Backend: "guest-01"}})
}

// TestTwoEntriesOfOneAddress that differ are a fault that names both; those that say the same are none.
func TestTwoEntriesOfOneAddress(t *testing.T) {
	h := newHeld(t)
	h.put("a", "mail=alice", "host=guest-01")
	h.put("b", "mail=bob", "mail=alice", "host=guest-01")
	if text := h.sends(); text != "" {
		t.Errorf("two that say the same: %s", text)
	}
	h.put("b", "mail=bob", "mail=alice", "host=guest-02")
	for range 2 {
		if text := h.sends(); text != `alice@example.com: entries "cn=a,ou=people" and "cn=b,ou=people" differ` {
			t.Errorf("two that differ: %s", text)
		}
	}
	h.wants(map[string]directory.Value{"alice@example.com": {Backend: "guest-01"}, "bob@example.com": {Backend: "guest-02"}})
	h.remove("a")
	if text := h.sends(); text != "" {
		t.Error(text)
	}
	h.wants(map[string]directory.Value{"alice@example.com": {Backend: "guest-02"}, "bob@example.com": {Backend: "guest-02"}})
}

func TestAFirstUpdateWithAFaultHasNoGroups(t *testing.T) {
	h := newHeld(t)
	h.put("a", "mail=alice", "host=guest-01")
	for i := range 30 {
		h.put(fmt.Sprintf("b%d", i), "mail=bob@", "host=guest-01")
	}
	if text := h.sends(); strings.Count(text, "\n") != maxFaults || !strings.HasSuffix(text, "and 10 more") {
		t.Errorf("30 faults: %s", text)
	}
	h.wants(map[string]directory.Value{})
	for i := range 30 {
		h.remove(fmt.Sprintf("b%d", i))
	}
	if text := h.sends(); text != "" {
		t.Error(text)
	}
	h.wants(map[string]directory.Value{"alice@example.com": {Backend: "guest-01"}})
}

// TestDNsAreBounded: a DN is a stranger's text.
func TestDNsAreBounded(t *testing.T) {
	h := newHeld(t)
	h.put(strings.Repeat("x", 1000)+"\n\x1b[2J", "mail=alice@", "host=guest-01")
	if text := h.sends(); len(text) > 500 || strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("%q", text)
	}
}
