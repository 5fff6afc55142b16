package consul

import (
	"bytes"
	"fmt"
	"strings"
)

const maxDeclaredSize = 512 << 10 // in octets, as Consul's own bound of a value

// declaration is a name that may own what nobody assigned, in the form in which it is kept on disk.
type declaration struct {
	Weight int  `json:"weight,omitempty"` // 0: the defaults'
	Held   bool `json:"held,omitempty"`   // it left its key with too many others
}

// parseDeclared reads the key of declared names: a name in each line, and `weight=N` behind it where
// it has a share other than the default. A # starts a comment, at the line's start or behind white space.
//
// The weight is here and not in the instances' meta keys, because it decides where mailboxes live that
// nobody assigned: a guest that registers itself anew with another weight would move
// them, and their mail would stay behind.
func parseDeclared(text []byte) (map[string]declaration, error) {
	if len(text) > maxDeclaredSize {
		return nil, fmt.Errorf("more than %d octets", maxDeclaredSize)
	}
	declared := make(map[string]declaration)
	number := 0
	for line := range bytes.Lines(text) {
		number++
		name, weight, err := parseLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if _, twice := declared[name]; twice {
			return nil, fmt.Errorf("line %d: %s is there already", number, name)
		}
		if name != "" {
			declared[name] = declaration{Weight: weight}
		}
	}
	return declared, nil
}

// parseLine returns no name for a line without one.
func parseLine(line string) (name string, weight int, err error) {
	fields := strings.Fields(line)
	for i, field := range fields {
		if strings.HasPrefix(field, "#") {
			fields = fields[:i]
			break
		}
	}
	if len(fields) == 0 {
		return "", 0, nil
	}
	name = strings.ToLower(fields[0])
	if !isName(name) {
		return "", 0, fmt.Errorf("name %q: %w", clean(name), errName)
	}
	for _, attribute := range fields[1:] {
		value, ok := strings.CutPrefix(attribute, "weight=")
		if !ok {
			return "", 0, fmt.Errorf("%q: want weight=N", clean(attribute))
		}
		if weight, err = parseWeight(value); err != nil {
			return "", 0, err
		}
	}
	return name, weight, nil
}

func parseWeight(value string) (int, error) {
	weight, err := number(value, 1, maxWeight)
	if err != nil {
		return 0, fmt.Errorf("weight: %w", err)
	}
	return weight, nil
}
