package realtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postfix is a private mail server that takes mail by SMTP on a loopback port, and hands it on.
type Postfix struct {
	Address  string // of SMTP, HOST:PORT
	Log      string // the file with all that its programs say
	settings string // the folder of main.cf
}

// postfixMain keeps all that Postfix writes in one folder, sends mail to loopback only, and tries
// deferred mail again soon, since a test is waiting for it. The caller's settings follow.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = /tmp
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_bind_address = 127.0.0.1
myhostname = mx.example.net
mydomain = example.net
mydestination =
mynetworks = 127.0.0.0/8
local_transport = error:no local mail
local_recipient_maps =
alias_maps =
alias_database =
smtpd_recipient_restrictions = reject_unauth_destination
disable_dns_lookups = yes
smtp_host_lookup = native
biff = no
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 2s
%[2]s
`

// postfixMaster is Debian's, without what no test needs, nothing in a chroot, and one listener.
const postfixMaster = `%s inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
`

// StartPostfix starts one with further settings of main.cf, one a line. It has to be root, and there
// has to be a user postfix.
func StartPostfix(t testing.TB, settings ...string) (*Postfix, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	p := &Postfix{Address: address, Log: filepath.Join(dir, "log"), settings: filepath.Join(dir, "etc")}
	main := fmt.Sprintf(postfixMain, dir, strings.Join(settings, "\n"))
	if err := postfixFolders(dir); err != nil {
		return nil, fmt.Errorf("setting up postfix: %w", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(p.settings, "main.cf"), []byte(main), 0o644),
		os.WriteFile(filepath.Join(p.settings, "master.cf"), fmt.Appendf(nil, postfixMaster, address), 0o644))
	if err != nil {
		return nil, err
	}
	master := exec.Command("/usr/lib/postfix/sbin/master", "-c", p.settings, "-d")
	master.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it ends its programs by their process group
	process, err := StartProcess(master, filepath.Join(dir, "stderr"))
	if err != nil {
		return nil, err
	}
	process.stopWith(t, p.Log)
	return p, process.Answers("tcp", address)
}

// postfixFolders makes the folders that Debian's package makes below /var, with their owners.
func postfixFolders(dir string) error {
	mail, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	drop, err := user.LookupGroup("postdrop")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(mail.Uid)
	gid, _ := strconv.Atoi(drop.Gid)
	type folder struct {
		name  string
		mode  os.FileMode
		owner owner
	}
	folders := []folder{
		{"etc", 0o755, owner{}}, {"queue", 0o755, owner{}}, {"queue/pid", 0o755, owner{}},
		{"data", 0o700, owner{uid, 0}}, {"queue/maildrop", 0o730, owner{uid, gid}}, {"queue/public", 0o710, owner{uid, gid}},
	}
	for name := range strings.FieldsSeq("active bounce corrupt defer deferred flush hold incoming private saved trace") {
		folders = append(folders, folder{"queue/" + name, 0o700, owner{uid, 0}})
	}
	for _, f := range folders {
		path := filepath.Join(dir, f.name)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, f.mode), os.Chown(path, f.owner.uid, f.owner.gid)); err != nil {
			return err
		}
	}
	return nil
}

// Lookup asks a map for a key, as `postmap -q` does and its programs would: empty is not found, an error is what
// Postfix says of a map that can't answer.
//
// postmap ends with 1 for both, and says why to a terminal or to the log. So it gets a terminal, and
// settings without the log of the running Postfix.
func (p *Postfix) Lookup(table, key string) (string, error) {
	dir := filepath.Join(filepath.Dir(p.settings), "postmap")
	err := errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "main.cf"), []byte("compatibility_level = 3.6\n"), 0o644))
	if err != nil {
		return "", err
	}
	quoted := "'" + strings.Join([]string{"postmap", "-c", dir, "-q", key, table}, "' '") + "'"
	out, err := exec.Command("script", "-qec", quoted, "/dev/null").Output()
	said := strings.TrimSpace(string(out))
	if left, ended := errors.AsType[*exec.ExitError](err); ended && left.ExitCode() == 1 && said == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", quoted, err, said)
	}
	return said, nil
}
