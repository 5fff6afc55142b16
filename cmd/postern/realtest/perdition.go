package realtest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// perditionMap is where the configuration of a Perdition has its database.
const perditionMap = "/etc/perdition/popmap.gdbm.db"

// Perdition is a POP3 proxy of old.
type Perdition struct {
	Address string
	Map     string // the database that its own program made of the popmap
}

// StartPerdition starts a Perdition with a configuration file's text and a popmap.
func StartPerdition(t testing.TB, config, popmap string) (*Perdition, error) {
	r, err := newRoot(t, "perdition")
	if err != nil {
		return nil, err
	}
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	if err := r.perditionFiles(address, config, popmap); err != nil {
		return nil, fmt.Errorf("setting up perdition: %w", err)
	}
	log := r.path("perdition.log")
	process, err := StartProcess(r.command("/usr/sbin/perdition", "--config_file", "/etc/perdition/test.conf"), log)
	if err != nil {
		return nil, err
	}
	process.stopWith(t, log)
	return &Perdition{Address: address, Map: r.path(perditionMap)}, process.Answers("tcp", address)
}

func (r root) perditionFiles(address, config, popmap string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	// Its log goes to standard error, and it looks no name up: there is no resolver in the root.
	config += fmt.Sprintf("\nprotocol POP3\nbind_address %s\nlisten_port %s\nno_daemon\nno_lookup\nlog_facility +\npid_file \"\"\n"+
		"username nobody\ngroup nogroup\n", host, port)
	for name, content := range map[string]string{
		"etc/passwd":              "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
		"etc/group":               "root:x:0:\nnogroup:x:65534:\n",
		"etc/perdition/test.conf": config,
	} {
		if err := r.write(name, content, 0o644); err != nil {
			return err
		}
	}
	makegdbm := r.command("/usr/bin/makegdbm", perditionMap)
	makegdbm.Stdin = strings.NewReader(popmap)
	if out, err := makegdbm.CombinedOutput(); err != nil {
		return fmt.Errorf("makegdbm: %w\n%s", err, out)
	}
	return nil
}
