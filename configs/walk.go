package configs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// walk carries the syntax tree of one file into Go values, key by key and type by
// type. It stops at nothing: what is wrong is reported and the rest is read on.
//
// It goes only as deep as the Go types do, and follows no alias, so a tree can't
// make it work more than its size.
type walk struct {
	file   string // as the operator spelled it
	folder string // where relative paths start
	lookup func(string) (string, bool)
	read   func(name string, most int64) ([]byte, error) // a secret's file
	report *report
}

// slot is where a value belongs.
type slot struct {
	path  string
	field field
	// parent is the section that holds a list; its elements may begin as one of
	// its other fields (tag seed).
	parent reflect.Value
}

// value decodes n into v. Null leaves v alone: its default stays.
func (w *walk) value(n ast.Node, v reflect.Value, at slot) {
	if isNull(n) {
		return
	}
	w.report.marks[at.path] = nodeMark(w.file, n)
	switch {
	case isScalar(v.Type()):
		w.scalar(n, v, at)
	case v.Kind() == reflect.Struct:
		w.section(n, v, at.path)
	default:
		v.SetZero() // a list in the file replaces the default's
		w.list(n, v, at)
	}
}

// section decodes a mapping. Its keys are taken in the order of the Go fields, so
// that a field which seeds a later one is known by then.
func (w *walk) section(n ast.Node, v reflect.Value, path string) {
	entries, ok := w.entries(n, path, keysOf(v.Type()))
	if !ok {
		return
	}
	for _, f := range fieldsOf(v.Type()) {
		if pair, ok := entries[f.key]; ok {
			at := slot{join(path, f.key), f, v}
			m := nodeMark(w.file, pair.Key)
			m.null = true // until a value replaces the mark
			w.report.marks[at.path] = m
			w.value(pair.Value, v.FieldByIndex(f.index), at)
		}
	}
}

// entries returns a mapping's pairs by their keys. Keys that are not among those
// allowed, or stand there twice, are reported.
func (w *walk) entries(n ast.Node, path string, allowed []string) (map[string]*ast.MappingValueNode, bool) {
	list, ok := pairs(n)
	if !ok {
		w.wrongForm(n, path, "want a mapping with the keys "+strings.Join(allowed, ", "))
		return nil, false
	}
	entries := make(map[string]*ast.MappingValueNode, len(list))
	for _, pair := range list {
		at := nodeMark(w.file, pair.Key)
		key, ok := keyText(pair.Key)
		switch {
		case !ok:
			w.report.faultAt(at, fmt.Sprintf("%s can't be a key here: want a plain word", formOf(pair.Key)))
		case !slices.Contains(allowed, key):
			w.report.faultAt(at, unknownKey(key, path, allowed))
		case entries[key] != nil:
			first := nodeMark(w.file, entries[key].Key)
			w.report.faultAt(at, fmt.Sprintf("key %s stands here twice, first in line %d: want it once", key, first.line))
		default:
			entries[key] = pair
		}
	}
	return entries, true
}

func unknownKey(key, path string, allowed []string) string {
	where := "at the top"
	if path != "" {
		where = "in " + keyOf(path)
	}
	return fmt.Sprintf("unknown key %s %s%s (allowed: %s)", quote(key), where, didYouMean(key, allowed), strings.Join(allowed, ", "))
}

// list decodes a list behind what v holds already.
func (w *walk) list(n ast.Node, v reflect.Value, at slot) {
	nodes, ok := w.elements(n, at)
	if !ok {
		return
	}
	for i, node := range nodes {
		path := fmt.Sprintf("%s[%d]", at.path, v.Len())
		element := reflect.New(v.Type().Elem()).Elem()
		if !isScalar(element.Type()) {
			setDefaults(element)
			seed(element, at)
		}
		if isNull(node) {
			w.report.marks[path] = nullMark(w.file, n, i, node)
			w.report.fault(path, keyOf(path)+": want no empty entry in this list")
		}
		w.value(node, element, slot{path: path, field: field{key: at.field.key}})
		v.Set(reflect.Append(v, element))
	}
}

func (w *walk) elements(n ast.Node, at slot) ([]ast.Node, bool) {
	if list, ok := n.(*ast.SequenceNode); ok {
		return list.Values, true
	}
	if _, ok := scalarText(n); ok && at.field.single {
		return []ast.Node{n}, true
	}
	if at.field.single {
		w.wrongForm(n, at.path, "want a value or a list of values")
		return nil, false
	}
	w.wrongForm(n, at.path, "want a list")
	return nil, false
}

// seed begins an element of a list as the sibling of that list which the tag
// names: a backend begins with backends.defaults.
func seed(element reflect.Value, at slot) {
	name := at.field.tag.Get("seed")
	if name == "" {
		return
	}
	preset := at.parent.FieldByName(name)
	element.FieldByName(preset.Type().Name()).Set(preset)
}

// scalar decodes a single value.
func (w *walk) scalar(n ast.Node, v reflect.Value, at slot) {
	text, ok := scalarText(n)
	if !ok {
		w.wrongForm(n, at.path, "want a single value")
		return
	}
	if s, ok := v.Addr().Interface().(*Secret); ok {
		w.secret(text, s, at.path)
		return
	}
	m := w.report.marks[at.path]
	m.text = text
	w.report.marks[at.path] = m
	expanded, err := expand(text, w.lookup)
	if err == nil {
		err = w.setScalar(expanded, v, at.field)
	}
	if err == nil {
		return
	}
	message := fmt.Sprintf("%s: %s: %v", keyOf(at.path), quote(text), err)
	if c, ok := errors.AsType[*choiceError](err); ok {
		message += didYouMean(text, c.choices)
	}
	w.report.fault(at.path, message)
}

func (w *walk) setScalar(text string, v reflect.Value, f field) error {
	read := reflect.New(v.Type()).Elem()
	if text == "" && f.optional {
		v.Set(read)
		return nil
	}
	if err := convert(text, read); err != nil {
		return err
	}
	if err := checkBounds(read, f); err != nil {
		return err
	}
	if p, ok := read.Addr().Interface().(*Path); ok {
		*p = p.in(w.folder)
	}
	v.Set(read)
	return nil
}

func (w *walk) wrongForm(n ast.Node, path, want string) {
	prefix := ""
	if path != "" {
		prefix = keyOf(path) + ": "
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.DirectiveNode:
		want = "want the value written out"
	}
	w.report.failed[path] = true
	w.report.faultAt(nodeMark(w.file, n), prefix+formOf(n)+": "+want)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
