package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"postern/admin"
)

// sessionsOptions are what sessions lists, and how often.
type sessionsOptions struct {
	*asking
	chosen   chosen
	limit    int
	watch    bool
	interval time.Duration
}

func sessionsCommand() *cobra.Command {
	var o sessionsOptions
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List the sessions of running gateways, or end some",
		Long: `List the sessions of running gateways, the oldest first. All are asked at once.

Exit 3 when one did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listSessions(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.asking = askingFlags(cmd)
	o.chosen.flags(cmd)
	cmd.Flags().IntVar(&o.limit, "limit", 1000, "at most so many of each gateway")
	cmd.Flags().BoolVar(&o.watch, "watch", false, "go on until Ctrl-C")
	cmd.Flags().DurationVar(&o.interval, "interval", 2*time.Second, "how often with --watch")
	cmd.AddCommand(kickCommand(o.asking))
	return cmd
}

// chosen is which sessions are meant: those that all of its fields fit.
type chosen struct{ mailbox, backend, address string }

func (c *chosen) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.mailbox, "mailbox", "", "sessions of this `MAILBOX`")
	cmd.Flags().StringVar(&c.backend, "backend", "", "sessions on this `BACKEND`")
	cmd.Flags().StringVar(&c.address, "address", "", "sessions from this client's `ADDRESS` or network")
}

// query is what the API calls it.
func (c chosen) query() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"mailbox": c.mailbox, "backend": c.backend, "address": c.address} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

func listSessions(ctx context.Context, o sessionsOptions, out, faults io.Writer) error {
	if o.watch && o.json {
		return usageError{errors.New("want --watch, which is for people, or --json, which is for programs")}
	}
	all, err := o.remotes()
	if err != nil {
		return err
	}
	query := o.chosen.query()
	query.Set("limit", strconv.Itoa(o.limit))
	question := get[admin.SessionList]("/api/v1/sessions?" + query.Encode())
	show := func(ctx context.Context, out, faults io.Writer) error {
		answers := ask(ctx, o.asking, all, question)
		if err := o.print(out, faults, answers); err != nil {
			return err
		}
		return settle(faults, answers)
	}
	if !o.watch {
		return show(ctx, out, faults)
	}
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	return watch(ctx, o.interval, out, show)
}

func (o sessionsOptions) print(out, faults io.Writer, answers []answered[admin.SessionList]) error {
	rows := newTable("GATEWAY", "ID", "MAILBOX", "BACKEND", "CLIENT", "AGE", "STATE", "SENT", "TLS", "LISTENER")
	for _, answer := range answers {
		list := answer.value
		for _, s := range list.Sessions {
			if o.json {
				if err := encodeSession(out, answer.from.name, list.Gateway, s); err != nil {
					return err
				}
				continue
			}
			rows.add(answer.from.name, s.ID, s.Mailbox, s.Backend, s.Client.String(), span(time.Since(s.Since)),
				s.State, octets(s.ToClient), s.TLS, s.Listener)
		}
		if cut := list.Matching - len(list.Sessions); cut > 0 {
			_, _ = fmt.Fprintf(faults, "postern: %s: %d more sessions, see --limit\n", clean(answer.from.name), cut)
		}
	}
	return rows.write(out)
}

func encodeSession(out io.Writer, name, gateway string, s admin.Session) error {
	return encode(out, struct {
		from
		Gateway string `json:"gateway"`
		admin.Session
	}{from{name}, gateway, s})
}

// clearScreen moves a terminal's cursor home and clears what is below it.
const clearScreen = "\x1b[H\x1b[J"

// watch shows again and again until the context is done. A gateway that does not answer
// is a line of the picture, not the end of it.
func watch(ctx context.Context, interval time.Duration, out io.Writer, show func(context.Context, io.Writer, io.Writer) error) error {
	ticker := time.NewTicker(max(interval, 100*time.Millisecond))
	defer ticker.Stop()
	for {
		picture := &screen{width: terminalWidth(out)}
		_ = show(ctx, picture, picture)
		if ctx.Err() != nil {
			return nil
		}
		before := "\n"
		if picture.width > 0 {
			before = clearScreen
		}
		if _, err := fmt.Fprintf(out, "%s%s\n%s", before, time.Now().Format(time.DateTime), picture.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
