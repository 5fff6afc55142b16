package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/admin"
)

func backendsCommand() *cobra.Command {
	var a *asking
	cmd := &cobra.Command{
		Use:   "backends",
		Short: "How running gateways see their backends",
		Long: `How running gateways see their backends: the state of each and why, the logins in
progress and waiting, the sessions, and how long connecting, the greeting and the login
took of late (median and longest).

Exit 3 when a gateway did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listBackends(cmd.Context(), a, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	a = askingFlags(cmd)
	cmd.AddCommand(drainCommand(a), resumeCommand(a))
	return cmd
}

func listBackends(ctx context.Context, a *asking, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, get[admin.BackendList]("/api/v1/backends"))
	if err := a.printBackends(out, answers); err != nil {
		return err
	}
	return settle(faults, answers)
}

func (a *asking) printBackends(out io.Writer, answers []answered[admin.BackendList]) error {
	rows := newTable("GATEWAY", "BACKEND", "STATE", "FOR", "BREAKER", "LOGINS", "QUEUED", "SESSIONS", "CONNECT", "GREETING", "LOGIN", "REFUSED", "ADDRESSES", "REASON")
	for _, answer := range answers {
		for _, b := range answer.value.Backends {
			if a.json {
				if err := encode(out, struct {
					from
					admin.Backend
				}{from{answer.from.name}, b}); err != nil {
					return err
				}
				continue
			}
			rows.add(answer.from.name, b.Name, b.State, sinceText(b.Since), b.Breaker, outOf(b.Logins, b.Limit), strconv.Itoa(b.Queued),
				outOf(b.Sessions, b.MaxSessions), latency(b.Connect), latency(b.Greeting), latency(b.Login), refusals(b.Refused),
				strings.Join(b.Addresses, " "), b.Reason)
		}
	}
	if a.json {
		return nil
	}
	return rows.write(out)
}

func sinceText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(time.Since(t))
}

// outOf is a number and its limit, where there is one.
func outOf(n, limit int) string {
	if limit == 0 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d/%d", n, limit)
}

// latency is the median and the longest.
func latency(l admin.Latency) string {
	if l.Count == 0 {
		return ""
	}
	return milliseconds(l.Median) + "/" + milliseconds(l.Max)
}

func milliseconds(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Microsecond).String()
}

// refusals are those that there were, by cause.
func refusals(byReason map[string]uint64) string {
	var causes []string
	for _, reason := range sortedKeys(byReason) {
		if n := byReason[reason]; n > 0 {
			causes = append(causes, fmt.Sprintf("%d %s", n, reason))
		}
	}
	return strings.Join(causes, ", ")
}

func drainCommand(a *asking) *cobra.Command {
	var deadline time.Duration
	cmd := &cobra.Command{
		Use:   "drain NAME",
		Short: "Let no new sessions in to a backend",
		Long: `Let no new sessions in to a backend, on every gateway that is asked: its users hear
[SYS/TEMP]. Sessions that run end by themselves, or, with --deadline, after that time:
between two commands, with a word to the client where that is certain. It holds through a
restart, until "postern backends resume".

Exit 1 when a gateway has no such backend, 3 when one did not answer.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/v1/backends/" + segment(args[0]) + "/drain"
			if cmd.Flags().Changed("deadline") {
				path += "?" + url.Values{"deadline": {deadline.String()}}.Encode()
			}
			return drainAll(cmd.Context(), a, path, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "end the sessions that are left after this `TIME`")
	return cmd
}

func resumeCommand(a *asking) *cobra.Command {
	return &cobra.Command{
		Use:   "resume NAME",
		Short: "Let sessions in to a drained backend again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return drainAll(cmd.Context(), a, "/api/v1/backends/"+segment(args[0])+"/resume", cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func drainAll(ctx context.Context, a *asking, path string, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, func(ctx context.Context, r *remote) (d admin.Drained, err error) {
		err = r.call(ctx, http.MethodPost, path, &d)
		return d, err
	})
	rows := newTable("GATEWAY", "BACKEND", "DRAINED")
	for _, answer := range answers {
		if answer.err != nil {
			continue
		}
		rows.add(answer.from.name, answer.value.Backend, yesNo(answer.value.Drained))
		if a.json {
			if err := encode(out, struct {
				from
				admin.Drained
			}{from{answer.from.name}, answer.value}); err != nil {
				return err
			}
		}
	}
	if !a.json {
		if err := rows.write(out); err != nil {
			return err
		}
	}
	return settle(faults, answers)
}
