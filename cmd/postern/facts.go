package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"postern/admin"
	"postern/backend"
	"postern/configs"
	"postern/directory"
	"postern/directory/consul"
	posterntls "postern/proxy/tls"
)

// inForce is what the admin side reads while a reload may be changing it.
type inForce struct {
	config *configs.Config
	*follower
	front *posterntls.Front // nil: no listener has TLS
}

// publish lets the admin side see what is in force.
func (g *gateway) publish() {
	g.inForce.Store(&inForce{config: g.config, follower: g.follower, front: g.front})
}

func (g *gateway) facts() admin.Facts {
	now := g.inForce.Load()
	sessions := g.server.List()
	facts := admin.Facts{
		Gateway: hostname(), Version: version, Started: g.desk.started,
		Draining: g.draining.Load(), Sessions: len(sessions), Directory: now.sources(),
		Forwarded: now.dir.Counters().Unknown,
	}
	_, facts.Distrust = g.roster.pool.Distrusts()
	facts.Catalogue = g.roster.catalogue()
	open := make(map[string]int)
	for _, s := range sessions {
		open[s.Listener]++
	}
	for i, l := range now.config.Listeners {
		facts.Listeners = append(facts.Listeners, admin.Listener{
			Name: string(l.Name), Address: g.listeners[i].Addr().String(),
			TLS: tlsText(now.config, l), Sessions: open[string(l.Name)],
		})
	}
	if now.front != nil {
		for _, c := range now.front.Certificates() {
			facts.Certificates = append(facts.Certificates, admin.Certificate{
				Name: certificateName(c), NotAfter: c.NotAfter, Failing: c.Problem != "",
			})
		}
	}
	return facts
}

func tlsText(config *configs.Config, l configs.Listener) string {
	switch {
	case l.TLS == configs.ListenerImplicit:
		return "implicit"
	case len(config.CertificatesFor(l)) > 0:
		return "stls"
	}
	return ""
}

func certificateName(c posterntls.Info) string {
	if len(c.Names) > 0 {
		return c.Names[0]
	}
	return c.Path
}

// sources tells how a directory's sources stand, those that are only compared at the end.
func sources(dir *directory.Directory) []admin.Source {
	var all []admin.Source
	shadows := dir.Counters().Shadows
	for _, s := range dir.Status() {
		source := admin.Source{
			Name: s.Name, Entries: s.Entries, LoadedAt: s.LoadedAt, Failing: s.Err != nil, Held: s.Held,
			Saved: s.Saved, Asked: s.Asked, Shadow: s.Shadow,
		}
		if s.Err != nil {
			source.Error = s.Err.Error()
		}
		if s.Asked {
			c := s.Cache
			source.Kept = &admin.Kept{
				Hits: c.Hits, Misses: c.Misses, Stale: c.Stale, Questions: c.Questions, Errors: c.Errors, InFlight: c.InFlight,
			}
		}
		if s.Shadow {
			source.Compared = compared(shadows, s.Name)
		}
		all = append(all, source)
	}
	return all
}

// replicated is a source whose servers are several, of which it reads the nearest.
type replicated interface{ Staleness() consul.Staleness }

// sources adds to that how far behind a source's server may be.
func (f *follower) sources() []admin.Source {
	all := sources(f.dir)
	for _, named := range f.named {
		i := slices.IndexFunc(all, func(s admin.Source) bool { return s.Name == named.Name })
		if r, ok := named.Source.(replicated); ok && i >= 0 {
			s := r.Staleness()
			all[i].Replica = &admin.Replica{StaleSeconds: s.LastContact.Seconds(), KnownLeader: s.KnownLeader}
		}
	}
	return all
}

func compared(shadows []directory.ShadowCounters, name string) *admin.Shadow {
	for _, c := range shadows {
		if c.Source == name {
			return &admin.Shadow{
				Same: c.Same, Different: c.Different, UnknownThere: c.UnknownThere, UnknownHere: c.UnknownHere,
				Failed: c.Failed, Dropped: c.Dropped,
			}
		}
	}
	return nil
}

// confirm lets serve what the shrink guard holds.
func (g *gateway) confirm(source string) error {
	if source == confirmBackends {
		return g.roster.confirm()
	}
	err := g.inForce.Load().dir.Confirm(source)
	switch {
	case errors.Is(err, directory.ErrNoSource):
		return admin.ErrNoSource
	case errors.Is(err, directory.ErrNotHeld):
		return admin.ErrNotHeld
	}
	return err
}

func (g *gateway) forget(address string) (int, error) { return g.inForce.Load().dir.Forget(address) }

func (g *gateway) adminSessions() []admin.Session {
	var all []admin.Session
	for _, s := range g.server.List() {
		all = append(all, admin.Session{
			ID: s.ID, Client: s.Client, Listener: s.Listener, Mailbox: s.Mailbox, Backend: s.Backend, State: s.State,
			Since: s.Since, ToClient: s.ToClient, ToBackend: s.ToBackend, TLS: s.TLS, Verb: s.Verb, Outstanding: s.Outstanding,
		})
	}
	return all
}

func (g *gateway) adminBackends() []admin.Backend {
	aliases := make(map[string][]string)
	for _, t := range g.roster.backends().targets {
		aliases[t.Name] = t.Aliases
	}
	var all []admin.Backend
	for _, s := range g.roster.pool.Snapshot() {
		b := admin.Backend{
			Name: s.Name, Addresses: s.Addresses, Aliases: aliases[s.Name], State: s.State.String(), Reason: s.Reason, Since: s.Since,
			Breaker: s.Breaker, Failures: s.Failures, Suspects: s.Suspects, Rumour: s.Rumour,
			LastCheck: s.LastCheck, CheckError: s.CheckError, LastSuccess: s.LastSuccess, LastFailure: s.LastFailure, LastError: s.LastError,
			Logins: s.Logins, Limit: s.Limit, MaxLogins: s.MaxLogins, Queued: s.Queued, Sessions: s.Sessions, MaxSessions: s.MaxSessions,
			Refused: s.Refused, Connect: adminLatency(s.Connect), Greeting: adminLatency(s.Greeting), Login: adminLatency(s.Login),
		}
		if s.Drain != nil {
			b.Drain = &admin.Drain{By: s.Drain.By, Since: s.Drain.Since, Until: g.drains.deadline(s.Name)}
		}
		all = append(all, b)
	}
	return all
}

