package realtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// DatabaseUser is who may do everything in a Database, and its databases' name.
const DatabaseUser = "postern"

// Database is a database server of a test's own, on a loopback port.
type Database struct {
	Address     string // 127.0.0.1 and a port
	Socket      string // the folder of PostgreSQL's Unix socket; the file of MariaDB's
	Certificate string // the file of its own certificate, for 127.0.0.1, signed by itself

	key string // the certificate's

	command func() *exec.Cmd
	ready   func(*Process) error
	log     string
	process *Process
}

// StartPostgres starts a PostgreSQL with an empty database, whose user has the password.
func StartPostgres(t testing.TB, password string) (*Database, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	d, dir, runAs, err := newDatabase(t, "postgres")
	if err != nil {
		return nil, err
	}
	d.Socket = dir
	data := filepath.Join(dir, "data")
	if err := initPostgres(bin, dir, data, password, runAs); err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(d.Address)
	d.command = func() *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses="+host,
			"-c", "unix_socket_directories="+dir, "-c", "ssl=on", "-c", "ssl_cert_file="+d.Certificate, "-c", "ssl_key_file="+d.key, "-c", "fsync=off", "-c", "full_page_writes=off",
			"-c", "shared_buffers=16MB", "-c", "max_connections=60", "-c", "log_checkpoints=off")
		return asUser(cmd, dir, runAs)
	}
	d.ready = func(p *Process) error {
		return p.until(func() error {
			out, err := exec.Command(filepath.Join(bin, "pg_isready"), "-q", "-h", host, "-p", port).CombinedOutput()
			if err != nil {
				return fmt.Errorf("pg_isready: %w: %s", err, out)
			}
			return nil
		})
	}
	return d, d.Start()
}

// postgresPrograms is the folder of Debian's newest PostgreSQL.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return "", errors.New("postgresql is not installed")
	}
	return slices.Max(found), nil
}

func initPostgres(bin, dir, data, password string, runAs *syscall.Credential) error {
	file := filepath.Join(dir, "password")
	if err := writeOwned(file, owner{int(runAs.Uid), int(runAs.Gid)}, []byte(password+"\n")); err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", DatabaseUser, "--pwfile", file,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := asUser(initdb, dir, runAs).CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	single := exec.Command(filepath.Join(bin, "postgres"), "--single", "-D", data, "-c", "fsync=off", "postgres")
	single.Stdin = strings.NewReader("CREATE DATABASE " + DatabaseUser + "\n")
	if out, err := asUser(single, dir, runAs).CombinedOutput(); err != nil {
		return fmt.Errorf("creating the database: %w\n%s", err, out)
	}
	return nil
}

// newDatabase prepares what both kinds have: a folder of the system user's, and a port.
func newDatabase(t testing.TB, name string) (*Database, string, *syscall.Credential, error) {
	runAs, err := credential(name)
	if err != nil {
		return nil, "", nil, err
	}
	address, err := FreeAddress()
	if err != nil {
		return nil, "", nil, err
	}
	dir, err := shortTemp(t)
	if err != nil {
		return nil, "", nil, err
	}
	if err := os.Chown(dir, int(runAs.Uid), int(runAs.Gid)); err != nil {
		return nil, "", nil, err
	}
	d := &Database{
		Address: address, log: filepath.Join(dir, "log"),
		Certificate: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"),
	}
	issue := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
		"-keyout", d.key, "-out", d.Certificate, "-days", "2", "-subj", "/CN=database", "-addext", "subjectAltName=IP:127.0.0.1")
	if out, err := asUser(issue, dir, runAs).CombinedOutput(); err != nil {
		return nil, "", nil, fmt.Errorf("openssl: %w\n%s", err, out)
	}
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			text, _ := os.ReadFile(d.log)
			t.Logf("%s:\n%s", name, tail(text, 8<<10))
		}
	})
	return d, dir, runAs, nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// asUser has a command run as a system user, in its folder, with nothing of our environment.
func asUser(cmd *exec.Cmd, dir string, runAs *syscall.Credential) *exec.Cmd {
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: runAs}
	return cmd
}

// Start starts the server, or starts it again, and waits until it answers.
func (d *Database) Start() error {
	p, err := StartProcess(d.command(), d.log)
	if err != nil {
		return err
	}
	d.process = p
	return d.ready(p)
}

// Kill ends the server as a power cut would, with all its processes.
func (d *Database) Kill() {
	if d.process == nil {
		return
	}
	d.Pause() // what can't run can't fork
	for _, pid := range d.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-d.process.done
	d.process = nil
}

// Pause stops the server in its tracks: it takes connections, as far as the kernel does that, and
// says nothing.
func (d *Database) Pause() {
	d.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(stopTimeout); !d.stopped() && time.Now().Before(deadline); {
		<-time.After(time.Millisecond) // a thread stops when its turn comes
	}
}

// stopped tells whether no thread of the server can run.
func (d *Database) stopped() bool {
	for _, pid := range d.processes() {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, name := range stats {
			text, err := os.ReadFile(name)
			_, state, _ := strings.Cut(string(text), ") ")
			if err == nil && !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "Z") {
				return false
			}
		}
	}
	return true
}

// Resume lets it go on.
func (d *Database) Resume() { d.signal(syscall.SIGCONT) }

func (d *Database) signal(s syscall.Signal) {
	for _, pid := range d.processes() {
		_ = syscall.Kill(pid, s)
	}
}

// processes are the server's, its first one ahead. PostgreSQL has one for each connection, and each leads a process group
// of its own.
func (d *Database) processes() []int {
	first := d.process.cmd.Process.Pid
	found := []int{first}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, behind, _ := strings.Cut(string(text), ") ") // the state, then the parent
		fields := strings.Fields(behind)
		if len(fields) < 2 || fields[1] != strconv.Itoa(first) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// databaseTimeout is for servers that recover from a kill, on a machine that is busy.
const databaseTimeout = time.Minute

// until tries until it works, or the program has ended.
func (p *Process) until(try func() error) error {
	for deadline := time.Now().Add(databaseTimeout); ; {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w\n%s", p.cmd.Path, err, p.LogTail(8<<10))
		}
		select {
		case <-p.done:
			return errors.Join(fmt.Errorf("%s ended at once\n%s", p.cmd.Path, p.LogTail(8<<10)), p.err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
