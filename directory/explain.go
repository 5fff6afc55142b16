package directory

import (
	"context"
	"errors"
	"time"
)

// Answer is what one source says of a mailbox.
type Answer struct {
	Source  string
	Known   bool // it has an entry for the mailbox
	Route   Route
	Err     error     // why its entry leads nowhere, or why it can't answer
	AskedAt time.Time // when one that is asked said so, be it that it has nothing; zero: it is followed
}

// Answers makes a name canonical and asks every source for it, in their order, and the policy for unknown
// mailboxes last, where there is one. The first that knows the mailbox or
// can't answer is the one that Locate obeys. A Judge says ErrNeedsPassword. An error means that
// the name is none.
func (d *Directory) Answers(ctx context.Context, q Query) (mailbox string, answers []Answer, err error) {
	mailbox, err = d.canonical(q)
	if err != nil {
		return "", nil, err
	}
	s := d.current.Load()
	for _, p := range d.places {
		var route Route
		switch {
		case p.follower != nil:
			route, err = s.sources[p.follower.order].locate(mailbox, q.User)
		case p.asked != nil:
			route, err = p.asked.locate(ctx, mailbox, q)
		default:
			err = ErrNeedsPassword
		}
		answers = append(answers, answer(p.name, route, err))
	}
	if d.policy.Policy != Reject {
		route, err := d.unknown(mailbox, q.User, false)
		answers = append(answers, answer(PolicySource, route, err))
	}
	return mailbox, answers, nil
}

func answer(source string, route Route, err error) Answer {
	a := Answer{Source: source, Known: err == nil, Route: route, AskedAt: route.AskedAt}
	if err != nil {
		a.Route = Route{}
	}
	if !errors.Is(err, ErrUnknown) {
		a.Err = err
	}
	if _, homeless := errors.AsType[*NoBackendError](err); homeless || errors.Is(err, ErrLogin) {
		a.Known = true
	}
	return a
}
