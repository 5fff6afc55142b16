package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"postern/admin"
)

func kickCommand(a *asking) *cobra.Command {
	var meant chosen
	cmd := &cobra.Command{
		Use:   "kick {ID... | --mailbox MAILBOX | --backend BACKEND | --address ADDRESS}",
		Short: "End sessions",
		Long: `End sessions by their ids, or all that fit: of a mailbox, on a backend, from a
client's address. Two of these together mean the sessions that fit both.

Exit 1 when an id is nobody's, 3 when a gateway did not answer.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, ids []string) error {
			question, err := kickQuestion(ids, meant)
			if err != nil {
				return err
			}
			return kickAll(cmd.Context(), a, ids, question, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	meant.flags(cmd)
	return cmd
}

// kicked is what one gateway did.
type kicked struct {
	admin.Kicked
	found []string // ids
}

func kickQuestion(ids []string, meant chosen) (func(context.Context, *remote) (kicked, error), error) {
	query := meant.query().Encode()
	switch {
	case len(ids) > 0 && query != "":
		return nil, usageError{errors.New("want ids, or what the sessions have in common, not both")}
	case len(ids) > 0:
		return func(ctx context.Context, r *remote) (kicked, error) { return r.kickIDs(ctx, ids) }, nil
	case query == "":
		return nil, usageError{errors.New("which sessions? want ids, --mailbox, --backend or --address")}
	}
	return func(ctx context.Context, r *remote) (k kicked, err error) {
		err = r.call(ctx, http.MethodDelete, "/api/v1/sessions?"+query, &k.Kicked)
		return k, err
	}, nil
}

// kickIDs ends the sessions that are this gateway's; that others are not is no fault of it.
func (r *remote) kickIDs(ctx context.Context, ids []string) (all kicked, err error) {
	for _, id := range ids {
		var one admin.Kicked
		err := r.call(ctx, http.MethodDelete, "/api/v1/sessions/"+segment(id), &one)
		var refused *refusedError
		switch {
		case errors.As(err, &refused) && refused.status == http.StatusNotFound:
			continue
		case err != nil:
			return all, err
		}
		all.Gateway, all.Kicked.Kicked = one.Gateway, all.Kicked.Kicked+one.Kicked
		all.found = append(all.found, id)
	}
	return all, nil
}

func kickAll(ctx context.Context, a *asking, ids []string, question func(context.Context, *remote) (kicked, error), out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, question)
	rows := newTable("GATEWAY", "KICKED")
	var found []string
	for _, answer := range answers {
		n := answer.value.Kicked
		if found = append(found, answer.value.found...); answer.err != nil && n.Kicked == 0 {
			continue
		}
		rows.add(answer.from.name, strconv.Itoa(n.Kicked))
		if a.json {
			if err := encode(out, struct {
				from
				admin.Kicked
			}{from{answer.from.name}, n}); err != nil {
				return err
			}
		}
	}
	if !a.json {
		if err := rows.write(out); err != nil {
			return err
		}
	}
	if err := settle(faults, answers); err != nil {
		return err
	}
	return missing(faults, ids, found)
}

// missing names the ids that no gateway had.
func missing(faults io.Writer, ids, found []string) error {
	var err error
	for _, id := range ids {
		if !slices.Contains(found, id) {
			_, _ = fmt.Fprintf(faults, "postern: there is no session %s\n", clean(id))
			err = errSilent
		}
	}
	return err
}

// segment makes a text one segment of a path, whatever is in it; dots alone would mean
// another folder.
func segment(text string) string {
	if text == "." || text == ".." {
		return "%2E%2E"[:3*len(text)]
	}
	return url.PathEscape(text)
}
