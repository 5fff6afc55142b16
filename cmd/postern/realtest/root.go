package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mailGroup is Debian's group mail.
const mailGroup = 8

// root is a folder with one server's files and the libraries they need. The
// server sees it as its whole file system, so its users and passwords are its
// own, and the machine's stay as they are.
type root struct{ dir string }

// newRoot copies the files that .ci/deps has unpacked for a server.
func newRoot(t testing.TB, server string) (root, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return root{}, err
	}
	unpacked := filepath.Join(cache, "postern-test", "roots", server)
	if _, err := os.Stat(unpacked); err != nil {
		return root{}, fmt.Errorf("%s is not unpacked, run .ci/deps: %w", server, err)
	}
	dir, err := shortTemp(t)
	if err != nil {
		return root{}, err
	}
	return root{dir}, os.CopyFS(dir, os.DirFS(unpacked))
}

// spoolRoot is the root of a server whose PAM service has its own name, and
// which keeps mail in mbox files below /var/mail.
func spoolRoot(t testing.TB, server, daemon, separator string, mailboxes []Mailbox) (root, error) {
	r, err := newRoot(t, server)
	if err != nil {
		return root{}, err
	}
	if err := r.addUsers(server, daemon, mailboxes); err != nil {
		return root{}, fmt.Errorf("adding users to %s: %w", server, err)
	}
	if err := r.spool(separator, mailboxes); err != nil {
		return root{}, fmt.Errorf("delivering to %s: %w", server, err)
	}
	return r, nil
}

// path is where the server's file name lies for us.
func (r root) path(name string) string { return filepath.Join(r.dir, name) }

// command runs a program of the root in the root.
func (r root) command(name string, args ...string) *exec.Cmd {
	return &exec.Cmd{
		Path:        name,
		Args:        append([]string{path.Base(name)}, args...),
		Env:         []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Dir:         "/",
		SysProcAttr: &syscall.SysProcAttr{Chroot: r.dir},
	}
}

// write writes one of the root's files, and the folders above it.
func (r root) write(name, content string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(r.path(name), []byte(content), mode)
}

// addUsers makes each mailbox a system user of the root, with a home, and lets
// the PAM service check its password. daemon is the user that the server itself
// runs as.
func (r root) addUsers(service, daemon string, mailboxes []Mailbox) error {
	hashes, err := hashPasswords(mailboxes)
	if err != nil {
		return err
	}
	passwd := "root:x:0:0::/:/bin/sh\n" + daemon + ":x:901:901::/:/bin/false\n"
	shadow := "root:*:19000::::::\n" + daemon + ":*:19000::::::\n"
	for i, m := range mailboxes {
		passwd += fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/sh\n", m.Login, userOf(i).uid, mailGroup, m.Login)
		shadow += fmt.Sprintf("%s:%s:19000::::::\n", m.Login, hashes[i])
	}
	for _, file := range []struct {
		name, content string
		mode          os.FileMode
	}{
		{"etc/passwd", passwd, 0o644},
		{"etc/shadow", shadow, 0o600},
		{"etc/group", fmt.Sprintf("root:x:0:\nmail:x:%d:\n%s:x:901:\n", mailGroup, daemon), 0o644},
		// nodelay: how long a refusal takes is for the gateway to say.
		{"etc/pam.d/" + service, "auth required pam_unix.so nodelay\naccount required pam_unix.so\n", 0o644},
	} {
		if err := r.write(file.name, file.content, file.mode); err != nil {
			return err
		}
	}
	return nil
}

// userOf is the system user of the root's mailbox number i.
func userOf(i int) owner { return owner{2000 + i, mailGroup} }

// spool delivers each mailbox's messages into an mbox file below /var/mail.
func (r root) spool(separator string, mailboxes []Mailbox) error {
	spool := r.path("var/mail")
	if err := makeOpen(spool); err != nil {
		return err
	}
	for i, m := range mailboxes {
		if err := writeMbox(filepath.Join(spool, m.Login), userOf(i), separator, m.Messages); err != nil {
			return err
		}
	}
	return nil
}

// homes delivers each mailbox's messages into a Maildir in the user's home, as
// text: Courier sends a CR before each LF of a file, even where there is one.
func (r root) homes(mailboxes []Mailbox) error {
	if err := os.MkdirAll(r.path("home"), 0o755); err != nil {
		return err
	}
	for i, m := range mailboxes {
		home := r.path(filepath.Join("home", m.Login))
		if err := makeOwned(home, userOf(i)); err != nil {
			return err
		}
		if err := writeMaildir(filepath.Join(home, "Maildir"), userOf(i), asText(m.Messages)); err != nil {
			return err
		}
	}
	return nil
}

// makeOpen makes a folder in which any user may create lock files.
func makeOpen(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o777|os.ModeSticky)
}

// hashPasswords asks openssl, since Go's standard library lacks crypt(3).
func hashPasswords(mailboxes []Mailbox) ([]string, error) {
	var passwords strings.Builder
	for _, m := range mailboxes {
		passwords.WriteString(m.Password + "\n")
	}
	out, err := run(exec.Command("openssl", "passwd", "-5", "-stdin"), passwords.String())
	if err != nil {
		return nil, err
	}
	hashes := strings.Fields(string(out))
	if len(hashes) != len(mailboxes) {
		return nil, fmt.Errorf("openssl made %d hashes of %d passwords", len(hashes), len(mailboxes))
	}
	return hashes, nil
}
