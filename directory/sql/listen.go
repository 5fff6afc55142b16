package sql

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/directory"
)

// maxChannel is the longest name that PostgreSQL does not cut (NAMEDATALEN - 1).
const maxChannel = 63

// listener hears a channel's notifications on a connection of its own.
type listener struct {
	config        *pgx.ConnConfig
	statement     string
	defaultDomain string
	timeout       time.Duration // of each question
	beat          time.Duration // how long nothing may be heard before the connection is tried
}

// newListener returns nil where there is nothing to listen to.
func newListener(o Options, config *pgx.ConnConfig) (*listener, error) {
	if o.Listen == "" {
		return nil, nil
	}
	l := &listener{
		config:    config.Copy(),
		statement: "LISTEN " + pgx.Identifier{o.Listen}.Sanitize(),
		timeout:   o.Timeout,
		beat:      defaultBeat,
	}
	if o.DefaultDomain != "" {
		domain, err := directory.Domain(o.DefaultDomain)
		if err != nil {
			return nil, fmt.Errorf("default domain %.80q: %w", o.DefaultDomain, err)
		}
		l.defaultDomain = domain
	}
	return l, nil
}

// Listen implements directory.Listener. A loss of the connection forgets nothing by itself: where the
// database is down, the old answers are all there is. The next Listen does.
func (r *Resolver) Listen(ctx context.Context, forget func(address string)) error {
	if r.listener == nil {
		return nil
	}
	return r.listening(ctx, r.listener.run(ctx, forget))
}

// checkListening tries whether Listen would hear anything.
func (r *Resolver) checkListening(ctx context.Context) error {
	if r.listener == nil {
		return nil
	}
	conn, err := r.listener.open(ctx)
	if err != nil {
		return r.listening(ctx, err)
	}
	closeNow(ctx, conn)
	return nil
}

func (r *Resolver) listening(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("listening at %v: %w", r.place, ctx.Err())
	}
	return fmt.Errorf("listening at %v: %s", r.place, r.place.words(err, directory.Mailbox{}))
}

// run forgets all once it hears: what changed before that went unheard.
func (l *listener) run(ctx context.Context, forget func(address string)) error {
	conn, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer closeNow(ctx, conn)
	forget("")
	for {
		payload, err := l.next(ctx, conn)
		if err != nil {
			return err
		}
		forget(l.address(payload))
	}
}

func (l *listener) open(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, err
	}
	if _, err := conn.PgConn().Exec(ctx, l.statement).ReadAll(); err != nil {
		closeNow(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// closeNow says goodbye even where ctx is done, but does not wait for long.
func closeNow(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}

// next waits for a notification. A connection that is silent for long is asked for a sign of life: a
// firewall that forgot it says nothing.
func (l *listener) next(ctx context.Context, conn *pgx.Conn) (payload string, err error) {
	for {
		n, err := l.wait(ctx, conn)
		switch {
		case err == nil:
			return n, nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case conn.IsClosed():
			return "", err
		}
		if err := l.ping(ctx, conn); err != nil {
			return "", err
		}
	}
}

func (l *listener) wait(ctx context.Context, conn *pgx.Conn) (payload string, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.beat)
	defer cancel()
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		return "", err
	}
	return n.Payload, nil
}

func (l *listener) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return conn.Ping(ctx)
}

// address is the mailbox that a payload means. What is no mailbox's name, such as @example.com,
// means all of them.
func (l *listener) address(payload string) string {
	address, err := directory.Canonical(payload, l.defaultDomain)
	if err != nil {
		return ""
	}
	return address
}
