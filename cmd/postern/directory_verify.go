package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
)

func verifyCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --config FILE",
		Short: "Look through all entries for what is wrong, and count them",
		Long: `Look through all entries for what is wrong, and count them: by source, by backend and by state.

Faults are a source that can't be read, an address that one source has twice, and a backend that is not
configured; exit 1 when there is one. An entry that an earlier source beats with
another value is a warning: an earlier source's entry for the rest of a domain beats a later one for a
mailbox.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return verify(cmd, path, asJSON) },
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

// verification is what verify found.
type verification struct {
	Sources  []verifiedSource  `json:"sources"`
	Backends []verifiedBackend `json:"backends"` // of the entries that count
	States   map[string]int    `json:"states"`   // of these too
	Faults   findings          `json:"faults"`
	Warnings findings          `json:"warnings"`
}

type verifiedSource struct {
	Source  string `json:"source"`
	Entries int    `json:"entries"`
	Beaten  int    `json:"beaten"` // by earlier ones
	State   string `json:"state"`
}

type verifiedBackend struct {
	Backend string `json:"backend"`
	Weight  int    `json:"weight,omitempty"` // of one that is configured
	Entries int    `json:"entries"`
}

// findings are the first of what was found.
type findings struct {
	Count int      `json:"count"`
	First []string `json:"first"`
}

const manyFindings = 20

func (f *findings) add(format string, args ...any) {
	if f.Count++; len(f.First) < manyFindings {
		f.First = append(f.First, fmt.Sprintf(format, args...))
	}
}

// tell writes them as lines.
func (f *findings) tell(out io.Writer, what string) {
	for _, text := range f.First {
		_, _ = fmt.Fprintf(out, "postern: %s: %s\n", what, clean(text))
	}
	if more := f.Count - len(f.First); more > 0 {
		_, _ = fmt.Fprintf(out, "postern: %s: and %d more\n", what, more)
	}
}

func verify(cmd *cobra.Command, path string, asJSON bool) error {
	config, err := configs.Load(path)
	if err != nil {
		return usageError{err}
	}
	s, err := openSources(cmd.Context(), config, nil)
	if err != nil {
		return err
	}
	defer s.close()
	v, err := verifySources(cmd.Context(), s)
	if err != nil {
		return err
	}
	print := v.print
	if asJSON {
		print = func(out io.Writer) error { return encode(out, v) }
	}
	if err := print(cmd.OutOrStdout()); err != nil {
		return err
	}
	v.Faults.tell(cmd.ErrOrStderr(), "fault")
	v.Warnings.tell(cmd.ErrOrStderr(), "warning")
	if v.Faults.Count > 0 {
		return errSilent
	}
	return nil
}

// verifying is a verification under way.
type verifying struct {
	verification
	named    *namedBackends
	bySource map[*member]*verifiedSource
	byName   map[string]int // entries that count, by the backend's name
	homeless map[homeless]*homelessEntries
	order    []homeless
}

// homeless is a value of a source that names no backend.
type homeless struct {
	source *member
	value  string
}

type homelessEntries struct {
	entries int
	one     string
}

func verifySources(ctx context.Context, s *sourceSet) (*verification, error) {
	named, err := newNamedBackends(ctx, s.config)
	if err != nil {
		return nil, err
	}
	v := &verifying{
		named: named, bySource: make(map[*member]*verifiedSource), byName: make(map[string]int),
		homeless: make(map[homeless]*homelessEntries),
	}
	v.States, v.Faults.First, v.Warnings.First = make(map[string]int), []string{}, []string{}
	v.Sources = make([]verifiedSource, len(s.members))
	for i, m := range s.members {
		v.bySource[m] = &v.Sources[i]
		v.begin(m)
	}
	for e := range s.all() {
		v.entry(e)
	}
	for _, h := range v.order {
		found := v.homeless[h]
		v.Faults.add("source %s: backend %q is not configured: %d entries, one is %s", h.source.name, h.value, found.entries, found.one)
	}
	v.countBackends()
	return &v.verification, nil
}

func (v *verifying) begin(m *member) {
	of := v.bySource[m]
	switch of.Source, of.State = m.name, "well"; {
	case m.err != nil:
		of.State = "can't be read"
		for line := range strings.Lines(m.err.Error()) {
			v.Faults.add("source %s: %s", m.name, strings.TrimSpace(line))
		}
	case !followed(m.Source):
		of.State = "can only be asked"
	}
}

func (v *verifying) entry(e entry) {
	of := v.bySource[e.member]
	of.Entries++
	if _, found := v.named.target(e.value.Backend); !found {
		v.noBackend(e)
	}
	if e.beaten == nil {
		v.byName[v.named.name(e.value.Backend)]++
		v.States[e.value.State.String()]++
		return
	}
	of.Beaten++
	switch b := e.beaten; {
	case b.by == e.member:
		v.Faults.add("source %s: %s is there twice, in %s and in %s", e.member.name, e.address, b.group, e.group)
	case !v.same(e.value, b.value):
		v.Warnings.add("source %s: %s is never used, since source %s has %s",
			e.member.name, entryLine(e.address, e.value), b.by.name, entryLine(b.address, b.value))
	}
}

func (v *verifying) noBackend(e entry) {
	key := homeless{e.member, e.value.Backend}
	found := v.homeless[key]
	if found == nil {
		found = &homelessEntries{one: e.address}
		v.homeless[key], v.order = found, append(v.order, key)
	}
	found.entries++
}

func (v *verifying) same(a, b directory.Value) bool {
	return v.named.same(a.Backend, b.Backend) && a.Login == b.Login && a.State == b.State
}

func entryLine(address string, v directory.Value) string {
	return address + " " + textOf(v, true).String()
}

// countBackends lists those that are configured first, empty ones too.
func (v *verifying) countBackends() {
	for _, b := range v.named.targets {
		v.Backends = append(v.Backends, verifiedBackend{b.Name, b.Weight, v.byName[b.Name]})
		delete(v.byName, b.Name)
	}
	for _, name := range sortedKeys(v.byName) {
		v.Backends = append(v.Backends, verifiedBackend{Backend: name, Entries: v.byName[name]})
	}
}

func (v *verification) print(out io.Writer) error {
	sources, backends, states := newTable("SOURCE", "ENTRIES", "BEATEN", "STATE"), newTable("BACKEND", "WEIGHT", "ENTRIES"), newTable("STATE", "ENTRIES")
	for _, s := range v.Sources {
		sources.add(s.Source, strconv.Itoa(s.Entries), strconv.Itoa(s.Beaten), s.State)
	}
	for _, b := range v.Backends {
		weight := ""
		if b.Weight > 0 {
			weight = strconv.Itoa(b.Weight)
		}
		backends.add(b.Backend, weight, strconv.Itoa(b.Entries))
	}
	for _, state := range sortedKeys(v.States) {
		states.add(state, strconv.Itoa(v.States[state]))
	}
	return writeTables(out, sources, backends, states)
}
