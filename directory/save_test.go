package directory

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// savedFiles are the files in a state folder.
func savedFiles(t *testing.T, folder string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		files = append(files, filepath.Join(folder, entry.Name()))
	}
	return files
}

func (s *told) tell(groups ...Group) { s.say <- Update{Groups: groups}; synctest.Wait() }

func TestStateOutlivesTheProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		first := newTold()
		o := Options{State: folder, ShrinkGuard: contract, Sources: []NamedSource{{Name: "file:a/../b", Source: first, Fingerprint: "f"}}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			first.tell(Group{"g", build(t, "alice guest-01", "@example.org guest-02 {local}-x")}, Group{"h", build(t, "bob guest-02")})
			time.Sleep(2 * time.Second)
			if files := savedFiles(t, folder); len(files) != 0 {
				t.Errorf("saved already: %v", files)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if files := savedFiles(t, folder); len(files) != 1 {
				t.Errorf("not saved: %v", files)
			}
		})
		saved := time.Now()
		time.Sleep(48 * time.Hour)
		second := newTold()
		o.Sources[0].Source = second
		running(t, o, func(t *testing.T, d *Directory, log *bytes.Buffer) {
			second.say <- Update{Err: errors.New("down")}
			if err := d.Load(t.Context()); err != nil {
				t.Errorf("loading: %v", err)
			}
			synctest.Wait()
			s := d.Status()[0]
			if !s.Saved || s.Entries != 3 || saved.Sub(s.LoadedAt) > 3*time.Second || s.LoadedAt.After(saved) || s.Err == nil {
				t.Errorf("status %+v", s)
			}
			if !strings.Contains(log.String(), "age=48h0m") {
				t.Errorf("the log does not tell the age:\n%s", log)
			}
			for user, want := range map[string]string{"alice": "guest-01", "bob": "guest-02", "x@example.org": "guest-02", "carol": "unknown"} {
				if got := owner(t, d, Query{User: user}); got != want {
					t.Errorf("%s: %s, want %s", user, got, want)
				}
			}
			if r, _ := d.Locate(t.Context(), Query{User: "x@example.org"}); r.Login != "x-x" {
				t.Errorf("login %q", r.Login)
			}
			second.tell(Group{"g", build(t, "carol guest-03")})
			if s := d.Status()[0]; s.Saved || s.Err != nil || s.Entries != 1 || s.LoadedAt != time.Now() {
				t.Errorf("with its own state again: %+v", s)
			}
		})
	})
}

// TestSavedStateOfAnother holds that nothing comes back which a changed configuration would not have said.
func TestSavedStateOfAnother(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := func(name, fingerprint, domain string, update Update, known bool) {
			t.Helper()
			source := newTold()
			o := Options{State: folder, DefaultDomain: domain, Sources: []NamedSource{{Name: name, Fingerprint: fingerprint, Source: source}}}
			running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
				t.Helper()
				source.say <- update
				var fault *LoadError
				if err := d.Load(t.Context()); known != (err == nil) || !known && (!errors.As(err, &fault) || fault.Source != name) {
					t.Errorf("%s %s %s: loaded: %v", name, fingerprint, domain, err)
				}
			})
		}
		down := Update{Err: errors.New("down")}
		start("a", "1", "example.com", down, false)
		start("a", "1", "example.com", Update{Groups: []Group{{"g", build(t, "alice@example.com guest-01")}}}, true)
		start("a", "1", "example.com", down, true)
		start("a", "2", "example.com", down, false)
		start("b", "1", "example.com", down, true) // the same one by another name
		start("b", "2", "example.com", down, false)
		start("a", "1", "example.org", down, false)
		start("a", "1", "example.com", down, true)
		for _, file := range savedFiles(t, folder) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			content[len(content)-1] ^= 1
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		start("a", "1", "example.com", down, false)
	})
}

func TestShrinkGuardComparesWithSavedState(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &following{t: t}
		source := newTold()
		o := Options{State: folder, ShrinkGuard: contract, Sources: []NamedSource{{Name: "a", Source: source}}}
		running(t, o, func(*testing.T, *Directory, *bytes.Buffer) { source.tell(Group{"g", f.table(100)}) })
		source = newTold()
		o.Sources[0].Source = source
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			source.say <- Update{Err: errors.New("down")}
			source.tell(Group{"g", f.table(10)})
			if s := d.Status()[0]; !s.Held || !s.Saved || s.Entries != 100 {
				t.Errorf("status %+v", s)
			}
		})
	})
}

