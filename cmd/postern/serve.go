package main

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"postern/configs"
)

func serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the gateway in the foreground",
		Long: `Run the gateway in the foreground, with logs on standard error.

SIGHUP reloads configuration and files; what is wrong is refused whole, and the
old stays. SIGTERM drains: after timeouts.drain_delay the listeners close, and
running sessions have timeouts.drain; a second one ends at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path) },
	}
	configFlag(cmd, &path)
	return cmd
}

func serve(ctx context.Context, path string) error {
	config, err := configs.Load(path)
	if err != nil {
		return usageError{err}
	}
	incoming, release := signals()
	defer release()
	g, err := newGateway(ctx, path, config, os.Stderr)
	if err != nil {
		return err
	}
	return g.serve(ctx, incoming)
}

// serve obeys signals until the gateway has ended.
func (g *gateway) serve(ctx context.Context, incoming <-chan os.Signal) error {
	for {
		select {
		case sig := <-incoming:
			if sig != syscall.SIGHUP {
				g.drain(sig, incoming)
				return nil
			}
			_ = g.reload(ctx) // logged
		case err := <-g.broken:
			g.close(cancelled())
			return err
		}
	}
}

// drain lets the running sessions end by themselves, within the configured time.
// New ones are taken for a while before, until load balancers have noticed. A
// second signal ends at once.
func (g *gateway) drain(sig os.Signal, incoming <-chan os.Signal) {
	timeouts := g.config.Timeouts
	g.log.Info("draining", "signal", sig.String(), "sessions", g.server.Sessions(),
		"delay", timeouts.DrainDelay, "deadline", timeouts.Drain)
	patience, cancel := context.WithCancel(context.Background())
	defer cancel()
	go endPatience(patience, cancel, incoming)
	select {
	case <-time.After(timeouts.DrainDelay):
	case <-patience.Done():
	}
	deadline, cancelDeadline := context.WithTimeout(patience, timeouts.Drain)
	defer cancelDeadline()
	cut := g.close(deadline)
	g.log.Info("drained", "sessions_cut", cut)
}

// endPatience cancels at the next signal to end; SIGHUP means nothing any more.
func endPatience(ctx context.Context, cancel context.CancelFunc, incoming <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-incoming:
			if sig != syscall.SIGHUP {
				cancel()
				return
			}
		}
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
