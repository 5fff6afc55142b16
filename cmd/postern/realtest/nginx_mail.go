package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartNginxMail starts an nginx with the mail section of an operator's own configuration, in which
// one server listens at address.
func StartNginxMail(t testing.TB, section, address string) error {
	dir, err := shortTemp(t)
	if err != nil {
		return err
	}
	config, log := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "log")
	text := fmt.Sprintf("load_module %s;\ndaemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr info;\n"+
		"events { worker_connections 256; }\n%s", nginxMailModule, dir, section)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	process, err := StartProcess(exec.Command("/usr/sbin/nginx", "-p", dir, "-e", "stderr", "-c", config), log)
	if err != nil {
		return err
	}
	process.stopWith(t, log)
	return process.Answers("tcp", address)
}
