package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
)

// differing is what a comparison was asked for.
type differing struct {
	path      string
	addresses string
	json      bool
}

func diffCommand() *cobra.Command {
	var d differing
	cmd := &cobra.Command{
		Use:   "diff --config FILE [--addresses LISTFILE] SOURCE SOURCE",
		Short: "Compare two sources, or a source with a map file",
		Long: `Compare two sources of the configuration by their names, or a source with a map file by its path.
A line with - is an entry that only the first has, one with + that only the second has, and one with ~ that
is not the same in both. Backends are the same whatever name or address of theirs is used.

Sources that can only be asked are compared by a list of addresses, one a line; - is standard
input. Exit 1 when they differ.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd, args) },
	}
	configFlag(cmd, &d.path)
	cmd.Flags().StringVar(&d.addresses, "addresses", "", "compare what both say of the addresses in `LISTFILE`")
	cmd.Flags().BoolVar(&d.json, "json", false, "one JSON object a line")
	return cmd
}

// difference is a row of diff.
type difference struct {
	Change  string     `json:"change"` // - + ~
	Address string     `json:"address"`
	Before  *entryText `json:"before,omitempty"`
	After   *entryText `json:"after,omitempty"`
}

func (d *differing) run(cmd *cobra.Command, args []string) error {
	config, err := configs.Load(d.path)
	if err != nil {
		return usageError{err}
	}
	named, err := newNamedBackends(cmd.Context(), config)
	if err != nil {
		return err
	}
	c := &diff{
		named: named, out: bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10),
		json: d.json, counts: make(map[string]int),
	}
	var sides [2]*sourceSet
	for i, arg := range args {
		if sides[i], err = openSide(cmd.Context(), config, arg); err != nil {
			return err
		}
		defer sides[i].close()
	}
	if d.addresses == "" {
		err = c.listed(cmd.Context(), sides)
	} else {
		err = c.asked(cmd, sides, d.addresses)
	}
	if err = errors.Join(err, c.out.Flush()); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "postern: %d only in %s, %d only in %s, %d different, %d the same\n",
		c.counts["-"], clean(args[0]), c.counts["+"], clean(args[1]), c.counts["~"], c.same)
	if c.counts["-"]+c.counts["+"]+c.counts["~"] > 0 {
		return errSilent
	}
	return nil
}

// openSide opens a source of the configuration, or a map file.
func openSide(ctx context.Context, config *configs.Config, name string) (*sourceSet, error) {
	all := configuredSources(config)
	known := func(s configuredSource) bool { return s.name == name }
	if slices.ContainsFunc(all, known) {
		s, err := openSources(ctx, config, known)
		if err == nil {
			err = s.err()
		}
		return s, err
	}
	if _, err := os.Stat(name); err != nil {
		return nil, usageError{fmt.Errorf("%s is neither a source nor a map file; sources are: %s", clean(name), sourceNames(all))}
	}
	s, err := openMap(ctx, config, name)
	if err == nil {
		err = s.err()
	}
	return s, err
}

// diff is a comparison under way.
type diff struct {
	named  *namedBackends
	out    *bufio.Writer
	json   bool
	counts map[string]int // by change
	same   int
}

// listed compares all entries of both.
func (c *diff) listed(ctx context.Context, sides [2]*sourceSet) error {
	var tables [2]*directory.Table
	for i, s := range sides {
		if err := s.listable(); err != nil {
			if _, asked := errors.AsType[*onlyAskedError](err); asked {
				return fmt.Errorf("%w; compare by --addresses", err)
			}
			return err
		}
		var err error
		if tables[i], err = tableOf(s); err != nil {
			return err
		}
	}
	for address, before := range tables[0].All() {
		after, known := tables[1].Get(address)
		if known && before == after {
			c.same++
			continue
		}
		if err := c.compare(address, textOf(before, true), textOf(after, known)); err != nil {
			return err
		}
	}
	for address, after := range tables[1].All() {
		if _, known := tables[0].Get(address); known {
			continue
		}
		if err := c.compare(address, nil, textOf(after, true)); err != nil {
			return err
		}
	}
	return nil
}

// tableOf makes one table of a site's entries: of a hundred, each lookup would look through all.
func tableOf(s *sourceSet) (*directory.Table, error) {
	b := directory.NewBuilder("")
	for address, v := range s.winners() {
		if err := b.Add([]byte(address), v); err != nil {
			return nil, err
		}
	}
	return b.Build(), nil
}

// compare writes a row where two values are not the same.
func (c *diff) compare(address string, before, after *entryText) error {
	change := "~"
	switch {
	case before == nil && after == nil, before != nil && after != nil && c.equal(before, after):
		c.same++
		return nil
	case before == nil:
		change = "+"
	case after == nil:
		change = "-"
	}
	c.counts[change]++
	if c.json {
		return encode(c.out, difference{change, address, before, after})
	}
	between := ""
	if change == "~" {
		between = " -> "
	}
	_, err := fmt.Fprintf(c.out, "%s %s %s%s%s\n", change, clean(address), clean(before.String()), between, clean(after.String()))
	return err
}

func (c *diff) equal(a, b *entryText) bool {
	return c.named.same(a.Backend, b.Backend) && a.Login == b.Login && a.State == b.State
}

const (
	askedTogether = 256 // addresses of a list, which are compared before the next are read
	askedAtOnce   = 8
)

// asked compares what both say of the addresses in a list.
func (c *diff) asked(cmd *cobra.Command, sides [2]*sourceSet, list string) error {
	in := cmd.InOrStdin()
	if list != "-" {
		f, err := os.Open(list)
		if err != nil {
			return usageError{fmt.Errorf("--addresses: %w", err)}
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	var some []string
	for address, err := range addressList(in, sides[0].domain) {
		if err != nil {
			return fmt.Errorf("%s: %w", list, err)
		}
		if some = append(some, address); len(some) == askedTogether {
			if err := c.ask(cmd.Context(), sides, some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	return c.ask(cmd.Context(), sides, some)
}

// ask compares a few addresses, in their order.
func (c *diff) ask(ctx context.Context, sides [2]*sourceSet, addresses []string) error {
	answers := make([][2]*entryText, len(addresses))
	err := atOnce(askedAtOnce, len(addresses), func(i int) error {
		for side, s := range sides {
			v, by, err := s.find(ctx, addresses[i])
			if err != nil {
				return fmt.Errorf("%s: %w", addresses[i], err)
			}
			answers[i][side] = textOf(v, by != nil)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, pair := range answers {
		if err := c.compare(addresses[i], pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// maxListLine bounds a line of a list in octets: what no address needs.
const maxListLine = 4096

// addressList reads addresses, one a line, in canonical form.
func addressList(in io.Reader, domain string) func(yield func(string, error) bool) {
	return func(yield func(string, error) bool) {
		lines := bufio.NewScanner(in)
		lines.Buffer(make([]byte, maxListLine), maxListLine)
		for number := 1; lines.Scan(); number++ {
			text := strings.TrimSpace(lines.Text())
			if text == "" || strings.HasPrefix(text, "#") {
				continue
			}
			address, err := directory.Canonical(text, domain)
			if err != nil {
				err = fmt.Errorf("line %d: %w", number, err)
			}
			if !yield(address, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield("", err)
		}
	}
}
