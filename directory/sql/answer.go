package sql

import (
	"errors"
	"fmt"
	"strings"

	"postern/directory"
)

const (
	// maxRows is more than any query for one mailbox has a use for. One that forgot its
	// condition would otherwise send the whole table for each login.
	maxRows = 16
	// maxBackend has room for a host's name, a port, and whatever a backend is called.
	maxBackend = 512
)

var (
	errManyRows  = fmt.Errorf("the query has more than %d rows for one mailbox", maxRows)
	errDiffering = errors.New("the query has rows that differ for one mailbox")
	errNoColumn  = errors.New("the query has no column named backend")
	errNoBackend = errors.New("the row names no backend")
)

// row is what the database says of a mailbox, as text. NULL is empty.
type row struct{ backend, login, state string }

// answer collects the rows of one question.
type answer struct {
	backend, login, state int // which columns; -1: none
	first                 row
	rows                  int
	differ                bool
}

// newAnswer finds the columns by their names.
func newAnswer(names []string) (*answer, error) {
	a := &answer{backend: -1, login: -1, state: -1}
	for i, name := range names {
		column := a.column(name)
		if column == nil {
			continue
		}
		if *column >= 0 {
			return nil, fmt.Errorf("the query has two columns named %s", strings.ToLower(name))
		}
		*column = i
	}
	if a.backend < 0 {
		return nil, errNoColumn
	}
	return a, nil
}

// column is where the number of the column with that name belongs; nil: nowhere.
func (a *answer) column(name string) *int {
	switch strings.ToLower(name) {
	case "backend":
		return &a.backend
	case "login":
		return &a.login
	case "state":
		return &a.state
	}
	return nil
}

// add takes a row by its columns' texts.
func (a *answer) add(text func(column int) string) error {
	if a.rows++; a.rows > maxRows {
		return errManyRows
	}
	get := func(column int) string {
		if column < 0 {
			return ""
		}
		return strings.TrimRight(text(column), " ") // PostgreSQL fills up a CHAR(n)
	}
	r := row{get(a.backend), get(a.login), get(a.state)}
	if a.rows == 1 {
		a.first = r
	}
	a.differ = a.differ || r != a.first
	return nil
}

// result makes sense of the rows.
func (a *answer) result() (directory.Value, error) {
	switch {
	case a.rows == 0:
		return directory.Value{}, directory.ErrUnknown
	case a.differ:
		return directory.Value{}, errDiffering
	case a.first.backend == "":
		return directory.Value{}, errNoBackend
	case len(a.first.backend) > maxBackend:
		return directory.Value{}, fmt.Errorf("the row's backend is longer than %d octets", maxBackend)
	}
	v := directory.Value{Backend: a.first.backend, Login: a.first.login}
	if err := directory.CheckLogin(v.Login); err != nil {
		return directory.Value{}, err
	}
	if a.first.state == "" {
		return v, nil
	}
	state, err := directory.ParseState(a.first.state)
	if err != nil {
		return directory.Value{}, err
	}
	v.State = state
	return v, nil
}
