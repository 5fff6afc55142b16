package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// VictimOptions are what a [Victim] is made of.
type VictimOptions struct {
	Mailboxes   []Mailbox
	LockSession bool     // a mailbox takes one session at a time
	More        string   // further settings of Dovecot; what comes later wins
	Namespace   *Network // where it runs; nil: on loopback
	Descriptors int      // that each of its processes may have; 0: as many as ours
}

// Victim is a Dovecot that things happen to: it is frozen, killed and started again, at
// the same address and with the same mail.
type Victim struct {
	Address string

	options VictimOptions
	dir     string
	process *Process // nil: it was killed
}

// StartVictim starts one, which ends with the test.
func StartVictim(t testing.TB, o VictimOptions) (*Victim, error) {
	address, err := o.address()
	if err != nil {
		return nil, err
	}
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	v := &Victim{Address: address, options: o, dir: dir}
	s := dovecotSettings{Dir: dir, Location: dovecotMaildir, LockSession: "no"}
	if o.LockSession {
		s.LockSession = "yes"
	}
	s.Host, s.Port, _ = net.SplitHostPort(address)
	if err := s.write(v.path("dovecot.conf"), o.Mailboxes); err != nil {
		return nil, fmt.Errorf("setting up dovecot: %w", err)
	}
	if err := v.configure(o.More); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = v.Kill() // in good order takes a second
		if t.Failed() {
			t.Logf("dovecot at %s:\n%s", v.Address, v.Log())
		}
	})
	return v, v.Start()
}

func (o VictimOptions) address() (string, error) {
	if o.Namespace != nil {
		return net.JoinHostPort(o.Namespace.Inside, "110"), nil
	}
	return FreeAddress()
}

// Namespace is where it runs, or nil.
func (v *Victim) Namespace() *Network { return v.options.Namespace }

func (v *Victim) path(name string) string { return filepath.Join(v.dir, name) }

func (v *Victim) configure(more string) error {
	f, err := os.OpenFile(v.path("dovecot.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(more)
	return err
}

// Start starts it, and returns when it listens.
func (v *Victim) Start() error {
	args := []string{"/usr/sbin/dovecot", "-F", "-c", v.path("dovecot.conf")}
	if n := v.options.Namespace; n != nil {
		args = append([]string{"ip", "netns", "exec", n.name}, args...)
	}
	if n := v.options.Descriptors; n > 0 {
		args = append([]string{"sh", "-c", fmt.Sprintf("ulimit -n %d; exec \"$@\"", n), "sh"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	// A group of its own, so that one signal reaches all its processes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if v.process, err = StartProcess(cmd, v.path("stderr")); err != nil {
		return err
	}
	return v.process.Answers("tcp", v.Address)
}

// Stop ends it in good order.
func (v *Victim) Stop() error {
	if v.process == nil {
		return nil
	}
	err := v.process.Stop()
	_ = v.signal(syscall.SIGKILL) // whoever is left of its processes
	v.process = nil
	return err
}

// Kill ends all its processes at once.
func (v *Victim) Kill() error {
	if err := v.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-v.process.done
	v.process = nil
	return nil
}

// Freeze stops all its processes where they are: the kernel still takes connections.
func (v *Victim) Freeze() error { return v.signal(syscall.SIGSTOP) }

// Thaw lets them go on.
func (v *Victim) Thaw() error { return v.signal(syscall.SIGCONT) }

// Crowd connects as strangers who say nothing, until it takes no more. Their
// connections are the caller's to close.
func (v *Victim) Crowd() ([]net.Conn, error) {
	var strangers []net.Conn
	for range maxStrangers {
		conn, err := net.Dial("tcp", v.Address)
		if err != nil {
			return strangers, err
		}
		strangers = append(strangers, conn)
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return strangers, nil
		}
	}
	return strangers, fmt.Errorf("%s takes more than %d strangers", v.Address, maxStrangers)
}

const (
	maxStrangers = 500
	silence      = 2 * time.Second // of a server that takes no more
)

func (v *Victim) signal(s syscall.Signal) error {
	if v.process == nil {
		return nil
	}
	return syscall.Kill(-v.process.Pid(), s)
}

// Log is the end of what it has logged.
func (v *Victim) Log() string {
	text, err := os.ReadFile(v.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(tail(text, 8<<10))
}
