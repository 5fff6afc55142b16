package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/directory"
	"postern/directory/directorytest"
	"postern/directory/mapfile"
)

// folderSite is a folder, with much that is no map.
type folderSite struct{ site }

func (s folderSite) Set(t *testing.T, lines string) {
	t.Helper()
	place := s.path
	if _, err := os.Stat(s.aside); err == nil {
		place = s.aside
	}
	if err := os.MkdirAll(filepath.Join(place, "subfolder.map"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"README~": "no map", ".hidden": "none", "old.bak": "either", "x.swp": "\x00", "b.map": "# empty"} {
		write(t, filepath.Join(place, name), text)
	}
	write(t, filepath.Join(place, "a.tmp"), lines)
	rename(t, filepath.Join(place, "a.tmp"), filepath.Join(place, "a"))
}

func TestConformanceOfAFolder(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		at := folderSite{newSite(t)}
		return source(t, Options{Path: at.path, Settle: 50 * time.Millisecond, Poll: 500 * time.Millisecond}), at
	})
}

// packedSite is a file that is packed by gzip.
type packedSite struct{ site }

func (s packedSite) Set(t *testing.T, lines string) { s.site.Set(t, packed(t, lines)) }

func packed(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestConformanceOfAPackedFile(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		at := packedSite{newSite(t)}
		return source(t, Options{Path: at.path, Settle: 20 * time.Millisecond}), at
	})
}

