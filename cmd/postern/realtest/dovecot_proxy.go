package realtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// proxyConfig is a Dovecot without mail. What its passdb says, where it leads each session, is the
// test's.
const proxyConfig = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = pop3
listen = %[2]s
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = 1
service pop3-login {
  inet_listener pop3 {
    port = %[3]s
  }
  inet_listener pop3s {
    port = 0
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
%[4]s
`

// StartDovecotProxy starts a Dovecot that leads sessions on, as the file with its users says. passdb is the
// part of the configuration that names that file.
func StartDovecotProxy(t testing.TB, passdb func(users string) string, users string) (string, error) {
	dir, err := shortTemp(t)
	if err != nil {
		return "", err
	}
	address, err := FreeAddress()
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	file, config := filepath.Join(dir, "users"), filepath.Join(dir, "dovecot.conf")
	for name, text := range map[string]string{file: users, config: fmt.Sprintf(proxyConfig, dir, host, port, passdb(file))} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if out, err := exec.Command("/usr/bin/doveconf", "-n", "-c", config).CombinedOutput(); err != nil {
		return "", fmt.Errorf("doveconf refuses the configuration: %w\n%s", err, out)
	}
	process, err := StartProcess(exec.Command("/usr/sbin/dovecot", "-F", "-c", config), filepath.Join(dir, "stderr"))
	if err != nil {
		return "", err
	}
	process.stopWith(t, filepath.Join(dir, "log"))
	return address, process.Answers("tcp", address)
}
