package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
	"postern/directory/file"
	"postern/directory/mapfile"
)

// setting is what set was asked for.
type setting struct {
	sourced
	login, state, onlyIf          string
	hasLogin, hasState, hasOnlyIf bool
	force                         bool
}

func setCommand() *cobra.Command {
	var s setting
	cmd := &cobra.Command{
		Use:   "set --config FILE [--source NAME] ADDRESS BACKEND",
		Short: "Change a mailbox's entry, or make it, and say what was before",
		Long: `Change the entry of a mailbox, or of @domain, in a map file or in Consul, or make it, and say
what was before. Login and state stay as they are where they are not named. All else in the file or key stays.

With --if the entry is changed only where the mailbox is on that backend now; --if '' wants none. Exit
1 where it is not so.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			s.hasLogin, s.hasState, s.hasOnlyIf = changed("login"), changed("state"), changed("if")
			return s.run(cmd, args[0], args[1])
		},
	}
	s.flags(cmd, writableSources)
	flags := cmd.Flags()
	flags.StringVar(&s.login, "login", "", "the user `NAME` for the backend; '' for the backend's own form")
	flags.StringVar(&s.state, "state", "", "active, suspended or moving")
	flags.StringVar(&s.onlyIf, "if", "", "only if it is on `BACKEND` now")
	flags.BoolVar(&s.force, "force", false, "take a backend too that is not configured")
	_ = cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(
		[]string{directory.Active.String(), directory.Suspended.String(), directory.Moving.String()}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

const writableSources = "a map file or one of type consul, since postern writes nowhere else"

func writable(s configs.Source) bool {
	return s.Type == configs.SourceFile || s.Type == configs.SourceConsul
}

// entryWriter changes entries by check-and-set.
type entryWriter interface {
	Set(ctx context.Context, address string, change mapfile.Change) (before directory.Value, existed bool, err error)
}

// fileWriter writes into a map file.
type fileWriter struct{ path, domain string }

func (w fileWriter) Set(ctx context.Context, address string, change mapfile.Change) (directory.Value, bool, error) {
	return file.Set(ctx, w.path, address, w.domain, change)
}

// openWriter makes what a writable source is changed by.
func openWriter(config *configs.Config, s configuredSource) (w entryWriter, done func(), err error) {
	domain := string(config.Directory.DefaultDomain)
	if s.Type == configs.SourceFile {
		return fileWriter{string(s.Path), domain}, func() {}, nil
	}
	store, err := consulStore(s.Source, domain)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("source %s: %w", s.name, err)}
	}
	return store, store.Close, nil
}

// changed is what set prints.
type changed struct {
	Address string     `json:"address"`
	Source  string     `json:"source"`
	Before  *entryText `json:"before"` // nil: there was none
	Now     *entryText `json:"now"`
	Changed bool       `json:"changed"`
}

func (s *setting) run(cmd *cobra.Command, address, backend string) error {
	if s.hasState {
		if _, err := directory.ParseState(s.state); err != nil {
			return usageError{fmt.Errorf("--%w", err)}
		}
	}
	if err := directory.CheckLogin(s.login); err != nil {
		return usageError{fmt.Errorf("--login: %w", err)}
	}
	config, source, err := s.load(writable, writableSources)
	if err != nil {
		return err
	}
	if address, err = canonicalAddress(config, address); err != nil {
		return usageError{err}
	}
	named, err := newNamedBackends(cmd.Context(), config)
	if err != nil {
		return err
	}
	if _, found := named.target(backend); !found && !s.force {
		return usageError{fmt.Errorf("backend %q is not configured", backend)}
	}
	writer, done, err := openWriter(config, source)
	if err != nil {
		return err
	}
	defer done()
	result := changed{Address: address, Source: source.name}
	before, existed, err := writer.Set(cmd.Context(), address, s.change(cmd.Context(), named, backend, &result))
	if err != nil {
		return fmt.Errorf("source %s: %w", source.name, err)
	}
	result.Before = textOf(before, existed)
	result.Changed = result.Before == nil || *result.Before != *result.Now
	if err := result.write(cmd.OutOrStdout(), s.json); err != nil {
		return err
	}
	warnBeaten(cmd, config, source, address)
	return nil
}

// patienceWithEarlier is how long set waits for sources that might make its entry useless.
const patienceWithEarlier = 10 * time.Second

// warnBeaten tells where an earlier source has the mailbox too: then nobody's login goes where set said.
func warnBeaten(cmd *cobra.Command, config *configs.Config, source configuredSource, address string) {
	all := configuredSources(config)
	place := slices.IndexFunc(all, func(s configuredSource) bool { return s.name == source.name })
	if source.shadow || place == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patienceWithEarlier)
	defer cancel()
	earlier, err := openSources(ctx, config, func(c configuredSource) bool {
		return slices.ContainsFunc(all[:place], func(s configuredSource) bool { return s.name == c.name })
	})
	if err == nil {
		defer earlier.close()
		var v directory.Value
		var by *member
		if v, by, err = earlier.find(ctx, address); err == nil && by != nil {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "postern: warning: this entry is never used, since source %s comes first and says %s\n",
				by.name, clean(textOf(v, true).String()))
		}
	}
	if err != nil {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "postern: warning: whether an earlier source has the mailbox too, is not known: %s\n", clean(err.Error()))
	}
}

// change decides what the entry becomes, and notes it.
func (s *setting) change(ctx context.Context, named *namedBackends, backend string, result *changed) mapfile.Change {
	return func(before directory.Value, exists bool) (directory.Value, error) {
		if s.hasOnlyIf {
			if err := s.check(named, result.Address, before, exists); err != nil {
				return before, err
			}
		}
		after := before
		after.Backend = backend
		if s.hasLogin {
			after.Login = s.login
		}
		if s.hasState {
			state, err := directory.ParseState(s.state)
			if err != nil {
				return before, err
			}
			after.State = state
		}
		result.Now = textOf(after, true)
		return after, nil
	}
}

// check is what --if asks for.
func (s *setting) check(named *namedBackends, address string, before directory.Value, exists bool) error {
	switch {
	case !exists && s.onlyIf != "":
		return fmt.Errorf("%s has no entry, so it is not on %s: nothing was changed", address, s.onlyIf)
	case exists && s.onlyIf == "":
		return fmt.Errorf("%s has an entry, %s: nothing was changed", address, textOf(before, true))
	case exists && !named.same(before.Backend, s.onlyIf):
		return fmt.Errorf("%s is on %s, not on %s: nothing was changed", address, before.Backend, s.onlyIf)
	}
	return nil
}

func (c *changed) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return encode(out, c)
	}
	t := newTable("ADDRESS", "BEFORE", "NOW", "SOURCE")
	t.add(c.Address, c.Before.String(), c.Now.String(), c.Source)
	return t.write(out)
}

var errNoBackends = errors.New("the configuration has no backends to choose from")