func TestWhatIsPackedBadly(t *testing.T) {
	at := newSite(t)
	whole := packed(t, strings.Repeat("# a comment\n", 100_000)+"alice guest-01\n")
	for text, want := range map[string]string{
		whole[:len(whole)/2]:   "unexpected EOF",
		whole[:12]:             "unexpected EOF",
		whole + "x":            "unexpected EOF",
		"\x1f\x8b\x07" + whole: "gzip: invalid header",
		whole:                  "larger than any mailbox map",
	} {
		at.Set(t, text)
		s := source(t, Options{Path: at.path})
		if text == whole {
			s.most = 1 << 20
		}
		results, err := s.load(t.Context(), []seen{{path: at.path}}, nil)
		if err != nil || results[0].err == nil || !strings.Contains(results[0].err.Error(), want) {
			t.Errorf("%d octets: %v, want %s", len(text), results, want)
		}
	}
	at.Set(t, packed(t, "alice guest-01\nbob\nalice guest-02\n"))
	want := at.path + ":2:4: no backend behind the address\n" + at.path + ":3:1: alice has an entry already, in line 1"
	if err := Check(t.Context(), at.path, "", nil); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// folder is a running source over a folder, with what it said.
type folder struct {
	t    *testing.T
	path string
	look chan struct{}
	up   chan directory.Update
	said map[string]*directory.Table
}

func newFolder(t *testing.T, files map[string]string) *folder {
	f := &folder{t: t, path: t.TempDir(), look: make(chan struct{}), up: make(chan directory.Update), said: make(map[string]*directory.Table)}
	for name, text := range files {
		write(t, f.file(name), text)
	}
	ended := make(chan error, 1)
	s := source(t, Options{Path: f.path, Settle: time.Hour, Poll: time.Hour})
	go func() { ended <- s.Run(t.Context(), f.look, f.up) }()
	t.Cleanup(func() { <-ended })
	return f
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

// next takes an update and returns its fault.
func (f *folder) next() string {
	f.t.Helper()
	u := next(f.t, f.up)
	for _, group := range u.Groups {
		if f.said[group.Name] = group.Table; group.Table.Len() == 0 {
			delete(f.said, group.Name)
		}
	}
	if u.Err == nil {
		return ""
	}
	return strings.ReplaceAll(u.Err.Error(), f.path+"/", "")
}

func (f *folder) looks() string { f.look <- struct{}{}; return f.next() }

// holds wants exactly these entries, as ADDRESS BACKEND.
func (f *folder) holds(when string, want ...string) {
	f.t.Helper()
	var got []string
	for _, table := range f.said {
		for address, v := range table.All() {
			got = append(got, address+" "+v.Backend)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		f.t.Errorf("%s: the source holds %v, want %v", when, got, want)
	}
}

func TestFilesOfAFolder(t *testing.T) {
	f := newFolder(t, map[string]string{"a": "alice g\n", "b": "bob g\n", "c": "carol g\n"})
	if fault := f.next(); fault != "" {
		t.Fatal(fault)
	}
	f.holds("at the start", "alice g", "bob g", "carol g")

	write(t, f.file("a"), "alice h\n")
	write(t, f.file("b"), "bob\n")
	if fault := f.looks(); fault != "b:1:4: no backend behind the address" {
		t.Errorf("a broken file: %s", fault)
	}
	f.holds("one is broken, one changed", "alice h", "bob g", "carol g")

	if err := os.Remove(f.file("c")); err != nil {
		t.Fatal(err)
	}
	write(t, f.file("d"), "dave g\n")
	if fault := f.looks(); fault == "" {
		t.Error("the fault is forgotten")
	}
	f.holds("one gone, one come, one still broken", "alice h", "bob g", "dave g")

	write(t, f.file("b"), "bob h\n")
	if fault := f.looks(); fault != "" {
		t.Error(fault)
	}
	f.holds("mended", "alice h", "bob h", "dave g")

	if err := os.RemoveAll(f.path); err != nil {
		t.Fatal(err)
	}
	if fault := f.looks(); fault == "" {
		t.Error("a missing folder is no fault")
	}
	f.holds("without a folder", "alice h", "bob h", "dave g")
	if err := os.Mkdir(f.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if fault := f.looks(); !strings.Contains(fault, "there is no mailbox map in it") {
		t.Errorf("an empty folder: %s", fault)
	}
	f.holds("an empty folder", "alice h", "bob h", "dave g")
}

func TestAnAddressInTwoFiles(t *testing.T) {
	f := newFolder(t, map[string]string{"a": "x g\nalice g\n", "b": "bob g\n", "c": "carol g\n"})
	f.next()
	write(t, f.file("a"), "x g\nalice h\n")
	write(t, f.file("b"), "bob h\n\n alice b\n")
	write(t, f.file("c"), "alice c\nx c\n")
	want := "b:3:2: alice has an entry already, in a:2\nc:1:1: alice has an entry already, in a:2\nc:2:1: x has an entry already, in a:1"
	for range 2 {
		if fault := f.looks(); fault != want {
			t.Errorf("%s, want %s", fault, want)
		}
		f.holds("with addresses in two files", "alice h", "bob g", "carol g", "x g")
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "user%d g\n", i)
	}
	write(t, f.file("b"), many.String())
	write(t, f.file("c"), many.String())
	fault := f.looks()
	if lines := strings.Split(fault, "\n"); len(lines) != maxTwice+1 || lines[0] != "c:1:1: user0 has an entry already, in b:1" || lines[maxTwice] != "c: and 80 more" {
		t.Errorf("%s", fault)
	}
	write(t, f.file("c"), "carol h\n")
	if fault := f.looks(); fault != "" {
		t.Error(fault)
	}
	if n := len(f.said); n != 3 {
		t.Errorf("%d groups", n)
	}
}

// TestAPieceOfAFirstStateIsNotSent: nothing goes before everything can.
func TestAPieceOfAFirstStateIsNotSent(t *testing.T) {
	f := newFolder(t, map[string]string{"a": "alice g\n", "b": "bob\n"})
	if fault := f.next(); fault == "" {
		t.Error("no fault")
	}
	f.holds("at a broken start")
	write(t, f.file("b"), "bob g\n")
	if fault := f.looks(); fault != "" {
		t.Error(fault)
	}
	f.holds("mended", "alice g", "bob g")
}

func TestCheckOfAFolder(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "a"), "alice g\nbob h\n")
	write(t, filepath.Join(folder, "b.gz"), packed(t, "carol\n"))
	err := Check(t.Context(), folder, "", func(backend string) bool { return backend == "g" })
	if err == nil || err.Error() != folder+"/a:2:5: mailbox bob: backend \"h\" is not configured\n"+folder+"/b.gz:1:6: no backend behind the address" ||
		!errors.As(err, new(*mapfile.Faults)) {
		t.Errorf("%v", err)
	}
	if err := Check(t.Context(), t.TempDir(), "", nil); !errors.Is(err, errNoFile) {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestALargeFileIsManyGroups: one entry that changes is sent with its block, under the block's old name.
func TestALargeFileIsManyGroups(t *testing.T) {
	at := newSite(t)
	var text []string
	for i := range 40_000 {
		text = append(text, fmt.Sprintf("user%d@example.com guest-01 # %0200d\n", i, i))
	}
	at.Set(t, strings.Join(text, ""))
	s := source(t, Options{Path: at.path})
	r := &reading{source: s, changes: &watch{log: s.log}}
	u, _, _ := r.once(t.Context())
	if len(u.Groups) < 2 {
		t.Fatalf("%d groups, %v", len(u.Groups), u.Err)
	}
	text[20_000] = "user20000@example.com guest-02\n"
	at.Set(t, strings.Join(text, ""))
	names := make(map[string]bool)
	for _, group := range u.Groups {
		names[group.Name] = true
	}
	u, news, _ := r.once(t.Context())
	if !news || u.Err != nil || len(u.Groups) > 3 || !names[u.Groups[0].Name] {
		t.Errorf("%d groups after one change, %v", len(u.Groups), u.Err)
	}
	if u, news, _ = r.once(t.Context()); news || len(u.Groups) > 0 {
		t.Errorf("%d groups after none", len(u.Groups))
	}
}
