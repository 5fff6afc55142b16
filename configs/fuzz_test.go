package configs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzLoader loads main, and included as the file that every pattern matches. It
// reaches neither the real file system nor the real environment.
func fuzzLoader(main, included string) *loader {
	l := newLoader("postern.yaml")
	l.glob = func(string) ([]string, error) { return []string{"included.yaml"}, nil }
	l.lookup = func(name string) (string, bool) {
		if name == "POSTERN_ANNA" {
			return sampleToken, true
		}
		return "7s", name != "NONE"
	}
	l.secret = func(string, int64) ([]byte, error) { return []byte(sampleToken), nil }
	l.read = func(name string, most int64) ([]byte, error) {
		switch name {
		case "postern.yaml":
			return []byte(main), nil
		case "included.yaml":
			return []byte(included), nil
		}
		return nil, fs.ErrNotExist
	}
	return l
}

// FuzzLoad: whatever stands in the files, a load gives a configuration that is
// valid, or faults that each point into a file.
func FuzzLoad(f *testing.F) {
	f.Add(string(Reference()), "")
	for _, pattern := range []string{"examples/*/*.yaml", "examples/*/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text), string(text))
		}
	}
	f.Add(includes, "- {name: a, address: \"${A}\"}\n-\n- ~\n")
	f.Add("listeners: [{address: &a *a, <<: x}]\n? [a]\n: !!b |\n c\n", "static: >-\n  x\n")
	f.Add("#\r\n:", "a: b: c")                   // CR LF behind a comment is one line break
	f.Add("\"x\n    a\t\t\tb: example.o\\g", "") // a syntax error behind tabs in a quoted text
	f.Add("log: {}\r# \xe9", "\xff")             // no UTF-8, behind a carriage return
	f.Fuzz(func(t *testing.T, main, included string) {
		texts := map[string]string{"postern.yaml": main, "included.yaml": included}
		c, err := fuzzLoader(main, included).load()
		if err != nil {
			checkFaultsPointInto(t, texts, err)
			return
		}
		for path, m := range c.marks {
			if !isInside(texts[m.file], m.line, m.column) {
				t.Errorf("%s stands nowhere: %+v", path, m)
			}
		}
		r := newReport()
		validate(c, r)
		if len(r.faults) > 0 || len(c.Listeners) == 0 || len(c.Directory.Sources) == 0 {
			t.Errorf("loaded, but not valid: %+v, %v", c, r.faults)
		}
	})
}

func checkFaultsPointInto(t *testing.T, texts map[string]string, err error) {
	t.Helper()
	faults, ok := errors.AsType[Faults](err)
	if !ok || len(faults) == 0 {
		t.Fatalf("want Faults, got %v", err)
	}
	for _, fault := range faults {
		text, known := texts[fault.File]
		if !known || !isInside(text, fault.Line, fault.Column) || strings.Contains(fault.Message, "\n") || !utf8.ValidString(fault.Message) {
			t.Errorf("a fault that points nowhere: %+v", fault)
		}
	}
}

// isInside reports whether text has that line and that column, or ends there.
func isInside(text string, line, column int) bool {
	lines := strings.Split(lineBreaks.Replace(strings.TrimPrefix(text, "\ufeff")), "\n")
	return line >= 1 && line <= len(lines) && column >= 1 && column <= utf8.RuneCountInString(lines[line-1])+1
}
