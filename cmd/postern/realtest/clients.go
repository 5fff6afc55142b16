package realtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Client is a mail client that fetches all messages of an account and hands
// them over in their normal form (see Message.Wire), in no certain order.
type Client struct {
	Name    string
	Fetch   func(ctx context.Context, a Account) ([][]byte, error)
	Deletes bool // it deletes what it fetched, as it does for most of its users
}

// Clients are all that there are.
func Clients() []Client {
	return []Client{
		{Name: "curl", Fetch: FetchCurl},
		{Name: "fetchmail", Fetch: FetchFetchmail, Deletes: true},
		{Name: "mpop", Fetch: FetchMpop, Deletes: true},
		{Name: "getmail6", Fetch: FetchGetmail, Deletes: true},
		{Name: "poplib", Fetch: FetchPoplib},
		{Name: "terminal", Fetch: FetchTerminal},
	}
}

// Account is what a person types into a mail client's settings, and a folder
// for the client to work in.
type Account struct {
	Host, Port     string
	User, Password string
	dir            string
	person         owner
}

// NewAccount is an account at address, a host and a port. The client runs as
// the test's user or, where that is root, as nobody: getmail refuses to work
// as root, and people don't either.
func NewAccount(t testing.TB, address, user, password string) (Account, error) {
	a := Account{User: user, Password: password, person: owner{os.Getuid(), os.Getgid()}}
	if a.person.uid == 0 {
		a.person = nobody
	}
	var err error
	if a.Host, a.Port, err = net.SplitHostPort(address); err != nil {
		return a, err
	}
	if a.dir, err = shortTemp(t); err != nil {
		return a, err
	}
	return a, os.Chown(a.dir, a.person.uid, a.person.gid)
}

// path is where the client's file name lies.
func (a Account) path(name string) string { return filepath.Join(a.dir, name) }

// settings writes a file that no one else may read, or clients refuse it.
func (a Account) settings(name, text string) error {
	return writeOwned(a.path(name), a.person, []byte(text))
}

// folders makes folders for the client to deliver to.
func (a Account) folders(names ...string) error {
	for _, name := range names {
		if err := makeOwned(a.path(name), a.person); err != nil {
			return err
		}
	}
	return nil
}

// run runs the client in its folder, with nothing of the test's environment
// but the PATH.
func (a Account) run(ctx context.Context, stdin, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = a.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.dir, "LC_ALL=C"}
	if os.Getuid() == 0 {
		credential := &syscall.Credential{Uid: uint32(a.person.uid), Gid: uint32(a.person.gid)}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	}
	return run(cmd, stdin)
}

// run runs cmd to its end and returns what it wrote to stdout; the error has
// the end of all that it wrote.
func run(cmd *exec.Cmd, stdin string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s\n%s", cmd.Path, err, tail(stdout.Bytes(), 4<<10), tail(stderr.Bytes(), 4<<10))
	}
	return stdout.Bytes(), nil
}

// errLoneCR says that a client which stores LF line ends left a CR in a line.
var errLoneCR = errors.New("a CR in a stored line")

// stored reads the messages that a client has put into a folder, one a file,
// with LF line ends. No message of ours has a CR within a line, so there must
// be none.
func (a Account) stored(folder string) ([][]byte, error) {
	files, err := filepath.Glob(filepath.Join(a.path(folder), "*"))
	if err != nil {
		return nil, err
	}
	messages := make([][]byte, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if bytes.IndexByte(text, '\r') >= 0 {
			return nil, fmt.Errorf("%s: %w", file, errLoneCR)
		}
		messages[i] = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	return messages, nil
}
