package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong, and where. Line and Column count from 1;
// columns count characters, not octets.
type Fault struct {
	File         string
	Line, Column int
	Message      string // what is wrong and what is allowed
}

// Error returns FILE:LINE:COLUMN: MESSAGE.
func (f Fault) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Faults is everything that is wrong, in the order of files and positions.
type Faults []Fault

// Error returns a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sort() {
	slices.SortFunc(f, func(a, b Fault) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			strings.Compare(a.Message, b.Message),
		)
	})
}

// mark is where a value stands.
type mark struct {
	file         string
	line, column int
	// text is a single value as it was written, before ${NAME}: the only form
	// that a message may show. Empty for a Secret.
	text string
	// null: the key stands there, but nothing behind it, so the default holds.
	null bool
}

// marks knows where each value stands, by its path, such as
// directory.sources[0].path. The root's path is empty.
type marks map[string]mark

// nearest returns the mark of path or of what encloses it; exact says which.
func (m marks) nearest(path string) (at mark, exact bool) {
	at, exact = m[path]
	for found := exact; !found && path != ""; at, found = m[path] {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return at, exact
}

// Position returns where the value of path stands, in a Fault that lacks only its
// message; path is written like directory.sources[0].path. An included backend has
// its index in the whole list. Where the value is not in a file, because it is a
// default, the position is that of what encloses it or of its key, and exact is
// false: exact says whether the operator has set it.
func (c *Config) Position(path string) (at Fault, exact bool) {
	m, exact := c.marks.nearest(path)
	return Fault{File: m.file, Line: m.line, Column: m.column}, exact && !m.null
}

// report gathers what a load learns besides the values: where they stand and what
// is wrong with them.
type report struct {
	marks  marks
	faults Faults
	failed map[string]bool // paths that have a fault already
}

func newReport() *report {
	return &report{marks: marks{}, failed: map[string]bool{}}
}

// fault notes that the value of path is wrong.
func (r *report) fault(path, message string) {
	at, _ := r.marks.nearest(path)
	r.failed[path] = true
	r.faultAt(at, message)
}

func (r *report) faultAt(at mark, message string) {
	r.faults = append(r.faults, Fault{at.file, at.line, at.column, message})
}

// hasFault reports whether path, or what encloses it, is known to be wrong, so
// that what follows from it need not be said too.
func (r *report) hasFault(path string) bool {
	for !r.failed[path] && path != "" {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return r.failed[path]
}

// place returns FILE:LINE of path, for a message that points to another value.
func (r *report) place(path string) string {
	at, _ := r.marks.nearest(path)
	return fmt.Sprintf("%s:%d", at.file, at.line)
}

// text returns the value of path as it was written.
func (r *report) text(path string) string {
	at, _ := r.marks.nearest(path)
	return quote(at.text)
}

// quote makes a text of the file fit for one line of a message.
func quote(text string) string {
	const longest = 80
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "..."
	}
	return fmt.Sprintf("%q", text)
}

// keyOf returns the key that path ends in, without an index.
func keyOf(path string) string {
	key := path[strings.LastIndexByte(path, '.')+1:]
	key, _, _ = strings.Cut(key, "[")
	return key
}
