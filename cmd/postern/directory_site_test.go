package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/configs"
	"postern/directory"
	"postern/directory/consul"
)

// groupsOf makes groups of lines ADDRESS BACKEND, by their names.
func groupsOf(t *testing.T, texts map[string]string) []directory.Group {
	t.Helper()
	var groups []directory.Group
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		b := directory.NewBuilder("")
		for line := range strings.Lines(texts[name]) {
			words := strings.Fields(line)
			if err := b.Add([]byte(words[0]), directory.Value{Backend: words[1]}); err != nil {
				t.Fatal(err)
			}
		}
		groups = append(groups, directory.Group{Name: name, Table: b.Build()})
	}
	return groups
}

func memberOf(t *testing.T, name string, texts map[string]string) *member {
	t.Helper()
	return &member{configuredSource: configuredSource{name: name, Source: configs.Source{Type: configs.SourceConsul}}, groups: groupsOf(t, texts)}
}

// Which entry beats which, is held against what the directory itself locates.
func TestEntriesThatWinAreThoseThatLocateFinds(t *testing.T) {
	s := &sourceSet{config: &configs.Config{}, members: []*member{
		memberOf(t, "first", map[string]string{
			"a": "alice@example.com b1\n@example.org b2\n",
			"b": "alice@example.com b9\nbob@example.com b1\nin@example.org b3\n",
		}),
		memberOf(t, "second", map[string]string{
			"a": "bob@example.com b9\nother@example.org b9\n@example.org b9\n@example.net b4\nbare b5\n",
			"b": "carol@example.com b1\ndave@example.net b6\n",
		}),
		memberOf(t, "third", map[string]string{"a": "carol@example.com b9\nerin@example.net b9\nbare b9\nlast@example.com b7\n"}),
	}}
	got := make(map[string]string)
	for address, v := range s.winners() {
		if got[address] != "" {
			t.Errorf("%s is there twice", address)
		}
		got[address] = v.Backend
	}
	want := map[string]string{
		"alice@example.com": "b1", "@example.org": "b2", "bob@example.com": "b1", "in@example.org": "b3",
		"@example.net": "b4", "bare": "b5", "carol@example.com": "b1", "dave@example.net": "b6", "last@example.com": "b7",
	}
	if !maps.Equal(got, want) {
		t.Errorf("winners %v\nwant %v", got, want)
	}
	for e := range s.all() {
		v, by, err := s.find(t.Context(), e.address)
		if err != nil || by == nil {
			t.Fatalf("%s: %v", e.address, err)
		}
		if b := e.beaten; b != nil && (b.by != by || b.value != v) {
			t.Errorf("%s of %s is beaten by %v of %s, found is %v of %s", e.address, e.member.name, b.value, b.by.name, v, by.name)
		}
		if e.beaten == nil && (e.value != v || e.member != by) {
			t.Errorf("%s of %s wins, found is %v of %s", e.address, e.member.name, v, by.name)
		}
	}
	if _, by, err := s.find(t.Context(), "nobody"); by != nil || err != nil {
		t.Errorf("nobody: %v, %v", by, err)
	}
}

