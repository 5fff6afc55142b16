package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/backend"
	"postern/configs"
	"postern/directory"
)

// namedBackends knows which backends the values of entries name. A value may be a name in any case, an alias or an
// address, and the directory alone has the rule for that: so it is a directory that is asked, of nothing but
// the values.
type namedBackends struct {
	config *configs.Config
	known  map[string]*backend.Target // by value; nil: it names none
}

func newNamedBackends(config *configs.Config) *namedBackends {
	return &namedBackends{config: config, known: make(map[string]*backend.Target)}
}

// learn finds the backends of values.
func (n *namedBackends) learn(ctx context.Context, values ...string) error {
	values = n.unknown(values)
	if len(values) == 0 {
		return nil
	}
	entries := directory.NewBuilder("")
	for i, value := range values {
		if err := entries.Add([]byte(valueAddress(i)), directory.Value{Backend: value}); err != nil {
			return fmt.Errorf("backend %.80q: %w", value, err)
		}
	}
	dir, err := directory.New(directory.Options{Sources: []directory.NamedSource{
		{Name: "values", Source: fixedSource{entries.Build()}},
	}})
	if err != nil {
		return err
	}
	if err := setBackends(dir, n.config); err != nil {
		return usageError{err}
	}
	running := start(dir.Run)
	defer running.stop()
	if err := dir.Load(ctx); err != nil {
		return err
	}
	for i, value := range values {
		route, err := dir.Locate(ctx, directory.Query{User: valueAddress(i)})
		if _, homeless := errors.AsType[*directory.NoBackendError](err); err != nil && !homeless {
			return fmt.Errorf("backend %.80q: %w", value, err)
		}
		n.known[value] = route.Backend
	}
	return nil
}

// unknown are those values that were not asked for yet, once each.
func (n *namedBackends) unknown(values []string) []string {
	var fresh []string
	asked := make(map[string]bool)
	for _, value := range values {
		if _, known := n.known[value]; !known && !asked[value] && value != "" {
			fresh, asked[value] = append(fresh, value), true
		}
	}
	return fresh
}

func valueAddress(i int) string { return fmt.Sprintf("v%d@values.invalid", i) }

// learnAll finds the backends of all values of a site.
func (n *namedBackends) learnAll(ctx context.Context, s *sourceSet) error {
	seen := make(map[string]bool)
	var values []string
	for _, m := range s.members {
		for _, g := range m.groups {
			for _, v := range g.Table.All() {
				if !seen[v.Backend] {
					seen[v.Backend], values = true, append(values, v.Backend)
				}
			}
		}
	}
	return n.learn(ctx, values...)
}

// target finds the backend that a learnt value names.
func (n *namedBackends) target(value string) (*backend.Target, bool) {
	t := n.known[value]
	return t, t != nil
}

// name is the backend's own name, or the value where it names none.
func (n *namedBackends) name(value string) string {
	if t, found := n.target(value); found {
		return t.Name
	}
	return value
}

// same tells whether two learnt values name one backend.
func (n *namedBackends) same(a, b string) bool { return strings.EqualFold(n.name(a), n.name(b)) }

// fixedSource has one table for ever.
type fixedSource struct{ table *directory.Table }

// Run implements directory.Source.
func (f fixedSource) Run(ctx context.Context, look <-chan struct{}, up chan<- directory.Update) error {
	u := directory.Update{Groups: []directory.Group{{Name: "all", Table: f.table}}}
	for {
		select {
		case up <- u:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-look:
			u = directory.Update{}
		case <-ctx.Done():
			return nil
		}
	}
}
