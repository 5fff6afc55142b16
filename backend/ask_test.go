package backend_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/backend"
	"postern/pop3/pop3test"
)

// family serves as one of the real servers does, and tells on ended how a session
// ended: nil is CAPA, QUIT and an orderly close.
func family(greeting, capa string, ended chan<- error) func(*pop3test.Conn) {
	return func(c *pop3test.Conn) {
		err := c.Send([]byte(greeting))
		for _, turn := range []struct{ want, answer string }{{"CAPA", capa}, {"QUIT", "+OK bye\r\n"}} {
			if err != nil {
				break
			}
			var line string
			if line, err = c.Line(); err == nil && line != turn.want {
				err = errors.New("heard " + strconv.Quote(line))
			}
			if err == nil {
				err = c.Send([]byte(turn.answer))
			}
		}
		if err == nil {
			if err = c.End(); errors.Is(err, io.EOF) {
				err = nil
			}
		}
		ended <- err
	}
}

// learnOverSockets asks the targets until done says that it has seen enough.
func learnOverSockets(t *testing.T, targets []backend.Target, done func(*backend.Learner, string) bool) *backend.Learner {
	t.Helper()
	log := new(logbook)
	l := backend.NewLearner(backend.Dialer{}, slog.New(slog.NewTextHandler(log, nil)))
	l.Sync(targets)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	for said := ""; !done(l, said); said += log.take() {
		if ctx.Err() != nil {
			t.Errorf("not done in time; log:\n%s", said)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	running.Wait()
	return l
}

func TestLearnerOverSockets(t *testing.T) {
	ended := make(chan error, len(offers))
	var all []backend.Target
	for _, f := range offers {
		b := pop3test.NewBackend(t, family(f.greeting, f.capa, ended))
		all = append(all, backend.Target{Name: f.name, Addresses: []string{refused(t), b.Addr()}})
	}
	l := learnOverSockets(t, all, func(l *backend.Learner, _ string) bool {
		for _, f := range offers {
			if _, ok := l.Of(f.name); !ok {
				return false
			}
		}
		return true
	})
	for _, f := range offers {
		if got, _ := l.Of(f.name); !reflect.DeepEqual(got, f.want) {
			t.Errorf("%s: %+v, want %+v", f.name, got, f.want)
		}
		if err := <-ended; err != nil {
			t.Errorf("a session ended otherwise than by QUIT: %v", err)
		}
	}
	if got := common(l); got != "" { // one of them offers nothing
		t.Errorf("common: %s", got)
	}
}

func TestLearnerFaultsOverSockets(t *testing.T) {
	endless := "+OK\r\n" + strings.Repeat("X", 1<<20)
	for name, c := range map[string]struct {
		address string
		want    string
	}{
		"nobody listens":       {refused(t), "connect: unreachable"},
		"closes at once":       {listen(t, script(fin, "")), "greeting: closed"},
		"greets with -ERR":     {listen(t, script(fin, "-ERR too many\r\n")), "greeting: temporary failure"},
		"is no POP3":           {listen(t, script(hang, "220 mail.example.org ESMTP\r\n")), "greeting: protocol error"},
		"closes at CAPA":       {listen(t, script(fin, "+OK\r\n", "")), "capa: closed"},
		"resets at CAPA":       {listen(t, script(reset, "+OK\r\n", "")), "capa: closed"},
		"closes in the list":   {listen(t, script(fin, "+OK\r\n", "+OK\r\nTOP\r\n")), "capa: closed"},
		"says an endless line": {listen(t, script(hang, "+OK\r\n", endless)), "capa: protocol error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := backend.Target{Name: "guest-01", Addresses: []string{c.address}}
			l := learnOverSockets(t, []backend.Target{target}, func(_ *backend.Learner, said string) bool {
				return strings.Contains(said, c.want)
			})
			if _, ok := l.Of("guest-01"); ok || common(l) != noneKnown {
				t.Errorf("known %v, common %s", ok, common(l))
			}
		})
	}
}

// One that closes behind its answer, as some do after what they don't know, has answered.
func TestLearnerForgivesTheCloseOverSockets(t *testing.T) {
	var all []backend.Target
	for name, answer := range map[string]string{"list": full, "unknown": unknown, "list and more": full + "+OK\r\n"} {
		all = append(all, backend.Target{Name: name, Addresses: []string{listen(t, script(fin, "+OK\r\n", answer))}})
	}
	learnOverSockets(t, all, func(l *backend.Learner, _ string) bool {
		known := 0
		for _, target := range all {
			if _, ok := l.Of(target.Name); ok {
				known++
			}
		}
		return known == len(all)
	})
}
