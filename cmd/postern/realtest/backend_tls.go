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

// trustingConfig is what a Dovecot gets besides, that believes a gateway on
// loopback (XCLIENT, and the PROXY header on ports of their own) and speaks TLS. Its
// log says who it takes a client for. There is one login process, since each has ticket
// keys of its own, and what one gave the next can't resume.
var trustingConfig = template.Must(template.New("trusting.conf").Parse(`
ssl = yes
ssl_cert = <{{.Cert}}
ssl_key = <{{.Key}}
ssl_min_protocol = TLSv1.2
login_trusted_networks = {{.Trusted}}
haproxy_trusted_networks = 127.0.0.0/8
login_log_format_elements = user=<%u> method=%m rip=%r rport=%b lip=%l lport=%a sec=%c name=%{local_name} session=<%{session}>
service pop3-login {
  process_min_avail = 1
  process_limit = 1
  inet_listener pop3s {
    port = {{.Implicit}}
    ssl = yes
  }
  inet_listener pop3_haproxy {
    port = {{.Announced}}
    haproxy = yes
  }
  inet_listener pop3s_haproxy {
    port = {{.AnnouncedImplicit}}
    haproxy = yes
    ssl = yes
  }
}
`))

// Trusting is a running Dovecot with TLS that believes what a gateway says of its
// clients. Each of its addresses is a way in.
type Trusting struct {
	Plain             string // STLS and XCLIENT are offered
	Implicit          string
	Announced         string // a PROXY header comes first
	AnnouncedImplicit string // a PROXY header, then TLS
	log               string
}

// StartTrusting starts one with a certificate and its key, PEM files. A Dovecot that
// is not trusting believes no XCLIENT.
func StartTrusting(t testing.TB, mailboxes []Mailbox, cert, key string, trusting bool) (*Trusting, error) {
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	addresses, ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "dovecot.conf")
	base := dovecotSettings{Dir: dir, Host: "127.0.0.1", Port: ports[0], Location: dovecotMaildir, LockSession: "no"}
	if err := base.write(config, mailboxes); err != nil {
		return nil, fmt.Errorf("setting up dovecot: %w", err)
	}
	more := map[string]string{
		"Cert": cert, "Key": key, "Trusted": "", "Implicit": ports[1], "Announced": ports[2], "AnnouncedImplicit": ports[3],
	}
	if trusting {
		more["Trusted"] = "127.0.0.0/8"
	}
	if err := appendConfig(config, trustingConfig, more); err != nil {
		return nil, fmt.Errorf("setting up dovecot: %w", err)
	}
	process, err := StartProcess(exec.Command("/usr/sbin/dovecot", "-F", "-c", config), filepath.Join(dir, "stderr"))
	if err != nil {
		return nil, err
	}
	d := &Trusting{addresses[0], addresses[1], addresses[2], addresses[3], filepath.Join(dir, "log")}
	process.stopWith(t, d.log)
	return d, process.Answers("tcp", d.Plain)
}

// Log is what it has logged so far.
func (d *Trusting) Log() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func appendConfig(file string, more *template.Template, values map[string]string) error {
	var text strings.Builder
	if err := more.Execute(&text, values); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text.String()); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// freePorts are n different ones.
func freePorts(n int) (addresses, ports []string, err error) {
	seen := map[string]bool{}
	for len(addresses) < n {
		address, err := FreeAddress()
		if err != nil {
			return nil, nil, err
		}
		if seen[address] {
			continue
		}
		seen[address] = true
		_, port, _ := net.SplitHostPort(address)
		addresses, ports = append(addresses, address), append(ports, port)
	}
	return addresses, ports, nil
}
