package directorytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern/directory"
	"postern/directory/mapfile"
)

// AskedSite is the place that a Resolver asks, in the hands of a test.
type AskedSite interface {
	// Set makes these lines of map file (ADDRESS BACKEND [login=X] [state=Y], addresses canonical) all
	// that the place knows. The last line has its end. What an octet means there is to be kept to the letter:
	// case, quotes and all; so read them with package mapfile.
	Set(t *testing.T, lines string)
	// Break makes the place unable to answer: the server is gone, the table is.
	Break(t *testing.T)
	// Repair makes it able again, with the lines of the last Set.
	Repair(t *testing.T)
}

// askedPatience is longer than patience: a real server has to come back in it, on a machine that is busy.
const askedPatience = 30 * time.Second

// RunResolver proves that the resolvers which fresh makes keep the contract that is written at
// directory.Resolver. The canary is a secret that each of them was given, a password or a piece of
// a data source's name, and that nothing may show. It may not stand in an address or a backend's name.
//
// The suite closes what fresh makes. Its tests count goroutines, from after the first Set on,
// so none of them may run in parallel with others.
func RunResolver(t *testing.T, canary string, fresh func(t *testing.T) (directory.Resolver, AskedSite)) {
	for _, test := range []struct {
		name string
		run  func(*asking)
	}{
		{"what is known is told to the letter", knownIsTold},
		{"what is not known is unknown", notKnownIsUnknown},
		{"a change is seen by the next question", changeIsSeen},
		{"a hostile name asks for nothing else", hostileNamesStayNames},
		{"a hostile name is found under itself", hostileNamesAreFound},
		{"broken is an error and not unknown", brokenIsNoUnknown},
		{"repaired it answers again", repairedAnswers},
		{"broken at the start it answers later", brokenAtFirst},
		{"a question that is called off ends", calledOffEnds},
		{"many ask at once", manyAtOnce},
	} {
		t.Run(test.name, func(t *testing.T) {
			resolver, site := fresh(t)
			a := &asking{t: t, canary: canary, resolver: resolver, site: site}
			a.begin()
			test.run(a)
			a.end()
		})
	}
}

// asking is one resolver under test.
type asking struct {
	t          *testing.T
	canary     string
	resolver   directory.Resolver
	site       AskedSite
	goroutines int
}

// mailbox takes a canonical address apart.
func mailbox(address string) directory.Mailbox {
	m := directory.Mailbox{Address: address, Local: address}
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		m.Local, m.Domain = address[:at], address[at+1:]
	}
	return m
}

// lines writes entries as a map file.
func lines(entries map[string]directory.Value) string {
	var text []byte
	for address, v := range entries {
		text = append(mapfile.Append(text, address, v), '\n')
	}
	return string(text)
}

// ask asks once, with time enough, and looks for the canary in the error.
func (a *asking) ask(address string) (directory.Value, error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), askedPatience)
	defer cancel()
	v, err := a.resolver.Resolve(ctx, mailbox(address))
	a.keepsSecret(err)
	return v, err
}

// keepsSecret looks for the canary wherever a log or a person could see it.
func (a *asking) keepsSecret(shown any) {
	a.t.Helper()
	for _, form := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(form, shown); strings.Contains(text, a.canary) {
			a.t.Errorf("%s of a %T shows the secret", form, shown)
		}
	}
	if err, ok := shown.(error); ok {
		if inner := errors.Unwrap(err); inner != nil {
			a.keepsSecret(inner)
		}
	}
}

// tells fails unless the resolver has exactly this to say.
func (a *asking) tells(address string, want directory.Value) {
	a.t.Helper()
	if v, err := a.ask(address); err != nil || v != want {
		a.t.Errorf("%q: %+v, %v; want %+v", address, v, err, want)
	}
}

func (a *asking) unknown(address string) {
	a.t.Helper()
	if v, err := a.ask(address); !errors.Is(err, directory.ErrUnknown) {
		a.t.Errorf("%q: %+v, %v; want unknown", address, v, err)
	}
}

// fails wants an error that is no answer.
func (a *asking) fails(address string) {
	a.t.Helper()
	if v, err := a.ask(address); err == nil || errors.Is(err, directory.ErrUnknown) {
		a.t.Errorf("%q: %+v, %v; want an error that is not unknown", address, v, err)
	}
}

// begin sets the first lines and counts what runs before the first question.
func (a *asking) begin() {
	a.t.Helper()
	a.site.Set(a.t, lines(known()))
	a.goroutines = runtime.NumGoroutine()
}

// end closes the resolver, twice as a careless owner does, and wants nothing left of it.
func (a *asking) end() {
	a.t.Helper()
	if err := a.resolver.Close(); err != nil {
		a.t.Errorf("closing: %v", err)
	}
	_ = a.resolver.Close()
	leavesNothing(a.t, a.goroutines)
	a.keepsSecret(a.resolver)
}

// comesBack waits until the resolver has this to say.
func (a *asking) comesBack(address string, want directory.Value) {
	a.t.Helper()
	for deadline := time.Now().Add(askedPatience); ; <-time.After(20 * time.Millisecond) {
		v, err := a.ask(address)
		if err == nil && v == want {
			return
		}
		if errors.Is(err, directory.ErrUnknown) {
			a.t.Fatalf("%q is unknown while the place comes back", address)
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("%q: %+v, %v; want %+v", address, v, err, want)
		}
	}
}
