package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

// nobody is a user without powers.
func nobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// publish moves the site to where nobody may read it.
func (s *site) publish() {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "postern-public")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	config, mailboxes := read(s.t, s, "postern.yaml"), read(s.t, s, "mailboxes.map")
	s.dir = dir
	s.write("postern.yaml", config)
	s.write("mailboxes.map", mailboxes)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "postern.yaml"), 0o644), os.Chmod(filepath.Join(dir, "mailboxes.map"), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

// asNobody is this very binary, wherever it lies, in a process of nobody's.
func asNobody(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { binary.Close() })
	cmd := exec.Command("sh", append([]string{"-c", `exec /proc/self/fd/3 "$@"`, "sh"}, args...)...)
	cmd.Env = []string{asPostern + "=1", "HOME=/nonexistent"}
	cmd.ExtraFiles, cmd.SysProcAttr, cmd.Dir = []*os.File{binary}, nobody(), "/"
	return cmd
}

// The kernel gives the files in /proc of a process that can't be dumped to root, and
// lets nobody without root's powers look into it.
func TestMemoryIsOfNobodyElse(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can run postern as somebody else, to see what is not theirs")
	}
	t.Run("serve", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		s.publish()
		p := s.run(asNobody(t, "serve", "--config", filepath.Join(s.dir, "postern.yaml")))
		p.waitFor(t, "msg=serving")
		checkClosed(t, p.cmd.Process.Pid)
	})
	t.Run("demo", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		p := s.run(asNobody(t, "demo", "--address", "127.0.0.1:0", "--tls-address", "127.0.0.1:0"))
		p.waitFor(t, "msg=serving")
		checkClosed(t, p.cmd.Process.Pid)
	})
	t.Run("another process, to see that this test can fail", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command("sleep", "60")
		cmd.SysProcAttr = nobody()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if owner, err := look(t, cmd.Process.Pid); owner != 65534 || err != nil {
			t.Errorf("its files in /proc are of user %d, and its user hears %v", owner, err)
		}
	})
}

func checkClosed(t *testing.T, pid int) {
	t.Helper()
	if owner, err := look(t, pid); owner != 0 || err == nil {
		t.Errorf("its files in /proc are of user %d, and its user hears %v", owner, err)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(text) {
		t.Errorf("core files are allowed:\n%s", text)
	}
}

// look tells whose the memory of a process is, and what nobody hears who opens what
// needs the same right.
func look(t *testing.T, pid int) (owner uint32, err error) {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	reader := exec.Command("cat", fmt.Sprintf("/proc/%d/maps", pid))
	reader.SysProcAttr = nobody()
	return info.Sys().(*syscall.Stat_t).Uid, reader.Run()
}
