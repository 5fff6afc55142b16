package configs

import (
	"cmp"
	"encoding"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// convert reads text as a value of v's type. Its error says what is wanted and
// does not repeat the text, which may come from the environment.
func convert(text string, v reflect.Value) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = parseDuration(text)
		return err
	case *netip.Prefix:
		*p, err = parsePrefix(text)
		return err
	case *Secret:
		*p, err = parseSecret(text)
		return err
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.Bool:
		return convertBool(text, v)
	case reflect.Int:
		return convertInt(text, v)
	case reflect.Float64:
		return convertFloat(text, v)
	case reflect.String:
		return convertString(text, v)
	}
	return errors.New("want a type that this program can read") // a test walks all of Config's
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("want a duration such as 90s, 15m or 1h30m")
	}
	return d, nil
}

// convertBool takes YAML 1.2's words only: yes and on, which YAML 1.1 had, are
// strings to one reader and true to the next.
func convertBool(text string, v reflect.Value) error {
	isTrue := slices.Contains([]string{"true", "True", "TRUE"}, text)
	if !isTrue && !slices.Contains([]string{"false", "False", "FALSE"}, text) {
		return errors.New("want true or false")
	}
	v.SetBool(isTrue)
	return nil
}

func convertInt(text string, v reflect.Value) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("want a whole number such as 200")
	}
	v.SetInt(int64(n))
	return nil
}

func convertFloat(text string, v reflect.Value) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) {
		return errors.New("want a number such as 0.5")
	}
	v.SetFloat(f)
	return nil
}

func convertString(text string, v reflect.Value) error {
	if c, ok := v.Interface().(choice); ok && !slices.Contains(c.choices(), text) {
		return &choiceError{c.choices()}
	}
	v.SetString(text)
	return nil
}

// choiceError lists what is allowed, also for whoever wants to guess what was meant.
type choiceError struct{ choices []string }

func (e *choiceError) Error() string { return "want " + alternatives(e.choices) }

// checkBounds holds v against its field's tags min, above and max.
func checkBounds(v reflect.Value, f field) error {
	bounds := []struct {
		tag, want string
		ok        func(order int) bool
	}{
		{"min", "at least ", func(order int) bool { return order >= 0 }},
		{"above", "more than ", func(order int) bool { return order > 0 }},
		{"max", "at most ", func(order int) bool { return order <= 0 }},
	}
	for _, b := range bounds {
		text, has := f.tag.Lookup(b.tag)
		if !has {
			continue
		}
		limit := reflect.New(v.Type()).Elem()
		if err := convert(text, limit); err != nil {
			return err
		}
		if !b.ok(order(v, limit)) {
			return errors.New("want " + b.want + text)
		}
	}
	return nil
}

func order(a, b reflect.Value) int {
	if a.CanFloat() {
		return cmp.Compare(a.Float(), b.Float())
	}
	return cmp.Compare(a.Int(), b.Int())
}
