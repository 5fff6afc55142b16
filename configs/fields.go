package configs

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// field is what a struct field's tags say about its key.
type field struct {
	key   string
	index []int
	tag   reflect.StructTag

	required, optional, single bool
}

// fieldsOf lists the keys of a section in their order, those of an embedded struct
// among them.
func fieldsOf(section reflect.Type) []field {
	var list []field
	for _, f := range reflect.VisibleFields(section) {
		tag, ok := f.Tag.Lookup("yaml")
		if !ok || !f.IsExported() {
			continue
		}
		parts := strings.Split(tag, ",")
		list = append(list, field{
			key:      parts[0],
			index:    f.Index,
			tag:      f.Tag,
			required: slices.Contains(parts, "required"),
			optional: slices.Contains(parts, "optional"),
			single:   slices.Contains(parts, "single"),
		})
	}
	return list
}

// keysOf lists a section's keys.
func keysOf(section reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(section) {
		keys = append(keys, f.key)
	}
	return keys
}

// isScalar reports whether t is written as a single value.
func isScalar(t reflect.Type) bool {
	if t == reflect.TypeFor[Secret]() || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice
}

// Default returns the configuration that an empty file asks for. It can't serve:
// it has no listener and no source.
func Default() Config {
	var c Config
	setDefaults(reflect.ValueOf(&c).Elem())
	return c
}

// setDefaults gives every key of a section its default. A default that can't be
// read is a mistake in config.go, which the first test of this package meets.
func setDefaults(section reflect.Value) {
	for _, f := range fieldsOf(section.Type()) {
		v := section.FieldByIndex(f.index)
		text, ok := f.tag.Lookup("default")
		if !ok && v.Kind() == reflect.Struct && !isScalar(v.Type()) {
			setDefaults(v)
		}
		if !ok {
			continue
		}
		if err := setDefault(v, text); err != nil {
			panic(fmt.Sprintf("default of %s.%s: %v", section.Type(), f.key, err))
		}
	}
}

func setDefault(v reflect.Value, text string) error {
	if isScalar(v.Type()) {
		return convert(text, v)
	}
	for word := range strings.FieldsSeq(text) {
		element := reflect.New(v.Type().Elem()).Elem()
		if err := convert(word, element); err != nil {
			return err
		}
		v.Set(reflect.Append(v, element))
	}
	return nil
}
