package realtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
)

// guestConfig is a whole mail guest: LMTP delivers into Maildirs that POP3 and IMAP open.
var guestConfig = template.Must(template.New("dovecot.conf").Parse(`
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/log
protocols = pop3 imap lmtp
listen = {{.Host}}
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {{.Dir}}/users
}
userdb {
  driver = passwd-file
  args = username_format=%u {{.Dir}}/users
  override_fields = uid=65534 gid=65534 home={{.Dir}}/home/%u
}
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 0
service pop3-login {
  inet_listener pop3 {
    port = {{.POP3}}
  }
  inet_listener pop3s {
    port = 0
  }
}
service imap-login {
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    port = {{.LMTP}}
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`))

// Guest is a Dovecot that takes mail by LMTP and shows it by POP3 and IMAP. Its users are the
// mailboxes' logins, in whole: LMTP refuses recipients that are none of them.
type Guest struct {
	POP3, IMAP, LMTP string // HOST:PORT
	dir              string
}

// StartDovecotLMTP starts a guest with mailboxes, which may have messages already.
func StartDovecotLMTP(t testing.TB, mailboxes []Mailbox) (*Guest, error) {
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	g := &Guest{dir: dir}
	for _, address := range []*string{&g.POP3, &g.IMAP, &g.LMTP} {
		if *address, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "dovecot.conf")
	if err := g.write(config, mailboxes); err != nil {
		return nil, fmt.Errorf("setting up dovecot: %w", err)
	}
	process, err := StartProcess(exec.Command("/usr/sbin/dovecot", "-F", "-c", config), filepath.Join(dir, "stderr"))
	if err != nil {
		return nil, err
	}
	process.stopWith(t, filepath.Join(dir, "log"))
	for _, address := range []string{g.POP3, g.IMAP, g.LMTP} {
		if err := process.Answers("tcp", address); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// StartGuests starts as many guests as there are lists of mailboxes, all at once.
func StartGuests(t testing.TB, mailboxes ...[]Mailbox) ([]*Guest, error) {
	guests, errs := make([]*Guest, len(mailboxes)), make([]error, len(mailboxes))
	var starting sync.WaitGroup
	for i := range mailboxes {
		starting.Go(func() { guests[i], errs[i] = StartDovecotLMTP(t, mailboxes[i]) })
	}
	starting.Wait()
	return guests, errors.Join(errs...)
}

func (g *Guest) write(config string, mailboxes []Mailbox) error {
	users := ""
	for _, m := range mailboxes {
		users += fmt.Sprintf("%s:%s::::::\n", m.Login, m.Password)
		if err := (dovecotSettings{Dir: g.dir, Location: dovecotMaildir}).deliver(m); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(g.dir, "users"), []byte(users), 0o644); err != nil {
		return err
	}
	settings := map[string]string{"Dir": g.dir}
	for name, address := range map[string]string{"POP3": g.POP3, "IMAP": g.IMAP, "LMTP": g.LMTP} {
		settings["Host"], settings[name], _ = net.SplitHostPort(address)
	}
	var text strings.Builder
	if err := guestConfig.Execute(&text, settings); err != nil {
		return err
	}
	return os.WriteFile(config, []byte(text.String()), 0o644)
}
