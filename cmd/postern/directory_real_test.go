// The commands that change the directory, with a real Consul.

package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/cmd/postern/realtest"
)

// consulSite is a configuration whose directory is a Consul.
type consulSite struct {
	*realtest.Consul
	dir, config, program string
}

func newConsulSite(t *testing.T) *consulSite {
	t.Helper()
	needReal(t)
	program, err := buildPostern()
	if err != nil {
		t.Fatal(err)
	}
	agent, err := realtest.StartConsul(t, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &consulSite{Consul: agent, dir: t.TempDir(), program: program}
	s.config = s.write(t, "postern.yaml", fmt.Sprintf(`listeners: [{address: "127.0.0.1:1110"}]
directory:
  default_domain: example.com
  sources: [{type: consul, address: %q, prefix: postern/directory}]
backends:
  static:
    - {name: guest-01, address: "127.0.0.11:110"}
    - {name: guest-02, address: "127.0.0.12:110"}
    - {name: guest-03, address: "127.0.0.13:110", weight: 2}
`, agent.Address))
	return s
}

func (s *consulSite) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a command of "postern directory" and wants an exit status.
func (s *consulSite) run(t *testing.T, status int, stdin string, args ...string) (out, faults string) {
	t.Helper()
	args = slices.Concat([]string{"directory", args[0], "--config", s.config}, args[1:])
	command := exec.CommandContext(t.Context(), s.program, args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	got := 0
	if err := command.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		got = exit.ExitCode()
	}
	if got != status {
		t.Errorf("%q exits %d, want %d\n%s%s", args, got, status, stdout.String(), stderr.String())
	}
	return stdout.String(), stderr.String()
}

// expect wants a text in what came out.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: no %q in\n%s", what, want, got)
	}
}

func sortedLines(text string) []string {
	return slices.Sorted(strings.Lines(text))
}

func TestRealDirectoryImportsAndExports(t *testing.T) {
	s := newConsulSite(t)
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "mailbox%04d@example.com guest-0%d\n", i, i%3+1)
	}
	text.WriteString("@example.org guest-03\nodd%20one@example.com guest-01 login=o%25 state=moving\n")
	mailboxes := s.write(t, "mailboxes.map", text.String())

	out, faults := s.run(t, 0, "", "import", "--progress", "--json", mailboxes)
	expect(t, "import", out, `"source":"consul:postern/directory","entries":5002,"shards":`)
	expect(t, "import", out, `"same":0,"removed":0,`)
	expect(t, "progress", faults, " verified")
	exported, _ := s.run(t, 0, "", "export")
	if !slices.Equal(sortedLines(exported), sortedLines(text.String())) {
		t.Errorf("the export has %d octets, what was imported %d", len(exported), text.Len())
	}
	out, faults = s.run(t, 0, "", "import", "--json", mailboxes)
	expect(t, "a second import", out, `"written":0,`)
	if faults != "" {
		t.Errorf("nobody wanted to know: %s", faults)
	}
	s.run(t, 0, "", "diff", "consul:postern/directory", mailboxes)

	out, _ = s.run(t, 0, "", "verify", "--json")
	expect(t, "verify", out, `{"backend":"guest-03","weight":2,"entries":1667}`)
	if _, err := s.CLI("kv", "put", "postern/directory/by-hand", "mailbox0001@example.com guest-01\nnew guest-77\n"); err != nil {
		t.Fatal(err)
	}
	_, faults = s.run(t, 1, "", "verify")
	expect(t, "verify", faults, "mailbox0001@example.com is there twice, in postern/directory/by-hand and in postern/directory/shards-")
	expect(t, "verify", faults, `"guest-77" is not configured`)
}

func TestRealDirectorySetsInConsul(t *testing.T) {
	s := newConsulSite(t)
	out, _ := s.run(t, 0, "", "set", "--json", "Alice", "guest-01")
	expect(t, "the first entry at all", out, `"address":"alice@example.com","source":"consul:postern/directory","before":null,`)
	out, _ = s.run(t, 0, "", "set", "--json", "alice", "guest-02", "--if", "127.0.0.11", "--login", "a")
	expect(t, "a move", out, `"before":{"backend":"guest-01","state":"active"},"now":{"backend":"guest-02","login":"a","state":"active"}`)
	_, faults := s.run(t, 1, "", "set", "alice", "guest-03", "--if", "guest-01")
	expect(t, "--if", faults, "alice@example.com is on guest-02, not on guest-01")
	exported, _ := s.run(t, 0, "", "export")
	if exported != "alice@example.com guest-02 login=a\n" {
		t.Errorf("exported:\n%s", exported)
	}
	out, _ = s.run(t, 0, "", "assign", "alice")
	if out != "guest-02\n" {
		t.Errorf("assign moved somebody: %s", out)
	}
}

// Three processes assign the same thousand mailboxes at once, each in an order of its own.
func TestRealDirectoryAssignsByThreeProcessesAtOnce(t *testing.T) {
	s := newConsulSite(t)
	const mailboxes, processes = 1000, 3
	var addresses []string
	for i := range mailboxes {
		addresses = append(addresses, fmt.Sprintf("mailbox%04d@example.com", i))
	}
	told := make([]map[string]string, processes)
	var assigning sync.WaitGroup
	for i := range told {
		order := slices.Clone(addresses)
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		assigning.Go(func() {
			out, _ := s.run(t, 0, strings.Join(order, "\n"), "assign", "-")
			told[i] = make(map[string]string)
			for line := range strings.Lines(out) {
				address, backend, _ := strings.Cut(strings.TrimSpace(line), " ")
				told[i][address] = backend
			}
		})
	}
	assigning.Wait()
	stored := make(map[string]string)
	fill := make(map[string]int)
	exported, _ := s.run(t, 0, "", "export")
	for line := range strings.Lines(exported) {
		address, backend, _ := strings.Cut(strings.TrimSpace(line), " ")
		stored[address] = backend
		fill[backend]++
	}
	if len(stored) != mailboxes {
		t.Errorf("%d mailboxes are stored, want %d", len(stored), mailboxes)
	}
	for i := range told {
		if !maps.Equal(told[i], stored) {
			t.Errorf("process %d was told of %d mailboxes, not all as they are stored", i, len(told[i]))
		}
	}
	for backend, want := range map[string]int{"guest-01": 250, "guest-02": 250, "guest-03": 500} {
		if got := fill[backend]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%s has %d mailboxes, want about %d", backend, got, want)
		}
	}
	t.Logf("filled %v", fill)
}
