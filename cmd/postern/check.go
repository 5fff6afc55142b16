package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
	"postern/directory/file"
	"postern/directory/mapfile"
	posterntls "postern/proxy/tls"
)

func checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Load everything that serve would load, and say what is wrong",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return check(cmd.Context(), path, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func check(ctx context.Context, path string, out, faults io.Writer) error {
	config, err := configs.Load(path)
	if err == nil {
		err = errors.Join(checkFront(config), checkSources(ctx, config))
	}
	if err != nil {
		_, _ = fmt.Fprintln(faults, err)
		return usageError{errSilent}
	}
	f, err := loadDirectory(ctx, config, slog.New(slog.DiscardHandler))
	if err == nil {
		defer f.stop()
		err = errors.Join(placeSources(config, checkShadows(ctx, f.dir)), checkBackends(config, f.dir))
	}
	if err != nil {
		_, _ = fmt.Fprintln(faults, placeSources(config, err))
		return usageError{errSilent}
	}
	_, err = fmt.Fprintf(out, "%s: ok: %d listeners, %d backends, %d entries\n",
		path, len(config.Listeners), len(config.Backends.Static), entries(f.dir))
	return err
}

// checkShadows finds those that have nothing to compare with. No gateway waits for them, but an operator who
// configures one wants it to work.
func checkShadows(ctx context.Context, dir *directory.Directory) error {
	ctx, cancel := context.WithTimeout(ctx, patienceWithSources)
	defer cancel()
	return dir.LoadShadows(ctx)
}

// checkFront reads certificates, authorities and ticket keys.
func checkFront(config *configs.Config) error {
	front, err := buildFront(config, nil, slog.New(slog.DiscardHandler))
	if err == nil && front != nil {
		err = front.Reload() // what New passes over in folders is a fault here
	}
	var faults posterntls.Faults
	if !errors.As(err, &faults) {
		return err
	}
	var placed []error
	for _, fault := range faults {
		placed = append(placed, place(config, fault))
	}
	return errors.Join(placed...)
}

// place finds the line of a fault of the TLS side.
func place(config *configs.Config, fault posterntls.Fault) error {
	path := "tls." + fault.Key
	for i, l := range config.Listeners {
		if string(l.Name) == fault.Listener {
			path = fmt.Sprintf("listeners[%d].%s", i, fault.Key)
		}
	}
	at, _ := config.Position(path)
	at.Message = fault.Error()
	return at
}

// checkSources reads every file for faults, among which are mailboxes on backends
// that are not configured: their users would hear [SYS/TEMP]. Databases are asked whether they
// take the query.
func checkSources(ctx context.Context, config *configs.Config) error {
	made, err := buildBackends(config)
	if err != nil {
		return err
	}
	if made, err = made.list(ctx, config); err != nil {
		return err
	}
	dir, named, err := buildDirectory(config, made, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return placeSources(config, err)
	}
	defer closeSources(named) // this directory never runs
	var faults []error
	for _, source := range configuredSources(config) {
		err := checkSource(ctx, source.Source, string(config.Directory.DefaultDomain), dir.Knows)
		if err != nil && !errors.As(err, new(*mapfile.Faults)) { // it is the file, not a line of it
			err = placeSource(config, source, err)
		}
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func checkSource(ctx context.Context, source configs.Source, defaultDomain string, knows func(string) bool) error {
	switch source.Type {
	case configs.SourceFile:
		return file.Check(ctx, string(source.Path), defaultDomain, knows)
	case configs.SourceSQL:
		return sqlOptions(source, defaultDomain).Check(ctx)
	}
	return nil // is followed in a moment, or can only be asked with a name
}

// placeSource finds the line of a source that is at fault.
func placeSource(config *configs.Config, source configuredSource, err error) error {
	at, ok := config.Position(source.path + ".path")
	if !ok {
		at, _ = config.Position(source.path)
	}
	at.Message = err.Error()
	return at
}

// placeSources does so for each source that could not be loaded.
func placeSources(config *configs.Config, err error) error {
	loads := loadErrors(err)
	if len(loads) == 0 {
		return err
	}
	var placed []error
	for _, fault := range loads {
		for _, source := range configuredSources(config) {
			if source.name == fault.Source {
				placed = append(placed, placeSource(config, source, fault))
			}
		}
	}
	return errors.Join(placed...)
}

// checkBackends finds backends that a source names and nobody configured. Those of files were found,
// with their lines.
func checkBackends(config *configs.Config, dir *directory.Directory) error {
	var faults []error
	for _, u := range dir.UnknownBackends(manyBackends) {
		for _, source := range configuredSources(config) {
			if source.name == u.Source {
				faults = append(faults, placeSource(config, source, fmt.Errorf("%w (%d entries)", &u.NoBackendError, u.Entries)))
			}
		}
	}
	return errors.Join(faults...)
}
