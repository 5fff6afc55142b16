package directorytest

import (
	"context"
	"maps"
	"testing"
	"time"

	"postern/directory"
)

// Site is the place where a source gets its data, in the hands of a test.
type Site interface {
	// Set makes these lines of map file all that the source can read. The last line has its end.
	Set(t *testing.T, lines string)
	// Break makes the source unreadable: the file vanishes, the server is gone.
	Break(t *testing.T)
	// Repair makes it readable again, with the lines of the last Set.
	Repair(t *testing.T)
}

const (
	patience = 10 * time.Second       // for what has to come
	silence  = 200 * time.Millisecond // for what must not
)

// state is what a source said in all its updates, by group.
type state map[string]*directory.Table

func (s state) apply(u directory.Update) {
	for _, group := range u.Groups {
		s[group.Name] = group.Table
		if group.Table.Len() == 0 {
			delete(s, group.Name)
		}
	}
}

// entries are what the state holds; an address that is there twice fails the test.
func (s state) entries(t *testing.T) map[string]directory.Value {
	t.Helper()
	all := make(map[string]directory.Value)
	for _, table := range s {
		for address, v := range table.All() {
			if _, twice := all[address]; twice {
				t.Errorf("%s is in two groups", address)
			}
			all[address] = v
		}
	}
	return all
}

// run is one Run of a source.
type run struct {
	t      *testing.T
	cancel context.CancelFunc
	look   chan struct{}
	up     chan directory.Update
	ended  chan error
	state  state
}

func start(t *testing.T, source directory.Source) *run {
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{
		t: t, cancel: cancel, state: make(state),
		look: make(chan struct{}), up: make(chan directory.Update), ended: make(chan error, 1),
	}
	go func() { r.ended <- source.Run(ctx, r.look, r.up) }()
	t.Cleanup(cancel)
	return r
}

// next takes an update.
func (r *run) next() directory.Update {
	r.t.Helper()
	select {
	case u, open := <-r.up:
		if !open {
			r.t.Fatal("the source closed the channel")
		}
		r.state.apply(u)
		return u
	case err := <-r.ended:
		r.t.Fatalf("the source ended: %v", err)
	case <-time.After(patience):
		r.t.Fatal("the source says nothing")
	}
	return directory.Update{}
}

// until takes updates until one is as wanted.
func (r *run) until(what string, wanted func(directory.Update) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if wanted(r.next()) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no update %s", what)
		}
	}
}

// holds waits until the source said, without a fault, that it holds exactly want.
func (r *run) holds(want map[string]directory.Value) {
	r.t.Helper()
	r.until("with the new state", func(u directory.Update) bool {
		return u.Err == nil && maps.Equal(r.state.entries(r.t), want)
	})
}

// asks has the source look and returns its answer.
func (r *run) asks() directory.Update {
	r.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case r.look <- struct{}{}:
			return r.next()
		case u := <-r.up: // from before the request
			r.state.apply(u)
		case <-timeout:
			r.t.Fatal("the source takes no request to look")
		}
	}
}

// end cancels the run, takes what the source may still be sending, and wants it gone at once.
func (r *run) end() {
	r.t.Helper()
	r.cancel()
	for timeout := time.After(patience); ; {
		select {
		case <-r.ended:
			return
		case u := <-r.up:
			r.state.apply(u)
		case <-timeout:
			r.t.Fatal("the source does not end")
		}
	}
}
