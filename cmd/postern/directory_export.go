package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"postern/backend"
	"postern/configs"
	"postern/directory/mapfile"
	directoryserve "postern/directory/serve"
)

// The formats of an export. Besides a map file those of package serve.
const formatMap = "map"

// exporting is what an export was asked for.
type exporting struct {
	path      string
	sources   []string
	format    string
	transport string
	output    string
}

func exportCommand() *cobra.Command {
	var e exporting
	cmd := &cobra.Command{
		Use:   "export --config FILE [--source NAME] [--format map|postfix|sendmail] [-o FILE]",
		Short: "Write all entries as one file",
		Long: `Write all entries of the sources as one file, each address once: of several entries the one that
a gateway obeys. For Postfix and Sendmail it is a map of transports, to the ports that the
configuration gives each backend.

Sources that can only be asked hold no list of their entries; with them among the
others, --source names those that are wanted, and may be repeated.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return e.run(cmd) },
	}
	configFlag(cmd, &e.path)
	flags := cmd.Flags()
	flags.StringArrayVar(&e.sources, "source", nil, "a source's `NAME`, repeatable (default: all)")
	flags.StringVar(&e.format, "format", formatMap, "map, postfix or sendmail")
	flags.StringVar(&e.transport, "transport", "", "the `TEMPLATE` of a transport (default: that of directory.socketmap, else "+directoryserve.DefaultTransport+")")
	flags.StringVarP(&e.output, "output", "o", "", "write to `FILE`, which is replaced as a whole")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(
		[]string{formatMap, string(directoryserve.Postfix), string(directoryserve.Sendmail)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (e *exporting) run(cmd *cobra.Command) error {
	if !slices.Contains([]string{formatMap, string(directoryserve.Postfix), string(directoryserve.Sendmail)}, e.format) {
		return usageError{fmt.Errorf("--format %.20q: want map, postfix or sendmail", e.format)}
	}
	config, err := configs.Load(e.path)
	if err != nil {
		return usageError{err}
	}
	for _, name := range e.sources {
		if _, err := chooseSource(config, name, func(configs.Source) bool { return true }, ""); err != nil {
			return usageError{err}
		}
	}
	s, err := openSources(cmd.Context(), config, e.wanted())
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.listable(); err != nil {
		return err
	}
	write := func(out io.Writer) error { return e.write(cmd.Context(), s, out, cmd.ErrOrStderr()) }
	if e.output == "" {
		return write(cmd.OutOrStdout())
	}
	return replaceFile(e.output, write)
}

func (e *exporting) wanted() func(configuredSource) bool {
	if len(e.sources) == 0 {
		return nil
	}
	return func(s configuredSource) bool { return slices.Contains(e.sources, s.name) }
}

func (e *exporting) write(ctx context.Context, s *sourceSet, out, faults io.Writer) error {
	if e.format == formatMap {
		return writeMap(s, out)
	}
	named, err := newNamedBackends(ctx, s.config)
	if err != nil {
		return err
	}
	template := e.transport
	if template == "" && len(s.config.Directory.Socketmap) > 0 {
		template = string(s.config.Directory.Socketmap[0].Transport)
	}
	transport, err := directoryserve.NewTransport(template, func(t *backend.Target, protocol string) (uint16, bool) {
		return portsOf(s.config.Backends, t, protocol)
	})
	if err != nil {
		return usageError{err}
	}
	done, err := directoryserve.Export(out, s.winners(), directoryserve.ExportOptions{
		Format: directoryserve.Format(e.format), Transport: transport, Resolve: named.target,
	})
	if err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	if done.NoBackend+done.Unwritten > 0 {
		_, _ = fmt.Fprintf(faults, "postern: left out: %d entries whose backend is not configured or takes no mail, %d whose address can't stand in such a file\n",
			done.NoBackend, done.Unwritten)
	}
	return nil
}

func writeMap(s *sourceSet, to io.Writer) error {
	out := bufio.NewWriterSize(to, 64<<10)
	var line []byte
	for address, v := range s.winners() {
		line = append(mapfile.Append(line[:0], address, v), '\n')
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	return nil
}

// replaceFile writes a file beside the one that is there and puts it in its place: who reads it sees the old
// one or the new one. It keeps the old one's mode.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	mode := fs.FileMode(0o644)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link itself must not be replaced
	}
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() { // a device or a pipe takes what it is given
			return writeInto(path, write)
		}
		mode = info.Mode().Perm()
	}
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		_ = aside.Close()
		_ = os.Remove(aside.Name()) // it is gone already where all went well
	}()
	if err := write(aside); err != nil {
		return err
	}
	if err := errors.Join(aside.Chmod(mode), aside.Sync(), aside.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(aside.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func writeInto(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