func TestVerifyFindsWhatKeysHaveTwice(t *testing.T) {
	config := &configs.Config{Backends: configs.Backends{Defaults: configs.Default().Backends.Defaults}}
	s := &sourceSet{config: config, members: []*member{memberOf(t, "consul:p", map[string]string{
		"p/a": "alice@example.com 127.0.0.1\n", "p/b": "alice@example.com 127.0.0.1\nbob@example.com 127.0.0.1\n",
	})}}
	v, err := verifySources(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(v.Faults.First, "\n")
	if v.Faults.Count != 2 || !strings.Contains(text, "alice@example.com is there twice, in p/a and in p/b") ||
		!strings.Contains(text, `"127.0.0.1" is not configured: 3 entries`) {
		t.Errorf("%d faults:\n%s", v.Faults.Count, text)
	}
	if v.Sources[0].Entries != 3 || v.Sources[0].Beaten != 1 || v.States["active"] != 2 {
		t.Errorf("%+v", v)
	}
}

func TestFindingsAreBounded(t *testing.T) {
	var f findings
	for i := range 1000 {
		f.add("finding %d", i)
	}
	var text strings.Builder
	f.tell(&text, "fault")
	if n := strings.Count(text.String(), "\n"); n != manyFindings+1 || !strings.Contains(text.String(), "and 980 more") {
		t.Errorf("%d lines:\n%s", n, text.String())
	}
}

// By weights, whatever there was before: no backend is fuller for its weight than the next entry makes it.
func TestAssignFillsByWeight(t *testing.T) {
	a := &assigning{
		backends: []backend.Target{weighted("b1", 1), weighted("b2", 3), weighted("b3", 2)},
		fill:     map[string]int{"b1": 40},
	}
	for i := range 600 - 40 {
		a.fill[a.choose(fmt.Sprintf("m%d", i))]++
	}
	if a.fill["b1"] != 100 || a.fill["b2"] != 300 || a.fill["b3"] != 200 {
		t.Errorf("filled %v", a.fill)
	}
}

// Many who begin with the same counts must not all take the same one.
func TestAssignDrawsLotsAmongEquals(t *testing.T) {
	a := &assigning{backends: []backend.Target{weighted("b1", 1), weighted("b2", 1), weighted("b3", 1), weighted("b4", 1)}}
	chosen := make(map[string]int)
	for i := range 4000 {
		chosen[a.choose(fmt.Sprintf("m%d@example.com", i))]++
	}
	for name, n := range chosen {
		if n < 800 || n > 1200 {
			t.Errorf("%s was chosen %d times of 4000", name, n)
		}
	}
}

func weighted(name string, weight int) backend.Target {
	return backend.Target{Name: name, Weight: weight}
}

func TestNamedBackendsFollowTheDirectorysRule(t *testing.T) {
	config := &configs.Config{Backends: configs.Backends{
		Defaults: configs.Default().Backends.Defaults,
		Static: []configs.Backend{{
			Name: "guest-01", Address: []configs.BackendAddress{"127.0.0.11:110"}, Aliases: []configs.Name{"mail1"},
			BackendSettings: configs.BackendSettings{Login: "local"},
		}},
	}}
	config.Backends.Static[0].TLS, config.Backends.Static[0].ProxyProtocol = "none", "none"
	n, err := newNamedBackends(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{"GUEST-01": "guest-01", "mail1": "guest-01", "127.0.0.11": "guest-01", "guest-02": "guest-02"} {
		if got := n.name(value); got != want {
			t.Errorf("%s names %s, want %s", value, got, want)
		}
	}
	if _, found := n.target("guest-02"); found {
		t.Error("guest-02 is not configured")
	}
	if !n.same("mail1", "guest-01") || n.same("mail1", "guest-02") || !n.same("GUEST-02", "guest-02") {
		t.Error("same")
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "map"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(path, []byte("old"), 0o600), os.Symlink("map", link)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := replaceFile(link, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return broken
	}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("after a failure it holds %q", text)
	}
	if err := replaceFile(link, func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	text, _ := os.ReadFile(link)
	if err != nil || info.Mode() != 0o600 || string(text) != "new" {
		t.Errorf("%v, %v, %q", err, info.Mode(), text)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAddressList(t *testing.T) {
	var got []string
	for address, err := range addressList(strings.NewReader(" Alice \n\n# no\nbob%example.org\nA@EXAMPLE.net"), "example.com") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, address)
	}
	if want := []string{"alice@example.com", "bob@example.org", "a@example.net"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"alice\n@example.org\ncarol", "alice\n" + strings.Repeat("x", 2*maxListLine)} {
		var rows, faults int
		for _, err := range addressList(strings.NewReader(text), "") {
			rows++
			if err != nil {
				faults++
			}
		}
		if rows != 2 || faults != 1 {
			t.Errorf("%.20q: %d rows, %d faults", text, rows, faults)
		}
	}
}

// Nobody who redirects standard error gets a progress line unasked.
func TestImportProgress(t *testing.T) {
	var text strings.Builder
	newProgressLine(&text, false).end(consul.Progress{Shards: 3})
	if text.Len() > 0 {
		t.Errorf("unasked: %q", text.String())
	}
	p := newProgressLine(&text, true)
	for i := range 100 {
		p.show(consul.Progress{Shards: 100, Written: i})
	}
	p.end(consul.Progress{Shards: 100, Written: 60, Same: 40, Verified: 100})
	if rows := strings.Split(text.String(), "\n"); len(rows) < 3 || rows[0] != "0 of 100 shards written, 0 verified, 0 removed" ||
		rows[len(rows)-2] != "100 of 100 shards written, 100 verified, 0 removed" {
		t.Errorf("%q", rows)
	}
	text.Reset()
	p = &progressLine{out: &text, terminal: true, every: time.Nanosecond}
	p.show(consul.Progress{Shards: 2, Written: 1})
	p.end(consul.Progress{Shards: 2, Written: 2})
	if got := text.String(); strings.Count(got, "\r") != 2 || !strings.HasSuffix(got, "\x1b[K\n") {
		t.Errorf("on a terminal: %q", got)
	}
}

func TestChooseSource(t *testing.T) {
	file := func(name string) configs.Source {
		return configs.Source{Type: configs.SourceFile, Name: configs.Name(name)}
	}
	stored := configs.Source{Type: configs.SourceConsul, Name: "c"}
	config := func(sources, shadow []configs.Source) *configs.Config {
		return &configs.Config{Directory: configs.Directory{Sources: sources, Shadow: shadow}}
	}
	for _, c := range []struct {
		config            *configs.Config
		name, want, fault string
	}{
		{config([]configs.Source{file("f")}, nil), "", "f", ""},
		{config([]configs.Source{file("f")}, []configs.Source{stored}), "", "f", ""},
		{config([]configs.Source{file("f")}, []configs.Source{stored}), "c", "c", ""},
		{config([]configs.Source{{Type: configs.SourceSQL, Name: "s"}}, []configs.Source{stored}), "", "c", ""},
		{config([]configs.Source{file("f"), stored}, nil), "", "", "one of: f, c"},
		{config([]configs.Source{{Type: configs.SourceSQL, Name: "s"}}, nil), "", "", "no source that will do"},
		{config([]configs.Source{{Type: configs.SourceSQL, Name: "s"}}, nil), "s", "", "writes nowhere else"},
		{config([]configs.Source{file("f")}, nil), "x", "", "there are: f"},
	} {
		got, err := chooseSource(c.config, c.name, writable, writableSources)
		if got.name != c.want && c.fault == "" || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%q: %q, %v; want %q, %q", c.name, got.name, err, c.want, c.fault)
		}
	}
}
