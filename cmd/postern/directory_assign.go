package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/backend"
	"postern/directory"
)

func assignCommand() *cobra.Command {
	var s sourced
	cmd := &cobra.Command{
		Use:   "assign --config FILE [--source NAME] ADDRESS...",
		Short: "Give a new mailbox the least filled backend, and print that",
		Long: `Give a new mailbox the backend of backends.static that has the fewest mailboxes for its weight, and
print it: for several addresses, or with - for those on standard input, a line ADDRESS BACKEND for each.

An address that any source knows already keeps what it has, which is printed. Any number may assign at
once: what is printed is where the mailbox is, whoever was first.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return assign(cmd, &s, args) },
	}
	s.flags(cmd, writableSources)
	return cmd
}

// assigned is what assign prints.
type assigned struct {
	Address string `json:"address"`
	Backend string `json:"backend"`
	Source  string `json:"source"`
	New     bool   `json:"new"`
}

func assign(cmd *cobra.Command, s *sourced, args []string) error {
	ctx := cmd.Context()
	config, source, err := s.load(writable, writableSources)
	if err != nil {
		return err
	}
	named, err := newNamedBackends(ctx, config)
	if err != nil {
		return err
	}
	if len(named.targets) == 0 {
		return usageError{errNoBackends}
	}
	writer, done, err := openWriter(config, source)
	if err != nil {
		return err
	}
	defer done()
	site, err := openSources(ctx, config, func(c configuredSource) bool { return !c.shadow || c.name == source.name })
	if err != nil {
		return err
	}
	defer site.close()
	a := &assigning{site: site, writer: writer, named: named, backends: named.targets}
	for _, m := range site.members {
		if m.name == source.name {
			a.into = m
		}
	}
	if err := a.count(ctx); err != nil {
		return err
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	err = a.all(cmd, args, s.shower(out, len(args) == 1 && args[0] != "-"))
	return cmp.Or(err, out.Flush())
}

// shower writes a row at once: what was assigned must be told whatever becomes of the next.
func (s *sourced) shower(out *bufio.Writer, alone bool) func(assigned) error {
	return func(r assigned) error {
		switch {
		case s.json:
			_ = encode(out, r)
		case alone:
			_, _ = fmt.Fprintln(out, clean(r.Backend))
		default:
			_, _ = fmt.Fprintln(out, clean(r.Address), clean(r.Backend))
		}
		return out.Flush() // which has the error of what was before, too
	}
}

// assigning gives mailboxes to backends.
//
// Which backend a mailbox gets is decided by check-and-set: the first one counts. Which is least filled, is
// counted before, and the count is as old as it may be (see stale): several who assign at once fill the backends
// evenly but for what each of them assigned since.
type assigning struct {
	site     *sourceSet
	into     *member // where new entries go
	writer   entryWriter
	named    *namedBackends
	backends []backend.Target

	fill    map[string]int  // mailboxes by the backend's name
	since   map[string]bool // addresses that were counted since
	counted time.Time
	took    time.Duration
}

// all assigns the addresses of the arguments.
func (a *assigning) all(cmd *cobra.Command, args []string, show func(assigned) error) error {
	var in io.Reader = strings.NewReader(strings.Join(args, "\n"))
	if len(args) == 1 && args[0] == "-" {
		in = cmd.InOrStdin()
	}
	for address, err := range addressList(in, a.site.domain) {
		if err != nil {
			return usageError{err}
		}
		result, err := a.one(cmd.Context(), address)
		if err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		if err := show(result); err != nil {
			return err
		}
	}
	return nil
}

// one assigns a canonical address.
func (a *assigning) one(ctx context.Context, address string) (assigned, error) {
	if a.stale() {
		if err := a.recount(ctx); err != nil {
			return assigned{}, err
		}
	}
	v, by, err := a.site.find(ctx, address)
	if err != nil {
		return assigned{}, err
	}
	if by != nil {
		return assigned{Address: address, Backend: a.named.name(v.Backend), Source: by.name}, nil
	}
	chosen := directory.Value{Backend: a.choose(address)}
	v, existed, err := a.writer.Set(ctx, address, func(before directory.Value, exists bool) (directory.Value, error) {
		if exists {
			return before, nil
		}
		return chosen, nil
	})
	if err != nil {
		return assigned{}, fmt.Errorf("source %s: %w", a.into.name, err)
	}
	if !existed {
		v = chosen
	}
	name := a.named.name(v.Backend)
	if !a.since[address] {
		a.since[address] = true
		a.fill[name]++
	}
	return assigned{Address: address, Backend: name, Source: a.into.name, New: !existed}, nil
}

// stale tells whether it is time to count again what others have assigned. Counting takes a tenth of the
// time at most, however many mailboxes there are.
func (a *assigning) stale() bool { return time.Since(a.counted) > max(10*a.took, 100*time.Millisecond) }

func (a *assigning) recount(ctx context.Context) error {
	began := time.Now()
	if a.into.err = a.into.read(ctx, a.site.domain); a.into.err != nil {
		return fmt.Errorf("source %s: %w", a.into.name, a.into.err)
	}
	err := a.count(ctx)
	a.took = time.Since(began)
	return err
}

// count counts what was read.
func (a *assigning) count(ctx context.Context) error {
	if err := a.site.err(); err != nil {
		return err
	}
	a.fill, a.since = make(map[string]int), make(map[string]bool)
	for _, v := range a.site.winners() {
		a.fill[a.named.name(v.Backend)]++
	}
	a.counted = time.Now()
	return nil
}

// choose returns the backend that will have the fewest mailboxes for its weight. Among equals the address decides, so
// that many who assign at once don't all begin with the same.
func (a *assigning) choose(address string) string {
	best := 0
	for i := range a.backends {
		if i > 0 && a.before(address, i, best) {
			best = i
		}
	}
	return a.backends[best].Name
}

func (a *assigning) before(address string, i, j int) bool {
	left := (a.fill[a.backends[i].Name] + 1) * max(1, a.backends[j].Weight)
	right := (a.fill[a.backends[j].Name] + 1) * max(1, a.backends[i].Weight)
	if left != right {
		return left < right
	}
	return lot(address, a.backends[i].Name) < lot(address, a.backends[j].Name)
}

func lot(address, backend string) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s\x00%s", backend, address) // it never fails
	return h.Sum64()
}
