package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/pop3"
	"postern/pop3/pop3test"
)

// playing plays a backend: the greeting, then an answer to each line; "" closes.
// What it heard goes to heard when the client has gone.
func playing(t *testing.T, heard chan<- []string, greeting string, replies ...string) backend.Target {
	t.Helper()
	b := pop3test.NewBackend(t, func(c *pop3test.Conn) {
		var lines []string
		defer func() { heard <- lines }()
		if c.Send([]byte(greeting)) != nil || len(greeting) < len("+OK\r\n") {
			return
		}
		for _, reply := range replies {
			line, err := c.Line()
			if err != nil {
				return
			}
			lines = append(lines, line)
			if reply == "" || c.SendLine(reply) != nil {
				return
			}
		}
		if err := c.End(); !errors.Is(err, io.EOF) {
			lines = append(lines, fmt.Sprint("then: ", err))
		}
	})
	return backend.Target{Name: "guest-01", Addresses: []string{b.Addr()}}
}

func probeMailbox(string) (backend.ProbeMailbox, bool) {
	return backend.ProbeMailbox{User: "probe@example.com", Password: pop3.NewSecret([]byte("s3cret"))}, true
}

func TestCheckerProbe(t *testing.T) {
	refusals, err := backend.CompileRefusals(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		checker  backend.Checker
		greeting string
		replies  []string
		heard    string
		fault    string // "": none
	}{
		{"greeting", backend.Checker{}, "+OK ready\r\n", []string{"+OK bye"}, "QUIT", ""},
		{"bare greeting", backend.Checker{}, "+OK\r\n", []string{""}, "QUIT", ""},
		{"-ERR greeting", backend.Checker{}, "-ERR too many\r\n", []string{"+OK bye"}, "QUIT", `greeting: temporary failure "too many"`},
		{"no POP3", backend.Checker{}, "220 mail.example.org ESMTP\r\n", []string{"221 bye"}, "QUIT", "greeting: protocol error"},
		{"endless greeting", backend.Checker{}, "+OK " + strings.Repeat("x", 9000), nil, "", "greeting: protocol error"},
		{"closes", backend.Checker{}, "", nil, "", "greeting: closed: EOF"},
		{"closes within the greeting", backend.Checker{}, "+O", nil, "", "greeting: closed"},
		{"CAPA", backend.Checker{Capa: true}, "+OK\r\n", []string{"+OK\r\nUIDL\r\n.", "+OK bye"}, "CAPA QUIT", ""},
		{"closes at CAPA", backend.Checker{Capa: true}, "+OK\r\n", []string{""}, "CAPA", "capa: closed"},
		{"login", backend.Checker{Mailbox: probeMailbox}, "+OK\r\n", []string{"+OK", "+OK in", "+OK bye"}, "USER probe@example.com PASS s3cret QUIT", ""},
		{"login refused", backend.Checker{Mailbox: probeMailbox}, "+OK\r\n", []string{"+OK", "-ERR no", "+OK bye"}, "USER probe@example.com PASS s3cret QUIT", `pass: refused [AUTH] "no"`},
		{"closes at PASS", backend.Checker{Mailbox: probeMailbox}, "+OK\r\n", []string{"+OK", ""}, "USER probe@example.com PASS s3cret", "pass: closed"},
		{"no mailbox here", backend.Checker{Mailbox: func(string) (backend.ProbeMailbox, bool) { return backend.ProbeMailbox{}, false }}, "+OK\r\n", []string{"+OK bye"}, "QUIT", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			heard := make(chan []string, 1)
			target := playing(t, heard, c.greeting, c.replies...)
			c.checker.Connector, c.checker.Refusals = backend.Dialer{}, refusals
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			entered, err := c.checker.Probe(ctx, target)
			wantLogin := strings.Contains(c.heard, "USER")
			if entered != wantLogin {
				t.Errorf("entered %v", entered)
			}
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.HasPrefix(err.Error(), c.fault)) {
				t.Errorf("error %v, want %q", err, c.fault)
			}
			if got := strings.Join(<-heard, " "); len(c.replies) > 0 && got != c.heard {
				t.Errorf("heard %q, want %q", got, c.heard)
			}
		})
	}
}

// A hung backend costs a check its time, whichever way it hangs, and the password
// shows nowhere.
func TestCheckerHangs(t *testing.T) {
	hang := func(greeting string) string {
		return listen(t, func(c *net.TCPConn) {
			_, _ = c.Write([]byte(greeting))
			_, _ = io.Copy(io.Discard, c)
		})
	}
	refusals, _ := backend.CompileRefusals(nil)
	for name, c := range map[string]struct {
		greeting string
		checker  backend.Checker
		step     backend.Step
	}{
		"greeting": {"", backend.Checker{}, backend.Greeting},
		"capa":     {"+OK\r\n", backend.Checker{Capa: true}, backend.Capa},
		"user":     {"+OK\r\n", backend.Checker{Mailbox: probeMailbox}, backend.User},
		"pass":     {"+OK\r\n+OK\r\n", backend.Checker{Mailbox: probeMailbox}, backend.User}, // out of turn
	} {
		t.Run(name, func(t *testing.T) {
			c.checker.Connector, c.checker.Refusals = backend.Dialer{}, refusals
			var log bytes.Buffer
			set := poolSettings()
			set.Timeout, set.Interval, set.DownInterval, set.Fall = 300*time.Millisecond, time.Second, 100*time.Millisecond, 1
			p := backend.NewPool(backend.PoolOptions{Settings: set, Prober: c.checker, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			p.Sync([]backend.Target{{Name: "guest-01", Addresses: []string{hang(c.greeting)}}})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			ended := make(chan struct{})
			go func() { defer close(ended); p.Run(ctx) }()
			for ctx.Err() == nil && p.Snapshot()[0].State != backend.StateHalfOpen {
				time.Sleep(10 * time.Millisecond)
			}
			s := p.Snapshot()[0]
			if !strings.HasPrefix(s.CheckError, c.step.String()+": ") || s.State != backend.StateHalfOpen {
				t.Errorf("%s: %s", s.State, s.CheckError)
			}
			cancel()
			<-ended
			if said := log.String() + fmt.Sprintf("%+v", s); strings.Contains(said, "s3cret") {
				t.Errorf("the password shows:\n%s", said)
			}
		})
	}
}

// BenchmarkPoolEnter is what a login costs here, among as many backends as there may be.
func BenchmarkPoolEnter(b *testing.B) {
	var targets []backend.Target
	for n := range 750 {
		targets = append(targets, named(fmt.Sprint("guest-", n)))
	}
	r := idlePool(b, targets...)
	for _, name := range []string{"guest-7"} {
		b.Run("backends=750", func(b *testing.B) {
			b.ReportAllocs()
			target, v := named(name), visit(1)
			for b.Loop() {
				turn, err := r.Enter(b.Context(), target, v)
				if err != nil {
					b.Fatal(err)
				}
				turn.Stay()
				turn.Done(backend.Outcome{Connect: time.Millisecond})
				turn.Leave()
			}
		})
	}
}
