package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postern/admin"
)

func statusCommand() *cobra.Command {
	var a *asking
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how running gateways are",
		Long: `Say how running gateways are: one row for each, then their listeners and their
directory's sources, then what is wrong. All are asked at once.

Exit 3 when one did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return showStatus(cmd.Context(), a, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	a = askingFlags(cmd)
	return cmd
}

func showStatus(ctx context.Context, a *asking, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, get[admin.Status]("/api/v1/status"))
	print := printStatus
	if a.json {
		print = encodeStatus
	}
	if err := print(out, answers); err != nil {
		return err
	}
	return settle(faults, answers)
}

// from is what JSON rows have before everything else.
type from struct {
	Admin string `json:"admin"` // as the operator calls the gateway
}

func encodeStatus(out io.Writer, answers []answered[admin.Status]) error {
	for _, s := range answers {
		if s.err != nil {
			continue
		}
		if err := encode(out, struct {
			from
			admin.Status
		}{from{s.from.name}, s.value}); err != nil {
			return err
		}
	}
	return nil
}

func printStatus(out io.Writer, answers []answered[admin.Status]) error {
	gateways := newTable("GATEWAY", "STATE", "SESSIONS", "UP", "VERSION", "HOST")
	listeners := newTable("GATEWAY", "LISTENER", "ADDRESS", "TLS", "SESSIONS")
	sources := newTable("GATEWAY", "SOURCE", "ENTRIES", "AGE", "STATE")
	wrong := newTable("GATEWAY", "WHAT IS WRONG")
	for _, answer := range answers {
		if answer.err != nil {
			continue
		}
		name, s := answer.from.name, answer.value
		gateways.add(name, stateOf(s), strconv.Itoa(s.Sessions), span(time.Duration(s.UptimeSeconds)*time.Second), s.Version, s.Gateway)
		for _, l := range s.Listeners {
			listeners.add(name, l.Name, l.Address, l.TLS, strconv.Itoa(l.Sessions))
		}
		for _, source := range s.Directory {
			sources.add(name, source.Name, strconv.Itoa(source.Entries), sourceAge(source), sourceState(source))
		}
		for _, text := range append(s.Reasons, s.Degraded...) {
			wrong.add(name, text)
		}
	}
	return writeTables(out, gateways, listeners, sources, wrong)
}

// writeTables writes those that have rows, with an empty line between two.
func writeTables(out io.Writer, all ...*table) error {
	separator := ""
	for _, t := range all {
		if len(t.rows) == 1 {
			continue
		}
		if _, err := io.WriteString(out, separator); err != nil {
			return err
		}
		if err := t.write(out); err != nil {
			return err
		}
		separator = "\n"
	}
	return nil
}

func stateOf(s admin.Status) string {
	switch {
	case s.Draining:
		return "draining"
	case !s.Ready:
		return "not ready"
	case len(s.Degraded) > 0:
		return "degraded"
	}
	return "ready"
}

func sourceAge(s admin.Source) string {
	if s.LoadedAt.IsZero() {
		return ""
	}
	return span(time.Duration(s.AgeSeconds) * time.Second)
}

func sourceState(s admin.Source) string {
	state := "well"
	switch {
	case s.Asked && s.LoadedAt.IsZero() && !s.Failing:
		state = "not asked yet"
	case s.LoadedAt.IsZero():
		state = "never loaded"
	case s.Held:
		state = "held"
	case s.Failing:
		state = "failing"
	}
	if s.Error != "" {
		state = fmt.Sprintf("%s: %s", state, s.Error)
	}
	return state
}
