package main

import (
	"context"
	"strings"

	"postern/backend"
	"postern/configs"
	"postern/directory"
)

// namedBackends knows which backends the values of entries name. A value may be a name in any case, an alias or an
// address, and the directory alone has the rule for that: so it is a directory without entries that is asked.
type namedBackends struct {
	*backends // those of the configuration, and of the catalogue as it is now
	dir       *directory.Directory
	known     map[string]*backend.Target // by value; nil: it names none
}

func newNamedBackends(ctx context.Context, config *configs.Config) (*namedBackends, error) {
	made, err := buildBackends(config)
	if err != nil {
		return nil, usageError{err}
	}
	if made, err = made.list(ctx, config); err != nil {
		return nil, err
	}
	dir, err := directory.New(directory.Options{})
	if err != nil {
		return nil, err
	}
	if err := made.giveTo(dir); err != nil {
		return nil, usageError{err}
	}
	return &namedBackends{backends: made, dir: dir, known: make(map[string]*backend.Target)}, nil
}

// target finds the backend that a value names.
func (n *namedBackends) target(value string) (*backend.Target, bool) {
	t, seen := n.known[value]
	if !seen && value != "" {
		t, _ = n.dir.Backend(value)
		n.known[value] = t
	}
	return t, t != nil
}

// name is the backend's own name, or the value where it names none.
func (n *namedBackends) name(value string) string {
	if t, found := n.target(value); found {
		return t.Name
	}
	return value
}

// same tells whether two values name one backend.
func (n *namedBackends) same(a, b string) bool { return strings.EqualFold(n.name(a), n.name(b)) }
