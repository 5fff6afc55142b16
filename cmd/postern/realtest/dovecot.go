package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

// nobody owns Dovecot's mail: a user that every Debian has, and that nobody
// logs in as.
var nobody = owner{65534, 65534}

// Maildir and mbox, as Dovecot writes them.
const (
	dovecotMaildir = "maildir:~/Maildir"
	dovecotMbox    = "mbox:~/folders:INBOX=~/inbox"
)

// dovecotConfig allows more sessions at once than any test opens, and answers
// a wrong password without Dovecot's own delays: the gateway's are tested.
var dovecotConfig = template.Must(template.New("dovecot.conf").Parse(`
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/log
protocols = pop3
listen = {{.Host}}
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = scheme=PLAIN {{.Dir}}/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home={{.Dir}}/home/%u
}
first_valid_uid = 1
mail_location = {{.Location}}
mail_max_userip_connections = 0
pop3_lock_session = {{.LockSession}}
service pop3-login {
  inet_listener pop3 {
    port = {{.Port}}
  }
  inet_listener pop3s {
    port = 0
  }
  service_count = 0
  process_min_avail = 2
}
service pop3 {
  process_limit = 1024
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`))

type dovecotSettings struct {
	Dir, Host, Port, Location, LockSession string
}

// StartDovecot starts a Dovecot that keeps mail in Maildirs.
func StartDovecot(t testing.TB, mailboxes []Mailbox) (string, error) {
	return startDovecot(t, mailboxes, dovecotSettings{Location: dovecotMaildir, LockSession: "no"})
}

// StartDovecotMbox starts a Dovecot that keeps mail in mbox files and locks a
// mailbox for the length of a session, as RFC 1939 (section 4) asks for. It
// answers a second session after ten seconds of waiting for the first.
func StartDovecotMbox(t testing.TB, mailboxes []Mailbox) (string, error) {
	return startDovecot(t, mailboxes, dovecotSettings{Location: dovecotMbox, LockSession: "yes"})
}

func startDovecot(t testing.TB, mailboxes []Mailbox, s dovecotSettings) (string, error) {
	address, err := FreeAddress()
	if err != nil {
		return "", err
	}
	if s.Dir, err = shortTemp(t); err != nil {
		return "", err
	}
	s.Host, s.Port, _ = net.SplitHostPort(address)
	config := filepath.Join(s.Dir, "dovecot.conf")
	if err := s.write(config, mailboxes); err != nil {
		return "", fmt.Errorf("setting up dovecot: %w", err)
	}
	process, err := StartProcess(exec.Command("/usr/sbin/dovecot", "-F", "-c", config), filepath.Join(s.Dir, "stderr"))
	if err != nil {
		return "", err
	}
	process.stopWith(t, filepath.Join(s.Dir, "log"))
	return address, process.Answers("tcp", address)
}

func (s dovecotSettings) write(config string, mailboxes []Mailbox) error {
	var users, settings strings.Builder
	for _, m := range mailboxes {
		fmt.Fprintf(&users, "%s:%s\n", m.Login, m.Password)
		if err := s.deliver(m); err != nil {
			return err
		}
	}
	if err := dovecotConfig.Execute(&settings, s); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "users"), []byte(users.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(config, []byte(settings.String()), 0o644)
}

func (s dovecotSettings) deliver(m Mailbox) error {
	home := filepath.Join(s.Dir, "home", m.Login)
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	if err := makeOwned(home, nobody); err != nil {
		return err
	}
	if s.Location == dovecotMbox {
		return writeMbox(filepath.Join(home, "inbox"), nobody, emptyLine, m.Messages)
	}
	return writeMaildir(filepath.Join(home, "Maildir"), nobody, m.Messages)
}
