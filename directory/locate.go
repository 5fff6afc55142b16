package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/backend"
)

// Locate answers who owns the mailbox that a client named. Followed sources are read from one snapshot,
// without waiting; the context is for those that have to be asked.
//
// ErrUnknown means that there is no such mailbox, and a *RefusalError is a Judge's no. Any
// other error is temporary and for an operator: ErrNotReady, ErrLogin, a *NoBackendError, or why a
// source can't answer; and ErrNeedsPassword where a Judge would have to be asked without a Login.
func (d *Directory) Locate(ctx context.Context, q Query) (Route, error) {
	mailbox, err := d.canonical(q)
	if err != nil {
		return Route{}, ErrUnknown
	}
	route, err := d.search(ctx, d.current.Load(), mailbox, q)
	if len(d.shadows) > 0 && !q.Quiet {
		d.compare(mailbox, q.User, route, err)
	}
	if err == ErrUnknown && !q.Strict {
		return d.unknown(mailbox, q.User, !q.Quiet)
	}
	return route, err
}

func (d *Directory) canonical(q Query) (string, error) {
	domain := q.DefaultDomain
	if domain == "" {
		domain = d.defaultDomain
	}
	return Canonical(q.User, domain)
}

// search asks the sources in their order. An earlier source wins over a later one in whatever it
// says, that it can't answer included: a later one could send the user to the wrong mailbox.
// That no source knows the mailbox is ErrUnknown itself, and wrapped nowhere.
func (d *Directory) search(ctx context.Context, s *snapshot, mailbox string, q Query) (Route, error) {
	for _, p := range d.places {
		var route Route
		var err error
		switch {
		case p.follower != nil:
			route, err = s.sources[p.follower.order].locate(mailbox, q.User)
		case p.asked != nil:
			route, err = p.asked.locate(ctx, mailbox, q)
		default:
			route, err = d.judge(ctx, p, mailbox, q)
		}
		if err != ErrUnknown {
			return route, err
		}
	}
	return Route{}, ErrUnknown
}

// locate looks a canonical mailbox up. The mailbox's own entry wins over its domain's.
func (s *sourceView) locate(mailbox, typed string) (Route, error) {
	if !s.ready {
		return Route{}, fmt.Errorf("source %s: %w", s.name, ErrNotReady)
	}
	domain := ""
	if at := strings.LastIndexByte(mailbox, '@'); at >= 0 {
		domain = mailbox[at:]
	}
	for _, entry := range [...]string{mailbox, domain} {
		if entry == "" {
			continue
		}
		if group, e, ok := s.find(entry); ok {
			return group.route(e, Route{Mailbox: mailbox, Source: s.name, Entry: entry}, typed)
		}
	}
	return Route{}, ErrUnknown
}

// route completes an answer from the entry that was found.
func (g *groupView) route(e packed, r Route, typed string) (Route, error) {
	r.State, r.Backend = e.state, g.backends[e.backend]
	if r.Backend == nil {
		return Route{}, &NoBackendError{Mailbox: r.Mailbox, Entry: r.Entry, Backend: g.table.backends[e.backend], Source: r.Source}
	}
	login, err := loginName(e.login, r.Backend.Login, r.Mailbox, typed)
	if err != nil {
		return Route{}, err
	}
	r.Login = login
	return r, nil
}

// judge asks a Judge, which sees each password once.
func (d *Directory) judge(ctx context.Context, p *place, mailbox string, q Query) (Route, error) {
	if q.Login == nil {
		return Route{}, fmt.Errorf("source %s: %w", p.name, ErrNeedsPassword)
	}
	verdict, err := p.judge.Judge(ctx, mailboxOf(mailbox), *q.Login)
	if err == nil {
		err = checkValue(verdict.Value)
	}
	if _, refused := errors.AsType[*RefusalError](err); refused {
		return Route{}, err
	}
	if errors.Is(err, ErrUnknown) {
		return Route{}, ErrUnknown
	}
	if err != nil {
		return Route{}, fmt.Errorf("source %s: %w", p.name, err)
	}
	route, err := d.routeOf(p.name, mailbox, q.User, verdict.Value)
	route.Password = verdict.Password // and no AskedAt: asking again would be another login to the service
	return route, err
}

// routeOf makes a route of what a source said when it was asked.
func (d *Directory) routeOf(source, mailbox, typed string, v Value) (Route, error) {
	target, err := d.target(v.Backend)
	if err != nil {
		return Route{}, err
	}
	if target == nil {
		return Route{}, &NoBackendError{Mailbox: mailbox, Entry: mailbox, Backend: v.Backend, Source: source}
	}
	route, err := routeTo(target, mailbox, typed, v.Login)
	route.State, route.Source, route.Entry = v.State, source, mailbox
	return route, err
}

// routeTo makes a route to a backend.
func routeTo(target *backend.Target, mailbox, typed, login string) (Route, error) {
	name, err := loginName([]byte(login), target.Login, mailbox, typed)
	if err != nil {
		return Route{}, err
	}
	return Route{Mailbox: mailbox, Login: name, Backend: target}, nil
}

// Standing tells what is known of a canonical mailbox now, without asking anybody: from followed
// sources, and from kept answers whether they have expired or not. False: nothing is known, or the mailbox is in none.
func (d *Directory) Standing(mailbox string) (Route, bool) {
	s := d.current.Load()
	for _, p := range d.places {
		var route Route
		err := ErrNeedsPassword
		switch {
		case p.follower != nil:
			route, err = s.sources[p.follower.order].locate(mailbox, mailbox)
		case p.asked != nil:
			route, err = p.asked.standing(mailbox)
		}
		if err != ErrUnknown {
			return route, err == nil
		}
	}
	return Route{}, false
}