func TestSavesAreFew(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		source := newTold()
		o := Options{State: folder, Sources: []NamedSource{{Name: "a", Source: source}}, ShrinkGuard: ShrinkGuard{Ratio: 1}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			writes, last := 0, ""
			for i := range 300 { // a change each 200 ms, for a minute
				source.tell(Group{"g", build(t, "alice guest-01 login"+strings.Repeat("x", i%50))})
				time.Sleep(200 * time.Millisecond)
				synctest.Wait()
				for _, file := range savedFiles(t, folder) {
					if content, err := os.ReadFile(file); err == nil && string(content) != last {
						writes, last = writes+1, string(content)
					}
				}
			}
			if writes < 4 || writes > 7 {
				t.Errorf("%d writes in a minute", writes)
			}
		})
	})
}

func TestAnswersOutliveTheProcess(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newResolving("alice guest-01", "bob guest-02")
		o := Options{State: folder, Sources: []NamedSource{{Name: "sql", Resolver: r, Cache: cached()}}}
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			r.set("bob", Value{Backend: "guest-02", Login: "B", State: Moving}, nil)
			owner(t, d, Query{User: "alice"})
			owner(t, d, Query{User: "bob"})
		})
		asked := time.Now()
		r.set("", Value{}, errors.New("down"))
		time.Sleep(30 * time.Minute)
		running(t, o, func(t *testing.T, d *Directory, _ *bytes.Buffer) {
			if err := d.Load(t.Context()); err != nil {
				t.Errorf("loading: %v", err)
			}
			b, err := d.Locate(t.Context(), Query{User: "bob"})
			if err != nil || b.Login != "B" || b.State != Moving || asked.Sub(b.AskedAt) > time.Second {
				t.Errorf("%+v, %v", b, err)
			}
			if got := owner(t, d, Query{User: "carol"}); got != "error" {
				t.Errorf("carol: %s", got)
			}
			time.Sleep(31 * time.Minute)
			if got := owner(t, d, Query{User: "alice"}); got != "error" {
				t.Errorf("beyond its time: %s", got)
			}
		})
	})
}

func TestEncodedGroupsAreDecoded(t *testing.T) {
	want := map[string]*Table{
		"g": build(t, "alice@example.com guest-01", "bob guest-02 {local}-x", "@example.org [2001:db8::1]:110", "münchen@example.com guest-01"),
		"h": build(t, "alice@example.com guest-02"),
	}
	var text bytes.Buffer
	at := time.UnixMilli(1_700_000_000_123)
	if err := encodeGroups(&text, at, want); err != nil {
		t.Fatal(err)
	}
	when, got, err := decodeGroups(bytes.NewReader(text.Bytes()))
	if err != nil || !when.Equal(at) || len(got) != 2 {
		t.Fatalf("%v, %d groups, %v", when, len(got), err)
	}
	for name := range want {
		if !maps.Equal(maps.Collect(want[name].All()), maps.Collect(got[name].All())) {
			t.Errorf("group %s differs", name)
		}
	}
	for cut := range text.Len() {
		if _, _, err := decodeGroups(bytes.NewReader(text.Bytes()[:cut])); !errors.Is(err, errEncoding) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	if _, _, err := decodeGroups(bytes.NewReader(append(slices.Clone(text.Bytes()), 0))); !errors.Is(err, errEncoding) {
		t.Errorf("something more: %v", err)
	}
	if err := decodeAnswers(bytes.NewReader(text.Bytes()), nil); !errors.Is(err, errEncoding) {
		t.Errorf("as another kind: %v", err)
	}
}

// FuzzDecode holds that no octets make the decoder panic, or keep what an encoder could not have written.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("F\x00\x01\x01g\x01\x08guest-01\x01\x05alice\x00"))
	f.Add([]byte("A\x01\x05alice\x08guest-01\x00\x00\x00\x00"))
	f.Add([]byte("F\x00\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if at, groups, err := decodeGroups(bytes.NewReader(text)); err == nil {
			var again bytes.Buffer
			if err := encodeGroups(&again, at, groups); err != nil {
				t.Fatal(err)
			}
			if _, same, err := decodeGroups(&again); err != nil || len(same) != len(groups) {
				t.Errorf("%q: %v", text, err)
			}
		}
		_ = decodeAnswers(bytes.NewReader(text), func(address string, v Value, _ time.Time) {
			if len(address) > maxName || checkValue(v) != nil {
				t.Errorf("%q is %+v", address, v)
			}
		})
	})
}
