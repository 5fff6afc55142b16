package configs

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestMarksPointAtTheirText: in the reference and the examples, whatever stands at
// a value's position is that value. CR LF moves nothing.
func TestMarksPointAtTheirText(t *testing.T) {
	files, err := filepath.Glob("examples/*/postern.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "reference.yaml") {
		data, err := readFile(file, maxConfig)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(data), strings.ReplaceAll(string(data), "\n", "\r\n")} {
			l := fuzzLoader(text, "")
			l.lookup = func(name string) (string, bool) {
				switch name {
				case "POSTERN_ANNA":
					return sampleToken, true
				case "POSTERN_WATCH":
					return strings.ToUpper(sampleToken), true
				}
				return "203.0.113.7", true
			}
			c, err := l.load()
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			checkMarks(t, c, strings.Split(text, "\n"))
		}
	}
}

func checkMarks(t *testing.T, c *Config, lines []string) {
	t.Helper()
	checked := 0
	for path, m := range c.marks {
		rest := string([]rune(lines[m.line-1])[m.column-1:])
		if m.text != "" && !strings.HasPrefix(strings.TrimLeft(rest, `"'`), m.text) {
			t.Errorf("%s: %q is not at %d:%d, where %q is", path, m.text, m.line, m.column, rest)
		}
		if m.text != "" {
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("only %d values checked", checked)
	}
}
