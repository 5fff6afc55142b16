package realtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
)

// Process is a program in the background, with what it says kept in a file.
type Process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the program has ended
	err  error         // how; set before done is closed
}

// StartProcess runs cmd with its output in the file log. It does not end the
// program: the caller calls Stop.
func StartProcess(cmd *exec.Cmd, log string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p := &Process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Signal sends a signal to the program.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Pid is the program's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop asks the program to end, and kills it where it doesn't. It returns what
// the program ended with: nil for exit code 0.
func (p *Process) Stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		p.Signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.cmd.Path, stopTimeout)
	}
}

// LogTail is the last size octets of what the program said.
func (p *Process) LogTail(size int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(tail(text, size))
}

// Answers waits until something accepts connections at an address of network,
// tcp or unix.
func (p *Process) Answers(network, address string) error {
	deadline := time.Now().Add(startTimeout)
	for {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w\n%s", p.cmd.Path, err, p.LogTail(8<<10))
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %v\n%s", p.cmd.Path, p.err, p.LogTail(8<<10))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stopWith ends a server when its test ends, and shows its log where the test
// failed.
func (p *Process) stopWith(t testing.TB, log string) {
	t.Cleanup(func() {
		err := p.Stop()
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s: %v\n%s", p.cmd.Path, err, tail(text, 8<<10))
		}
	})
}

func tail(text []byte, size int) []byte { return text[max(0, len(text)-size):] }

// FreeAddress is a loopback address that nothing listens on. Its port lies
// below the range from which the kernel takes ports for outgoing connections:
// hundreds of those are made before the one who asked gets to listen.
func FreeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("no free port among a hundred tried")
}

// shortTemp is a folder that goes with the test. Unlike t.TempDir its path is
// short, since a Unix socket's name holds 107 octets, and others may enter it,
// since servers change their user.
func shortTemp(t testing.TB) (string, error) {
	dir, err := os.MkdirTemp("/tmp", "pt")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing %s: %v", dir, err)
		}
	})
	return dir, os.Chmod(dir, 0o755)
}
