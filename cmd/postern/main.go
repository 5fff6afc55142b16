// Command postern is a POP3 gateway: one public endpoint before many mail servers,
// each of which owns some of the mailboxes.
//
// Each command has a file of its own; build.go turns a configuration into the
// running parts.
//
// The rules of output: what was asked for goes to standard output, one row a line, for
// people and for awk, or as JSON with --json. Everything else, faults first of
// all, goes to standard error. The exit status is 0, 1 for a fault, 2 for a wrong
// usage or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

// The exit statuses.
const (
	exitFault = 1
	exitUsage = 2
)

// usageError is an error that ends in exitUsage: what the operator wrote is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// silent is an error that has said on standard error what there is to say.
var errSilent = errors.New("already reported")

func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := command().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSilent) {
		fmt.Fprintln(os.Stderr, "postern:", err)
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	if errors.As(err, new(partialError)) {
		return exitPartial
	}
	return exitFault
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "postern",
		Short:         "A POP3 gateway before many mail servers",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errSilent}
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(serveCommand(), demoCommand(), checkCommand(), lookupCommand(), backendsCommand(), versionCommand(), completionCommand(),
		statusCommand(), sessionsCommand(), reloadCommand(), explainCommand(explainConfig), directoryCommand())
	usageOfAll(root)
	return root
}

// usageOfAll makes wrong arguments a usage error in each command; cobra's own
// errors don't tell.
func usageOfAll(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageOfAll(sub)
	}
}

// configFlag adds --config, which the command can't do without.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "", "the configuration `FILE`")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *path == "" {
			return usageError{errors.New("--config FILE is missing")}
		}
		return nil
	}
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// signals delivers what a running gateway listens to.
func signals() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
