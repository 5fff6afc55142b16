package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"postern/admin"
)

func directoryStatusCommand() *cobra.Command {
	var a *asking
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the sources of running gateways stand",
		Long: `Say how the sources of running gateways stand: entries and age of what serves; of those
that are asked, how well the answers that are kept serve; of shadows, what came of comparing.

Exit 3 when a gateway did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return showDirectory(cmd.Context(), a, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	a = askingFlags(cmd)
	return cmd
}

func showDirectory(ctx context.Context, a *asking, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, get[admin.DirectoryState]("/api/v1/directory"))
	if a.json {
		err = encodeAnswers(out, answers, func(f from, d admin.DirectoryState) any {
			return struct {
				from
				admin.DirectoryState
			}{f, d}
		})
	} else {
		err = printDirectory(out, answers)
	}
	if err != nil {
		return err
	}
	return settle(faults, answers)
}

// encodeAnswers writes a row for each gateway that answered.
func encodeAnswers[T any](out io.Writer, answers []answered[T], row func(from, T) any) error {
	for _, answer := range answers {
		if answer.err != nil {
			continue
		}
		if err := encode(out, row(from{answer.from.name}, answer.value)); err != nil {
			return err
		}
	}
	return nil
}

func printDirectory(out io.Writer, answers []answered[admin.DirectoryState]) error {
	sources := newTable("GATEWAY", "SOURCE", "ENTRIES", "AGE", "STATE")
	kept := newTable("GATEWAY", "ASKED", "KEPT", "HITS", "MISSES", "STALE", "QUESTIONS", "ERRORS")
	compared := newTable("GATEWAY", "SHADOW", "SAME", "DIFFERENT", "UNKNOWN THERE", "UNKNOWN HERE", "FAILED", "DROPPED")
	for _, answer := range answers {
		if answer.err != nil {
			continue
		}
		name := answer.from.name
		for _, s := range answer.value.Sources {
			sources.add(name, s.Name, strconv.Itoa(s.Entries), sourceAge(s), liveState(s))
			if k := s.Kept; k != nil {
				kept.add(append([]string{name, s.Name, strconv.Itoa(s.Entries)}, counts(k.Hits, k.Misses, k.Stale, k.Questions, k.Errors)...)...)
			}
			if c := s.Compared; c != nil {
				compared.add(append([]string{name, s.Name}, counts(c.Same, c.Different, c.UnknownThere, c.UnknownHere, c.Failed, c.Dropped)...)...)
			}
		}
	}
	return writeTables(out, sources, kept, compared)
}

func counts(all ...uint64) []string {
	var texts []string
	for _, n := range all {
		texts = append(texts, strconv.FormatUint(n, 10))
	}
	return texts
}

// liveState knows besides sourceState what only some sources are.
func liveState(s admin.Source) string {
	state := sourceState(s)
	switch {
	case s.Asked && s.LoadedAt.IsZero() && !s.Failing:
		state = "not asked yet"
	case s.Saved && !s.Failing:
		state = "saved"
	}
	if s.Shadow {
		state += ", shadow"
	}
	return state
}

func confirmCommand() *cobra.Command {
	var a *asking
	cmd := &cobra.Command{
		Use:   "confirm SOURCE",
		Short: "Let serve what the shrink guard holds of a source",
		Long: `Let serve what the shrink guard holds of a source, in each gateway that holds something.

Exit 1 when none does, 3 when a gateway did not answer.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return confirmAll(cmd.Context(), a, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	a = askingFlags(cmd)
	return cmd
}

// confirmation is what became of it at one gateway.
type confirmation struct {
	admin.Confirmed
	Held bool `json:"held"` // else there was nothing to confirm
}

func confirmAll(ctx context.Context, a *asking, source string, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, func(ctx context.Context, r *remote) (c confirmation, err error) {
		err = r.call(ctx, http.MethodPost, "/api/v1/directory/"+segment(source)+"/confirm", &c.Confirmed)
		if refused, ok := errors.AsType[*refusedError](err); ok && refused.status == http.StatusConflict {
			return confirmation{Confirmed: admin.Confirmed{Source: source}}, nil
		}
		c.Held = err == nil
		return c, err
	})
	held := false
	rows := newTable("GATEWAY", "SOURCE", "CONFIRMED")
	for _, answer := range answers {
		if answer.err == nil {
			held = held || answer.value.Held
			rows.add(answer.from.name, source, yesNo(answer.value.Held))
		}
	}
	if a.json {
		err = encodeAnswers(out, answers, func(f from, c confirmation) any {
			return struct {
				from
				confirmation
			}{f, c}
		})
	} else {
		err = rows.write(out)
	}
	if err != nil {
		return err
	}
	if err := settle(faults, answers); err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("the shrink guard holds nothing of source %s", clean(source))
	}
	return nil
}

func forgetCommand() *cobra.Command {
	var a *asking
	cmd := &cobra.Command{
		Use:   "forget ADDRESS",
		Short: "Drop the answers that gateways keep of a mailbox",
		Long: `Drop the answers that running gateways keep of a mailbox, so that its next login asks the sources
again.

Exit 3 when a gateway did not answer.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forgetAll(cmd.Context(), a, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	a = askingFlags(cmd)
	return cmd
}

func forgetAll(ctx context.Context, a *asking, address string, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, func(ctx context.Context, r *remote) (f admin.Forgotten, err error) {
		err = r.call(ctx, http.MethodPost, "/api/v1/mailboxes/"+segment(address)+"/forget", &f)
		return f, err
	})
	rows := newTable("GATEWAY", "FORGOTTEN")
	for _, answer := range answers {
		if answer.err == nil {
			rows.add(answer.from.name, strconv.Itoa(answer.value.Forgotten))
		}
	}
	if a.json {
		err = encodeAnswers(out, answers, func(f from, v admin.Forgotten) any {
			return struct {
				from
				admin.Forgotten
			}{f, v}
		})
	} else {
		err = rows.write(out)
	}
	if err != nil {
		return err
	}
	return settle(faults, answers)
}
