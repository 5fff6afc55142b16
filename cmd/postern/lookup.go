package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"postern/configs"
	"postern/directory"
)

func lookupCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "lookup --config FILE ADDRESS...",
		Short: "Say which backend owns a mailbox: ADDRESS BACKEND LOGIN SOURCE",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, addresses []string) error {
			return lookup(cmd, path, asJSON, addresses)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// lookupAnswer is what lookup prints of one address.
type lookupAnswer struct {
	Address string `json:"address"` // as asked
	Mailbox string `json:"mailbox,omitempty"`
	Backend string `json:"backend,omitempty"`
	Login   string `json:"login,omitempty"`
	State   string `json:"state,omitempty"`
	Source  string `json:"source,omitempty"`
	Entry   string `json:"entry,omitempty"`
	Error   string `json:"error,omitempty"`
}

func lookup(cmd *cobra.Command, path string, asJSON bool, addresses []string) error {
	config, err := configs.Load(path)
	if err != nil {
		return usageError{err}
	}
	f, err := loadDirectory(cmd.Context(), config, slog.New(slog.DiscardHandler))
	if err != nil {
		return usageError{err}
	}
	defer f.stop()
	print := printRow
	if asJSON {
		print = printJSON
	}
	failed := false
	for _, address := range addresses {
		route, err := f.dir.Locate(cmd.Context(), directory.Query{User: address})
		failed = failed || err != nil
		if err := print(cmd.OutOrStdout(), cmd.ErrOrStderr(), found(address, route, err)); err != nil {
			return err
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

func found(address string, route directory.Route, err error) lookupAnswer {
	if err != nil {
		return lookupAnswer{Address: address, Error: err.Error()}
	}
	return lookupAnswer{
		Address: address, Mailbox: route.Mailbox, Backend: route.Backend.Name, Login: route.Login,
		State: route.State.String(), Source: route.Source, Entry: route.Entry,
	}
}

func printRow(out, faults io.Writer, a lookupAnswer) error {
	if a.Error != "" {
		_, err := fmt.Fprintf(faults, "postern: %s: %s\n", a.Address, a.Error)
		return err
	}
	_, err := fmt.Fprintln(out, a.Address, a.Backend, a.Login, a.Source)
	return err
}

func printJSON(out, _ io.Writer, a lookupAnswer) error { return json.NewEncoder(out).Encode(a) }
