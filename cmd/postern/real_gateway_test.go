// What the tests with real servers share: the servers, and the gateway as a
// process of its own in front of them.

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postern/cmd/postern/realtest"
)

// needReal skips a test where the mail servers and clients were not asked for.
// Where they were, each that is missing fails the test.
func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs real mail servers and clients: `make test` installs them and sets POSTERN_REAL=1")
	}
	if os.Getuid() != 0 {
		t.Fatal("the mail servers change to the user whose mailbox they open, so this test must be run as root")
	}
}

// runningServer is a server with its mailboxes.
type runningServer struct {
	realtest.Server
	address   string
	mailboxes []realtest.Mailbox
}

// startServers starts every server there is, all at once, with the mailboxes
// that the test wants on it.
func startServers(t *testing.T, mailboxes func(realtest.Server) []realtest.Mailbox) []runningServer {
	t.Helper()
	return startSome(t, realtest.Servers(), mailboxes)
}

func startSome(t *testing.T, kinds []realtest.Server, mailboxes func(realtest.Server) []realtest.Mailbox) []runningServer {
	t.Helper()
	var wg sync.WaitGroup
	servers := make([]runningServer, len(kinds))
	for i, server := range kinds {
		wg.Go(func() {
			s := runningServer{Server: server, mailboxes: mailboxes(server)}
			var err error
			if s.address, err = server.Start(t, s.mailboxes); err != nil {
				t.Errorf("starting %s: %v", server.Name, err)
			}
			servers[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return servers
}

// addressAt is a mailbox name in the server's domain.
func addressAt(s realtest.Server, name string) string {
	return name + "@" + s.Name + ".example.com"
}

// newMailbox is a mailbox with a password of its own.
func newMailbox(s realtest.Server, address string, messages []realtest.Message) realtest.Mailbox {
	login := address
	if !s.FullNames {
		login, _, _ = strings.Cut(address, "@")
	}
	return realtest.Mailbox{Address: address, Login: login, Password: "pw-" + address, Messages: messages}
}

// startGateway starts postern with a map file of the servers' mailboxes.
// settings are further top-level keys of the configuration.
func startGateway(t *testing.T, servers []runningServer, settings ...string) string {
	t.Helper()
	settings = append(settings, "auth: {failure_delay: 100ms}")
	return startPostern(t, strings.Join(settings, "\n")+"\n"+routes(t, servers))
}

// routes is the part of a configuration that leads to the servers' mailboxes.
func routes(t *testing.T, servers []runningServer) string {
	t.Helper()
	mailboxes := filepath.Join(t.TempDir(), "mailboxes.map")
	var rows strings.Builder
	config := fmt.Sprintf("timeouts: {drain: 5s}\n"+
		"directory:\n  default_domain: example.com\n  state: ''\n  sources: [{type: file, path: %s}]\n"+
		"backends:\n  static:\n", mailboxes)
	for _, s := range servers {
		config += fmt.Sprintf("    - {name: %s, address: %q}\n", s.Name, s.address)
		for _, m := range s.mailboxes {
			fmt.Fprintf(&rows, "%s %s login=%s\n", m.Address, s.Name, m.Login)
		}
	}
	if err := os.WriteFile(mailboxes, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return config
}

// startPostern runs `postern serve` with a listener in front of config, and
// returns its address. When the test ends it ends with SIGTERM and exit code 0.
func startPostern(t *testing.T, config string) (address string) {
	t.Helper()
	address = freeAddress(t)
	process := servePostern(t, fmt.Sprintf("listeners: [{address: %q, name: pop}]\n%s", address, config))
	if err := process.Answers("tcp", address); err != nil {
		t.Fatal(err)
	}
	return address
}

// servePostern is startPostern for a configuration with listeners of its own. It
// does not wait for them.
func servePostern(t *testing.T, config string) *realtest.Process {
	t.Helper()
	binary, err := buildPostern()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, log := filepath.Join(dir, "postern.yaml"), filepath.Join(dir, "postern.log")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := realtest.StartProcess(exec.Command(binary, "serve", "--config", file), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Errorf("postern did not end well: %v", err)
		}
		if t.Failed() {
			t.Logf("configuration:\n%s\nlog:\n%s", config, process.LogTail(64<<10))
		}
	})
	return process
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := realtest.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// buildPostern builds the program once, below bin/, where make puts it too. The
// race detector watches the unit tests; here the program is the one that users
// get.
var buildPostern = sync.OnceValues(func() (string, error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(module)))
	binary := filepath.Join(root, "bin", "postern-real-test")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/postern")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building postern: %w\n%s", err, out)
	}
	return binary, nil
})

func newAccount(t *testing.T, address, user, password string) realtest.Account {
	t.Helper()
	account, err := realtest.NewAccount(t, address, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func dial(t *testing.T, address string) *realtest.Terminal {
	t.Helper()
	terminal, err := realtest.DialTerminal(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal
}

func quit(t *testing.T, terminal *realtest.Terminal) {
	t.Helper()
	if err := terminal.Quit(); err != nil {
		t.Error(err)
	}
}
