package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"postern/admin"
)

func TestExplainCommand(t *testing.T) {
	t.Parallel()
	one, two := startAdmin(t, "gw1", fakeSession("a-1", "alice@example.com", "guest-01")), startAdmin(t, "gw2")
	r := postern(t, "explain", "Alice@example.com", "--admin", one.socket, "--admin", two.socket)
	r.check(t, 0, two.socket, "")
	for _, want := range []string{
		"typed     Alice@example.com", "mailbox   alice@example.com", "backend   guest-01 127.0.0.11:110", "login     alice-2",
		"admitted  no", "because   sessions_per_mailbox is reached", "file:mailboxes.map  wins    guest-01  active",
		"file:old.map        loses   guest-09", "old.map:3: ?[31mbroken", "1m30s", "a-1      guest-01  192.0.2.1:1001", "(1h0m ago)", "refused",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	for _, address := range []string{"..", "a/b@example.com", "100%@example.com", "\x1b[2J@example.com"} {
		all := jsonLines(t, postern(t, "explain", "--json", "--admin", one.socket, "--", address).out)
		if len(all) != 1 || all[0]["typed"] != address || all[0]["gateway"] != "gw1" {
			t.Errorf("%q: %v", address, all)
		}
	}
	postern(t, "explain", "alice", "--admin", one.socket, "--admin", deadSocket(t)).check(t, 3, "guest-01", "connection refused")
}

// With --config nobody is asked: what the configuration says is all there is.
func TestExplainFromConfig(t *testing.T) {
	t.Parallel()
	cmd := explainCommand(func(_ context.Context, path, address string) (admin.Explanation, error) {
		if path == "broken.yaml" {
			return admin.Explanation{}, usageError{errors.New("broken.yaml:1:1: colour")}
		}
		return admin.Explanation{Typed: address, Fault: "no such mailbox", Sources: []admin.SourceAnswer{{Source: admin.Source{Name: "file:a.map"}}}}, nil
	})
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs([]string{"--config", "postern.yaml", "nobody"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ASKED     postern.yaml", "typed     nobody", "mailbox   -", "fault     no such mailbox", "admitted  no", "file:a.map  unknown", "never loaded"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	cmd.SetArgs([]string{"--config", "broken.yaml", "nobody"})
	if err := cmd.ExecuteContext(t.Context()); !errors.As(err, new(usageError)) {
		t.Errorf("%v", err)
	}
}
