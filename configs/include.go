package configs

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// staticPath is where included backends end up.
const staticPath = "backends.static"

// tree reads a file and parses it; what is wrong with it is reported.
func (l *loader) tree(file string) (root ast.Node, ok bool) {
	data, err := l.read(file, l.left)
	if errors.Is(err, errTooLarge) {
		err = fmt.Errorf("want at most %d octets, with all included files", maxConfig)
	}
	if err != nil {
		l.report.faultAt(mark{file: file, line: 1, column: 1}, fmt.Sprintf("this file can't be read: %v", withoutPath(err)))
		return nil, false
	}
	l.left -= int64(len(data))
	return parse(file, data, l.report)
}

// include reads what backends.include names and puts those backends behind the
// static ones, in the order of the files' names.
func (l *loader) include(c *Config) {
	var files []string
	for i, pattern := range c.Backends.Include {
		files = append(files, l.matches(pattern, fmt.Sprintf("backends.include[%d]", i))...)
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		if root, ok := l.tree(file); ok && !isNull(root) {
			l.includeTree(file, root, &c.Backends)
		}
	}
}

// matches returns the files of one pattern. None is fine: the folder may fill up
// later. As in a shell, a star does not stand for a leading dot, because editors
// keep locks and backups there.
func (l *loader) matches(pattern Glob, path string) []string {
	if pattern == "" {
		return nil // it was refused
	}
	full := string(pattern)
	if !filepath.IsAbs(full) {
		full = filepath.Join(escapeGlob(filepath.Dir(l.path)), full)
	}
	files, err := l.glob(full)
	if err != nil {
		l.report.fault(path, "include: "+l.report.text(path)+": want a pattern of file names")
	}
	if slices.Contains(files, filepath.Clean(l.path)) {
		l.report.fault(path, "include: "+l.report.text(path)+": want a pattern that does not match this file itself")
		return nil
	}
	hidden := strings.HasPrefix(filepath.Base(full), ".")
	return slices.DeleteFunc(files, func(file string) bool {
		return !hidden && strings.HasPrefix(filepath.Base(file), ".")
	})
}

// escapeGlob makes a folder's name stand for itself in a pattern.
func escapeGlob(folder string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(folder)
}

// includeTree decodes an included file: a list of backends, or a mapping whose
// only key, static, holds one.
func (l *loader) includeTree(file string, root ast.Node, b *Backends) {
	w := l.walk(file)
	if _, ok := pairs(root); ok {
		entries, _ := w.entries(root, "", []string{"static"})
		root = nil
		if pair := entries["static"]; pair != nil {
			root = pair.Value
		}
	}
	if isNull(root) {
		return
	}
	parent := reflect.ValueOf(b).Elem()
	for _, f := range fieldsOf(parent.Type()) {
		if f.key == "static" {
			w.list(root, parent.FieldByIndex(f.index), slot{staticPath, f, parent})
		}
	}
}
