package main

import (
	"context"
	"time"

	"postern/configs"
	"postern/directory"
)

// moveInterval is the least time between two looks at all sessions: a thousand changes in a second are
// one look.
const moveInterval = 200 * time.Millisecond

// watchMoves ends the sessions of mailboxes whose backend or state changed: what is delivered from
// now on lies elsewhere, and two guests must not have one maildrop open. A mailbox that
// nobody knows any more is none of these: that may be a source's mistake, and its session ends by itself.
func (g *gateway) watchMoves(ctx context.Context) {
	for {
		now := g.inForce.Load()
		select {
		case <-now.dir.Changed():
		case <-g.redirected: // to another directory, which may say something else
		case <-ctx.Done():
			return
		}
		if now = g.inForce.Load(); now.config.Directory.OnMove == configs.OnMoveEnd {
			g.endMoved(now.dir)
		}
		select {
		case <-time.After(moveInterval):
		case <-ctx.Done():
			return
		}
	}
}

func (g *gateway) endMoved(dir *directory.Directory) {
	var moved []string
	for _, s := range g.server.List() {
		if s.Mailbox != "" && movedFrom(dir, s.Mailbox, s.Backend) {
			moved = append(moved, s.ID)
		}
	}
	if len(moved) > 0 {
		n := g.server.Kick(moved, "moved")
		g.log.Info("sessions of moved mailboxes ended", "sessions", n)
	}
}

// movedFrom tells whether a mailbox has no place on a backend any more, as far as anybody knows without asking.
func movedFrom(dir *directory.Directory, mailbox, backend string) bool {
	route, known := dir.Standing(mailbox)
	return known && (route.Backend.Name != backend || route.State != directory.Active)
}

// unwanted tells why a session that begins shall end: its mailbox moved, or its backend was drained, while it
// logged in.
func (g *gateway) unwanted(route directory.Route) string {
	now := g.inForce.Load()
	switch {
	case now.config.Directory.OnMove == configs.OnMoveEnd && movedFrom(now.dir, route.Mailbox, route.Backend.Name):
		return "moved"
	case g.drains.past(route.Backend.Name):
		return "drained"
	}
	return ""
}
