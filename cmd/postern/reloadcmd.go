package main

import (
	"context"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"postern/admin"
)

func reloadCommand() *cobra.Command {
	var a *asking
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have running gateways read configuration, certificates and files again",
		Long: `Have running gateways read configuration, certificates and files again. What is wrong
is refused whole, and what was in force stays.

Exit 2, with the faults, when one was refused, 3 when a gateway did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return reloadAll(cmd.Context(), a, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	a = askingFlags(cmd)
	return cmd
}

func reloadAll(ctx context.Context, a *asking, out, faults io.Writer) error {
	all, err := a.remotes()
	if err != nil {
		return err
	}
	answers := ask(ctx, a, all, func(ctx context.Context, r *remote) (v admin.Reloaded, err error) {
		err = r.call(ctx, http.MethodPost, "/api/v1/reload", &v)
		return v, err
	})
	rows := newTable("GATEWAY", "RELOADED")
	for _, answer := range answers {
		if answer.err != nil {
			continue
		}
		rows.add(answer.from.name, yesNo(answer.value.Reloaded))
		if a.json {
			if err := encode(out, struct {
				from
				admin.Reloaded
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
