package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
	"postern/directory/consul"
	"postern/directory/file"
)

func importCommand() *cobra.Command {
	var s sourced
	var force, progress bool
	cmd := &cobra.Command{
		Use:   "import --config FILE [--source NAME] MAPFILE",
		Short: "Write a map file, or a folder of them, into Consul",
		Long: `Write a map file, or a folder of them, into Consul, in place of what an earlier import wrote
there. Keys that people made stay.

A map file with faults is refused, with its faults. What was written is read back at the end. One that was
interrupted may be run again: what is there already is not written twice.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, source, err := s.load(isConsul, "one of type consul")
			if err != nil {
				return err
			}
			p := newProgressLine(cmd.ErrOrStderr(), progress)
			return importMap(cmd, config, source, args[0], s.json, force, p)
		},
	}
	s.flags(cmd, "one of type consul")
	cmd.Flags().BoolVar(&force, "force", false, "take backends too that are not configured")
	cmd.Flags().BoolVar(&progress, "progress", false, "tell how far it is, although standard error is no terminal")
	return cmd
}

func isConsul(s configs.Source) bool { return s.Type == configs.SourceConsul }

// imported is what import prints.
type imported struct {
	Source   string `json:"source"`
	Entries  int    `json:"entries"`
	Shards   int    `json:"shards"`
	Written  int    `json:"written"`  // shards
	Same     int    `json:"same"`     // were there already
	Removed  int    `json:"removed"`  // of an earlier import
	Verified int    `json:"verified"` // read back
}

func importMap(cmd *cobra.Command, config *configs.Config, to configuredSource, path string, asJSON, force bool, p *progressLine) error {
	ctx := cmd.Context()
	entries, err := readMap(ctx, config, path, force)
	if err != nil {
		return err
	}
	store, err := consulStore(to.Source, string(config.Directory.DefaultDomain))
	if err != nil {
		return usageError{fmt.Errorf("source %s: %w", to.name, err)}
	}
	defer store.Close()
	done, err := store.Import(ctx, entries, p.show)
	p.end(done)
	if err != nil {
		return fmt.Errorf("source %s: %d of %d shards were written: %w", to.name, done.Written+done.Same, done.Shards, err)
	}
	return writeImported(cmd.OutOrStdout(), asJSON, imported{
		Source: to.name, Entries: done.Entries, Shards: done.Shards, Written: done.Written,
		Same: done.Same, Removed: done.Removed, Verified: done.Verified,
	})
}

func writeImported(out io.Writer, asJSON bool, i imported) error {
	if asJSON {
		return encode(out, i)
	}
	t := newTable("SOURCE", "ENTRIES", "SHARDS", "WRITTEN", "SAME", "REMOVED", "VERIFIED")
	t.add(i.Source, strconv.Itoa(i.Entries), strconv.Itoa(i.Shards), strconv.Itoa(i.Written), strconv.Itoa(i.Same),
		strconv.Itoa(i.Removed), strconv.Itoa(i.Verified))
	return t.write(out)
}

// readMap reads a map file, or says all that is wrong with it: with force, backends that are not
// configured are not.
func readMap(ctx context.Context, config *configs.Config, path string, force bool) (iter.Seq2[string, directory.Value], error) {
	domain, err := defaultDomain(config)
	if err != nil {
		return nil, usageError{err}
	}
	if !force {
		named, err := newNamedBackends(ctx, config)
		if err != nil {
			return nil, err
		}
		if err := file.Check(ctx, path, domain, named.dir.Knows); err != nil {
			return nil, err
		}
	}
	s, err := openMap(ctx, config, path)
	if err != nil {
		return nil, err
	}
	return s.winners(), s.err()
}

// openMap reads a map file that need not be part of the configuration.
func openMap(ctx context.Context, config *configs.Config, path string) (*sourceSet, error) {
	domain, err := defaultDomain(config)
	if err != nil {
		return nil, usageError{err}
	}
	m := &member{configuredSource: configuredSource{
		Source: configs.Source{Type: configs.SourceFile, Path: configs.Path(path)}, name: path,
	}}
	m.err = m.read(ctx, domain)
	return &sourceSet{config: config, domain: domain, members: []*member{m}}, nil
}

// progressLine tells how far an import is: on a terminal in one line, else in one line now and then.
type progressLine struct {
	out      io.Writer // nil: nobody wants to know
	terminal bool
	every    time.Duration
	told     time.Time
}

func newProgressLine(out io.Writer, wanted bool) *progressLine {
	p := &progressLine{out: out, terminal: terminalWidth(out) > 0, every: 2 * time.Second}
	if p.terminal {
		p.every = 100 * time.Millisecond
	}
	if !p.terminal && !wanted {
		p.out = nil
	}
	return p
}

func (p *progressLine) show(now consul.Progress) {
	if p.out == nil || time.Since(p.told) < p.every {
		return
	}
	p.told = time.Now()
	p.write(now)
}

// end tells how far it came.
func (p *progressLine) end(now consul.Progress) {
	if p.out == nil {
		return
	}
	p.write(now)
	if p.terminal {
		_, _ = io.WriteString(p.out, "\n")
	}
}

func (p *progressLine) write(now consul.Progress) {
	begin, end := "", "\n"
	if p.terminal {
		begin, end = "\r", "\x1b[K"
	}
	_, _ = fmt.Fprintf(p.out, "%s%d of %d shards written, %d verified, %d removed%s",
		begin, now.Written+now.Same, now.Shards, now.Verified, now.Removed, end)
}
