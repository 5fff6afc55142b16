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
	var path, listener string
	var once bool
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the gateway in the foreground",
		Long: `Run the gateway in the foreground, with logs on standard error.

SIGHUP reloads configuration and files; what is wrong is refused whole, and the
old stays. SIGTERM drains: after timeouts.drain_delay the listeners close, and
running sessions have timeouts.drain; a second one ends at once.

With --inetd it is one session: the client whose connection is standard input and
output. Limits across sessions don't hold then.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := harden(); err != nil {
				return err
			}
			if once {
				return inetd(cmd.Context(), path, listener)
			}
			return serve(cmd.Context(), path)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&once, "inetd", false, "serve the one client on standard input and output; log to syslog")
	cmd.Flags().StringVar(&listener, "listener", "", "with --inetd: the listener, by `NAME`, whose settings hold; default: the first")
	return cmd
}

func serve(ctx context.Context, path string) error {
	config, err := configs.Load(path)
	if err != nil {
		return usageError{err}
	}
	incoming, release := signals()
	defer release()
	notify := newNotifier()
	g, err := newGateway(ctx, path, config, os.Stderr)
	if err != nil {
		return err
	}
	g.notify = notify
	return g.serve(ctx, incoming)
}

// serve obeys signals until the gateway has ended. A reload runs beside it, one at a time: a source that hangs
// may not make it deaf to a signal that ends it.
func (g *gateway) serve(ctx context.Context, incoming <-chan os.Signal) error {
	g.notify.ready()
	reports := start(func(ctx context.Context) { g.notify.report(ctx, g.server.Sessions) })
	defer reports.stop()
	var running *background // a reload
	again := false          // it was asked for once more meanwhile, and what was read may be older than that
	for {
		asked, over := g.reloads, running.ended()
		if running != nil {
			asked = nil
		}
		select {
		case sig := <-incoming:
			switch {
			case sig != syscall.SIGHUP:
				running.stop()
				g.drain(sig, incoming)
				return nil
			case running != nil:
				again = true
			default:
				running = start(func(ctx context.Context) { _ = g.reload(ctx) }) // logged
			}
		case answer := <-asked:
			running = start(func(ctx context.Context) { answer <- g.reload(ctx) })
		case <-over:
			running.stop()
			running = nil
			if again {
				again, running = false, start(func(ctx context.Context) { _ = g.reload(ctx) })
			}
		}
	}
}

// drain lets the running sessions end by themselves, within the configured time.
// New ones are taken for a while before, until load balancers have noticed. A
// second signal ends at once.
func (g *gateway) drain(sig os.Signal, incoming <-chan os.Signal) {
	timeouts := g.config.Timeouts
	g.draining.Store(true)
	g.notify.stopping(g.server.Sessions())
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
