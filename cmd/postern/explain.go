package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/admin"
)

// explainer explains a mailbox without a gateway, from the configuration at a path.
type explainer func(ctx context.Context, path, address string) (admin.Explanation, error)

func explainCommand(local explainer) *cobra.Command {
	var a *asking
	var path string
	cmd := &cobra.Command{
		Use:   "explain ADDRESS",
		Short: "Say all there is to know of a mailbox",
		Long: `Say all there is to know of a mailbox: its canonical form, what every source says and
which of them wins, the backend, and whether a login would be let in.

Running gateways are asked, or, with --config, the configuration: that has no
sessions and no last logins. Exit 3 when a gateway did not answer.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch {
			case path == "":
				return explainAll(cmd.Context(), a, args[0], out, cmd.ErrOrStderr())
			case len(a.addresses) > 0:
				return usageError{errors.New("want --config or --admin, not both")}
			}
			e, err := local(cmd.Context(), path, args[0])
			if err != nil {
				return err
			}
			return a.showExplanation(out, path, e)
		},
	}
	a = askingFlags(cmd)
	cmd.Flags().StringVarP(&path, "config", "c", "", "ask the configuration `FILE` in place of a gateway")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	return cmd
}

func explainAll(ctx context.Context, a *asking, address string, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, get[admin.Explanation]("/api/v1/mailboxes/"+segment(address)))
	separator := ""
	for _, answer := range answers {
		if answer.err != nil {
			continue
		}
		if !a.json {
			_, _ = io.WriteString(out, separator)
			separator = "\n"
		}
		if err := a.showExplanation(out, answer.from.name, answer.value); err != nil {
			return err
		}
	}
	return settle(faults, answers)
}

func (a *asking) showExplanation(out io.Writer, name string, e admin.Explanation) error {
	if a.json {
		return encode(out, struct {
			from
			admin.Explanation
		}{from{name}, e})
	}
	facts := newTable("ASKED", name)
	facts.add("typed", e.Typed)
	facts.add("mailbox", e.Mailbox)
	if e.Fault != "" {
		facts.add("fault", e.Fault)
	}
	if e.Backend != nil {
		facts.add("backend", e.Backend.Name+" "+strings.Join(e.Backend.Addresses, " "))
		if e.Backend.State != "" {
			facts.add("backend state", strings.TrimSuffix(e.Backend.State+", "+e.Backend.Reason, ", "))
		}
		facts.add("login", e.Login)
		facts.add("state", e.State)
	}
	facts.add("admitted", yesNo(e.Admitted))
	for _, reason := range e.Because {
		facts.add("because", reason)
	}
	return writeTables(out, facts, sourceTable(e.Sources), sessionTable(e.Sessions), loginTable(e.Logins))
}

func sourceTable(sources []admin.SourceAnswer) *table {
	t := newTable("SOURCE", "ANSWER", "BACKEND", "STATE", "LOGIN", "ENTRY", "ENTRIES", "AGE", "SOURCE IS")
	for _, s := range sources {
		answer := "unknown"
		switch {
		case s.Wins:
			answer = "wins"
		case s.Known:
			answer = "loses"
		}
		t.add(s.Name, answer, s.Backend, s.State, s.Login, s.Entry, strconv.Itoa(s.Entries), sourceAge(s.Source), sourceState(s.Source))
	}
	return t
}

func sessionTable(sessions []admin.Session) *table {
	t := newTable("SESSION", "BACKEND", "CLIENT", "AGE", "STATE", "SENT")
	for _, s := range sessions {
		t.add(s.ID, s.Backend, s.Client.String(), span(time.Since(s.Since)), s.State, octets(s.ToClient))
	}
	return t
}

func loginTable(logins []admin.LoginAttempt) *table {
	t := newTable("LOGIN AT", "CLIENT", "RESULT", "BACKEND", "STEP")
	for _, l := range logins {
		t.add(fmt.Sprintf("%s (%s ago)", l.At.UTC().Format("2006-01-02T15:04:05Z"), span(time.Since(l.At))), l.Client, l.Result, l.Backend, l.Step)
	}
	return t
}