func adminLatency(l backend.Latency) admin.Latency {
	return admin.Latency{Count: l.Count, Median: l.Median.Seconds(), Max: l.Max.Seconds()}
}

func (g *gateway) explain(ctx context.Context, address string) (admin.Explanation, error) {
	e := explainFrom(ctx, g.inForce.Load().dir, address)
	e.Gateway = hostname()
	if e.Mailbox == "" {
		return e, nil
	}
	for _, b := range g.adminBackends() {
		if e.Backend != nil && b.Name == e.Backend.Name {
			e.Backend = &b
		}
	}
	e.Logins = g.desk.history.Of(e.Mailbox)
	e.Sessions = slices.DeleteFunc(g.adminSessions(), func(s admin.Session) bool { return s.Mailbox != e.Mailbox })
	if most := g.inForce.Load().config.Limits.SessionsPerMailbox; most > 0 && len(e.Sessions) >= most {
		e.Admitted, e.Because = false, append(e.Because, "the mailbox has as many sessions as limits.sessions_per_mailbox allows")
	}
	if route, err := g.locate(ctx, directory.Query{User: address, Quiet: true}); err == nil {
		if refused := g.roster.pool.Ask(*route.Backend, backend.Visit{Mailbox: route.Mailbox}); refused != nil {
			e.Admitted, e.Because = false, append(e.Because, "the client hears [SYS/TEMP]: "+refused.Error())
		}
	}
	if g.draining.Load() {
		e.Admitted, e.Because = false, append(e.Because, "the gateway is draining")
	}
	return e, nil
}

// explainConfig explains from a configuration alone, without what only a gateway knows.
func explainConfig(ctx context.Context, path, address string) (admin.Explanation, error) {
	config, err := configs.Load(path)
	if err != nil {
		return admin.Explanation{}, usageError{err}
	}
	f, err := loadDirectory(ctx, config, slog.New(slog.DiscardHandler))
	if err != nil {
		return admin.Explanation{}, usageError{err}
	}
	defer f.stop()
	return explainFrom(ctx, f.dir, address), nil
}

// explainFrom tells what the directory says: every source's answer, and who wins.
func explainFrom(ctx context.Context, dir *directory.Directory, address string) admin.Explanation {
	e := admin.Explanation{Typed: address}
	mailbox, answers, err := dir.Answers(ctx, directory.Query{User: address})
	if err != nil {
		e.Fault, e.Because = err.Error(), []string{"what was typed is no name of a mailbox"}
		return e
	}
	e.Mailbox = mailbox
	decided := false // by the first that knows the mailbox, or can't say
	all := sources(dir)
	for i, a := range answers {
		source := admin.Source{Name: a.Source} // the policy for unknown mailboxes is none
		if i < len(all) && all[i].Name == a.Source {
			source = all[i]
		}
		answer := sourceAnswer(source, a)
		answer.Wins = answer.Known && !decided
		decided = decided || answer.Known || a.Err != nil
		e.Sources = append(e.Sources, answer)
	}
	route, err := dir.Locate(ctx, directory.Query{User: address, Quiet: true})
	return verdict(e, route, err)
}

func sourceAnswer(source admin.Source, a directory.Answer) admin.SourceAnswer {
	answer := admin.SourceAnswer{Source: source, Known: a.Known, Entry: a.Route.Entry, Login: a.Route.Login}
	if !a.AskedAt.IsZero() {
		answer.LoadedAt = a.AskedAt // the answer's age says more than the source's
	}
	if a.Err != nil {
		answer.Says = a.Err.Error()
	}
	if noBackend := new(directory.NoBackendError); errors.As(a.Err, &noBackend) {
		answer.Backend = noBackend.Backend
	}
	if a.Route.Backend != nil {
		answer.Backend, answer.State = a.Route.Backend.Name, a.Route.State.String()
	}
	return answer
}

// verdict completes an explanation by what Locate says: whether a login would be admitted,
// and why not.
func verdict(e admin.Explanation, route directory.Route, err error) admin.Explanation {
	if err != nil {
		e.Fault, e.Because = err.Error(), []string{"the client hears [SYS/TEMP]: " + err.Error()}
		switch {
		case errors.Is(err, directory.ErrUnknown):
			e.Because = []string{"no source knows the mailbox: the client hears [AUTH], as for a wrong password"}
		case errors.Is(err, directory.ErrNeedsPassword):
			e.Because = []string{"the last source judges passwords: it is asked only with one"}
		}
		return e
	}
	e.Backend, e.Login, e.State = adminBackend(route.Backend), route.Login, route.State.String()
	switch route.State {
	case directory.Moving:
		e.Because = []string{"the mailbox is moving: the client hears [SYS/TEMP]"}
	case directory.Suspended:
		e.Because = []string{"the mailbox is suspended: with the right password the client hears [SYS/PERM]"}
	default:
		e.Admitted = true
	}
	return e
}

func adminBackend(t *backend.Target) *admin.Backend {
	return &admin.Backend{Name: t.Name, Addresses: slices.Clone(t.Addresses), Aliases: slices.Clone(t.Aliases)}
}
