package directory

import (
	"errors"
)

// Answer is what one source says of a mailbox.
type Answer struct {
	Source string
	Known  bool // it has an entry for the mailbox
	Route  Route
	Err    error // why its entry leads nowhere
}

// Explain makes a name canonical and asks every source for it, in their order; the first
// that knows the mailbox is the one that Locate obeys. An error means that
// the name is none.
func (d *Directory) Explain(q Query) (mailbox string, answers []Answer, err error) {
	domain := q.DefaultDomain
	if domain == "" {
		domain = d.defaultDomain
	}
	mailbox, err = Canonical(q.User, domain)
	if err != nil {
		return "", nil, err
	}
	for _, source := range d.current.Load().sources {
		alone := snapshot{sources: []sourceView{source}}
		route, err := alone.locate(mailbox, q.User)
		answer := Answer{Source: source.name, Known: err == nil, Route: route}
		if !errors.Is(err, ErrUnknown) {
			answer.Err = err
		}
		if noBackend := new(NoBackendError); errors.As(err, &noBackend) || errors.Is(err, ErrLogin) {
			answer.Known = true
		}
		answers = append(answers, answer)
	}
	return mailbox, answers, nil
}
