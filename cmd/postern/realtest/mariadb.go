package realtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// StartMariaDB starts a MariaDB with an empty database, whose user has the password.
// A password of this kind may not hold quotes.
func StartMariaDB(t testing.TB, password string) (*Database, error) {
	d, dir, runAs, err := newDatabase(t, "mysql")
	if err != nil {
		return nil, err
	}
	d.Socket = filepath.Join(dir, "socket")
	data := filepath.Join(dir, "data")
	begin := filepath.Join(dir, "begin.sql")
	if err := initMariaDB(dir, data, begin, password, runAs); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(d.Address)
	d.command = func() *exec.Cmd {
		cmd := exec.Command("/usr/sbin/mariadbd", "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--bind-address="+host, "--port="+port,
			"--socket="+d.Socket, "--pid-file="+filepath.Join(dir, "pid"), "--init-file="+begin, "--skip-name-resolve",
			"--ssl-cert="+d.Certificate, "--ssl-key="+d.key,
			"--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0",
			"--innodb-flush-method=nosync", "--character-set-server=latin1") // as old servers have it
		return asUser(cmd, dir, runAs)
	}
	d.ready = func(p *Process) error { return p.until(func() error { return greets(d.Address) }) }
	return d, d.Start()
}

// initMariaDB makes the server's own tables, and a file of what it does at each start.
func initMariaDB(dir, data, begin, password string, runAs *syscall.Credential) error {
	statements := fmt.Sprintf(`CREATE DATABASE IF NOT EXISTS %[1]s;
CREATE USER IF NOT EXISTS '%[1]s'@'%%' IDENTIFIED BY '%[2]s';
GRANT ALL ON *.* TO '%[1]s'@'%%';
`, DatabaseUser, password)
	if err := os.WriteFile(begin, []byte(statements), 0o644); err != nil {
		return err
	}
	install := exec.Command("/usr/bin/mariadb-install-db", "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--skip-test-db",
		"--auth-root-authentication-method=normal", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M")
	if out, err := asUser(install, dir, runAs).CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return nil
}

// greets waits for the first octet of a server that speaks first.
func greets(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(databaseTimeout)); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}
