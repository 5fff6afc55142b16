package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// Server is a kind of POP3 server.
type Server struct {
	Name  string
	Start func(t testing.TB, mailboxes []Mailbox) (address string, err error)

	// FullNames: its users are whole addresses; otherwise the part before the @.
	FullNames bool
	// OneSession: a second session of a mailbox is refused while one runs.
	OneSession bool
}

// Servers are all that there are: two Dovecots and four families of old.
func Servers() []Server {
	return []Server{
		{Name: "dovecot-1", Start: StartDovecot, FullNames: true},
		{Name: "dovecot-2", Start: StartDovecotMbox, FullNames: true, OneSession: true},
		{Name: "courier", Start: StartCourier},
		{Name: "mailutils", Start: StartMailutils, OneSession: true},
		{Name: "popa3d", Start: StartPopa3d},
		{Name: "solid-pop3d", Start: StartSolid},
	}
}

// StartPopa3d starts popa3d: mbox files, no CAPA, a greeting of a bare +OK; it
// closes the connection after a wrong password.
func StartPopa3d(t testing.TB, mailboxes []Mailbox) (string, error) {
	r, err := spoolRoot(t, "popa3d", "popa3d", emptyLine, mailboxes)
	if err != nil {
		return "", err
	}
	return startInetd(t, func(*net.TCPAddr) *exec.Cmd { return r.command("/usr/sbin/popa3d") })
}

// StartSolid starts solid-pop3d: mbox files, an APOP timestamp in the greeting.
// It sends the empty line behind a message as part of the message, so here the
// mbox has none.
func StartSolid(t testing.TB, mailboxes []Mailbox) (string, error) {
	r, err := spoolRoot(t, "solid-pop3d", "spop3d", "", mailboxes)
	if err != nil {
		return "", err
	}
	return startInetd(t, func(*net.TCPAddr) *exec.Cmd { return r.command("/usr/sbin/solid-pop3d") })
}

// StartMailutils starts GNU mailutils' pop3d: Maildirs that are locked for the
// length of a session, an APOP timestamp in the greeting. An mbox would gain
// header lines at each session's end.
func StartMailutils(t testing.TB, mailboxes []Mailbox) (string, error) {
	r, err := newRoot(t, "mailutils")
	if err != nil {
		return "", err
	}
	if err := r.mailutilsFiles(mailboxes); err != nil {
		return "", fmt.Errorf("setting up mailutils: %w", err)
	}
	return startInetd(t, func(*net.TCPAddr) *exec.Cmd { return r.command("/usr/sbin/pop3d", "--inetd") })
}

func (r root) mailutilsFiles(mailboxes []Mailbox) error {
	settings := `pam { service mailutils; };
mailbox { mailbox-pattern "maildir:///home/${user}/Maildir"; mailbox-type maildir; };
locking { type dotlock; retry-count 1; retry-sleep 1; };
logging { syslog no; };
`
	if err := r.write("etc/mailutils.conf", settings, 0o644); err != nil {
		return err
	}
	if err := makeOpen(r.path("var/lock/subsys/mail")); err != nil {
		return err
	}
	if err := r.addUsers("mailutils", "pop3d", mailboxes); err != nil {
		return err
	}
	return r.homes(mailboxes)
}

// StartCourier starts Courier: Maildirs, a daemon that checks passwords, and
// two programs for each connection, one before and one after the login.
func StartCourier(t testing.TB, mailboxes []Mailbox) (string, error) {
	r, err := newRoot(t, "courier")
	if err != nil {
		return "", err
	}
	if err := r.courierFiles(mailboxes); err != nil {
		return "", fmt.Errorf("setting up courier: %w", err)
	}
	daemon := r.command("/usr/lib/courier/courier-authlib/authdaemond")
	log := r.path("authdaemond.log")
	process, err := StartProcess(daemon, log)
	if err != nil {
		return "", err
	}
	process.stopWith(t, log)
	if err := process.Answers("unix", r.path(courierRun+"/socket")); err != nil {
		return "", err
	}
	return startInetd(t, r.courierLogin)
}

// courierRun is where Courier's programs meet.
const courierRun = "run/courier/authdaemon"

// courierLogin takes the addresses from where couriertcpd would put them.
func (r root) courierLogin(client *net.TCPAddr) *exec.Cmd {
	const dir = "/usr/lib/courier/courier/"
	cmd := r.command(dir+"courierpop3login", dir+"courierpop3d", "Maildir")
	cmd.Env = append(cmd.Env, "TCPREMOTEIP="+client.IP.String(), fmt.Sprint("TCPREMOTEPORT=", client.Port),
		"TCPLOCALIP=127.0.0.1", "TCPLOCALPORT=110")
	return cmd
}

func (r root) courierFiles(mailboxes []Mailbox) error {
	settings := "authmodulelist=\"authpam\"\ndaemons=5\nauthdaemonvar=/" + courierRun + "\n"
	if err := r.write("etc/courier/authdaemonrc", settings, 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(r.path(courierRun), 0o755); err != nil {
		return err
	}
	// The daemon opens it at its start; a file that is always empty will do.
	if err := r.write("dev/null", "", 0o666); err != nil {
		return err
	}
	if err := r.addUsers("pop3", "courier", mailboxes); err != nil {
		return err
	}
	return r.homes(mailboxes)
}
