package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nginxMailModule is where Debian's libnginx-mod-mail puts it.
const nginxMailModule = "/usr/lib/nginx/modules/ngx_mail_module.so"

// Nginx is a mail proxy that asks an HTTP service where each session goes.
type Nginx struct {
	Service           string   // HOST:PORT/PATH
	ServiceKey        string   // sent to it as X-Auth-Key; empty: no such header
	Protocols         []string // imap, pop3, smtp, or one of them with s: TLS from the start
	CertFile, KeyFile string   // for those
}

// StartNginx returns the address of each protocol.
func StartNginx(t testing.TB, n Nginx) (map[string]string, error) {
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	addresses, servers := map[string]string{}, ""
	for _, protocol := range n.Protocols {
		address, err := FreeAddress()
		if err != nil {
			return nil, err
		}
		addresses[protocol] = address
		servers += n.server(protocol, address)
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, []byte(n.config(dir, servers)), 0o600); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "log")
	process, err := StartProcess(exec.Command("/usr/sbin/nginx", "-p", dir, "-e", "stderr", "-c", config), log)
	if err != nil {
		return nil, err
	}
	process.stopWith(t, log)
	for _, address := range addresses {
		if err := process.Answers("tcp", address); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// config is for one process that stays in the foreground, under the test's user.
func (n Nginx) config(dir, servers string) string {
	key := ""
	if n.ServiceKey != "" {
		key = "auth_http_header X-Auth-Key " + n.ServiceKey + ";"
	}
	return fmt.Sprintf(`load_module %s;
daemon off;
master_process off;
pid %s/pid;
error_log stderr info;
events { worker_connections 256; }
mail {
  server_name mail.example.com;
  auth_http http://%s;
  %s
  proxy_pass_error_message on;
  %s
}
`, nginxMailModule, dir, n.Service, key, servers)
}

func (n Nginx) server(protocol, address string) string {
	plain := strings.TrimSuffix(protocol, "s")
	secure := ""
	if plain != protocol {
		secure = fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", n.CertFile, n.KeyFile)
		address += " ssl"
	}
	mechanisms := "plain login"
	if plain == "pop3" {
		mechanisms = "plain" // which means both there
	}
	return fmt.Sprintf("server { listen %s; protocol %s; %s %s_auth %s; }\n", address, plain, secure, plain, mechanisms)
}
