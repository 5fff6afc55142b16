package configs

import (
	"errors"
	"fmt"
	"strings"
)

// maxExpanded bounds a single value after expansion, in octets.
const maxExpanded = 64 << 10

// expand replaces each ${NAME} in a single value by what lookup knows, and $${ by
// a literal ${. What it puts in is neither expanded again nor read as YAML, so a
// variable can't add keys. Errors name the variable, never its value.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for text != "" {
		before, after, found := strings.Cut(text, "${")
		text = after
		if !found {
			out.WriteString(before)
			break
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(literal + "${")
			continue
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed || !isVariable(name) {
			return "", errors.New("want ${NAME} with letters, digits and _ in NAME; a literal ${ is written $${")
		}
		value, ok := lookup(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		out.WriteString(before + value)
		text = rest
		if out.Len() > maxExpanded {
			return "", fmt.Errorf("want at most %d octets once the environment variables are in", maxExpanded)
		}
	}
	return out.String(), nil
}

func isVariable(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != "" && len(name) <= 255
}
