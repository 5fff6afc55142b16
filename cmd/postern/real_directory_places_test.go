package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"postern/cmd/postern/realtest"
)

// placePassword is the one of all servers that want one.
const placePassword = "c4n4ry-of-places"

// faultPlace is a server that knows mailboxes, with the means to disturb it.
type faultPlace struct {
	followed bool
	source   string // its line of the configuration
	ports    []string
	set      func(user, backend string)
	start    func() error // again, after kill
	kill     func()
	pause    func() // it takes connections and says nothing
	resume   func()
}

// faultPlaces are all kinds, by the names of tests.
var faultPlaces = map[string]func(t *testing.T) *faultPlace{
	"consul":      consulPlace,
	"postgres":    postgresPlace,
	"mariadb":     mariadbPlace,
	"ldap ask":    func(t *testing.T) *faultPlace { return ldapPlace(t, false) },
	"ldap follow": func(t *testing.T) *faultPlace { return ldapPlace(t, true) },
}

// askedTimes are short, so that what is kept is soon old. But a question takes so long that a login that waits for
// one can be told from one that does not, however busy the machine is.
const askedTimes = "timeout: 15s, ttl: 100ms, negative_ttl: 100ms"

// patientBackend has sessions wait for a question to its end.
const patientBackend = "timeouts: {backend: 40s}"

// consulPlace keeps each mailbox in a key of its own. An agent that starts again has nothing: it gets back what
// was set before a gateway comes to it, since an empty Consul is right to say that nobody is known.
func consulPlace(t *testing.T) *faultPlace {
	c, err := realtest.StartConsul(t, "")
	must(t, err)
	door := newDoor(t, c.Address)
	entries := make(map[string]string)
	put := func(user, backend string) { must(t, kvPut(c, "postern/"+user, user+" "+backend+"\n")) }
	return &faultPlace{
		followed: true,
		source:   fmt.Sprintf("{type: consul, address: %q, prefix: postern}", door.address()),
		ports:    []string{c.Address},
		set: func(user, backend string) {
			entries[user] = backend
			put(user, backend)
		},
		start: func() error {
			if err := c.Restart(); err != nil {
				return err
			}
			for user, backend := range entries {
				put(user, backend)
			}
			door.shut.Store(false)
			return nil
		},
		kill:  func() { door.shut.Store(true); c.Kill() },
		pause: c.Freeze, resume: c.Thaw,
	}
}

func consulSource(c *realtest.Consul) string {
	return fmt.Sprintf("{type: consul, address: %q, prefix: postern}", c.Address)
}

// kvPut writes a key as an operator's script does.
func kvPut(c *realtest.Consul, key, value string) error {
	return kvAsk(c, http.MethodPut, "kv/"+key, value)
}

func kvAsk(c *realtest.Consul, method, path, body string) error {
	request, err := http.NewRequest(method, "http://"+c.Address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("X-Consul-Token", c.Token)
	response, err := (&http.Client{Timeout: faultPatience}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	return nil
}

// mailboxTable makes a database hold mailboxes.
const mailboxTable = "CREATE TABLE mailbox (address VARCHAR(320) PRIMARY KEY, backend VARCHAR(100), login VARCHAR(100))"

func postgresPlace(t *testing.T) *faultPlace {
	d, err := realtest.StartPostgres(t, placePassword)
	must(t, err)
	return databasePlace(t, d, postgresSource(d, placePassword, askedTimes), func(statement string) error { return psql(d, statement) })
}

// postgresSource asks a database. more are further keys.
func postgresSource(d *realtest.Database, password, more string) string {
	return fmt.Sprintf("{type: sql, driver: postgres, dsn: %q, query: %q, %s}",
		fmt.Sprintf("postgres://%s:%s@%s/%[1]s?sslmode=disable", realtest.DatabaseUser, password, d.Address),
		"SELECT backend, login FROM mailbox WHERE address = $1", more)
}

func mariadbPlace(t *testing.T) *faultPlace {
	d, err := realtest.StartMariaDB(t, placePassword)
	must(t, err)
	source := fmt.Sprintf("{type: sql, driver: mysql, dsn: %q, query: %q, %s}",
		fmt.Sprintf("%s:%s@tcp(%s)/%[1]s", realtest.DatabaseUser, placePassword, d.Address),
		"SELECT backend, login FROM mailbox WHERE address = ?", askedTimes)
	return databasePlace(t, d, source, func(statement string) error {
		host, port, _ := net.SplitHostPort(d.Address)
		return told(exec.Command("mariadb", "--no-defaults", "-h", host, "-P", port, "-u", realtest.DatabaseUser,
			"-p"+placePassword, realtest.DatabaseUser,
			"-e", "SET GLOBAL innodb_flush_log_at_trx_commit = 2; "+statement)) // what is committed outlives a kill
	})
}

func databasePlace(t *testing.T, d *realtest.Database, source string, do func(statement string) error) *faultPlace {
	t.Helper()
	must(t, do(mailboxTable))
	return &faultPlace{
		source: source,
		ports:  []string{d.Address},
		set: func(user, backend string) {
			must(t, do(fmt.Sprintf("DELETE FROM mailbox WHERE address = '%[1]s@example.com'", user)),
				do(fmt.Sprintf("INSERT INTO mailbox VALUES ('%s@example.com', '%s', '')", user, backend)))
		},
		start: d.Start, kill: d.Kill, pause: d.Pause, resume: d.Resume,
	}
}

// psql has a PostgreSQL do something.
func psql(d *realtest.Database, statement string) error {
	host, port, _ := net.SplitHostPort(d.Address)
	cmd := exec.Command("psql", "-X", "-q", "-h", host, "-p", port, "-U", realtest.DatabaseUser, "-d", realtest.DatabaseUser,
		"-v", "ON_ERROR_STOP=1", "-c", statement)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+placePassword)
	return told(cmd)
}

// told runs a command whose words matter only if it fails.
func told(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}

func ldapPlace(t *testing.T, follow bool) *faultPlace {
	s, err := realtest.StartSlapd(t, realtest.SlapdOptions{Sync: true, Password: placePassword})
	must(t, err)
	known := make(map[string]bool)
	return &faultPlace{
		followed: follow,
		source:   ldapSource(s, placePassword, follow),
		ports:    []string{strings.TrimPrefix(s.Plain, "ldap://"), strings.TrimPrefix(s.Secure, "ldaps://")},
		set: func(user, backend string) {
			change := "add\nobjectClass: account\nobjectClass: mailbox\nuid: " + user +
				"\nmailboxAddress: " + user + "@example.com\nmailboxBackend: " + backend
			if known[user] {
				change = "modify\nreplace: mailboxBackend\nmailboxBackend: " + backend
			}
			known[user] = true
			must(t, s.Modify("dn: uid="+user+","+s.People+"\nchangetype: "+change+"\n"))
		},
		start:  s.Start,
		kill:   s.Kill,
		pause:  func() { must(t, s.Freeze()) },
		resume: func() { must(t, s.Thaw()) },
	}
}

func ldapSource(s *realtest.Slapd, password string, follow bool) string {
	mode := "filter: \"(mailboxAddress={address})\", " + askedTimes
	if follow {
		mode = "mode: follow, filter: \"(objectClass=mailbox)\", mailbox: mailboxAddress, timeout: 15s"
	}
	return fmt.Sprintf("{type: ldap, urls: [%q], bind_dn: %q, bind_password: %q, base: %q, backend: mailboxBackend, %s}",
		s.Plain, s.Admin, password, s.People, mode)
}

// eachPlace starts all kinds at once, each in a test of its own, whose gateways and guests are its own too.
func eachFaultPlace(t *testing.T, test func(t *testing.T, p *faultPlace)) {
	t.Helper()
	needServers(t)
	for name, start := range faultPlaces {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			p.keepPorts(t)
			test(t, p)
		})
	}
}

// keepPorts has nobody else's server take the ports while this one is down.
func (p *faultPlace) keepPorts(t *testing.T) {
	kill, start, release := p.kill, p.start, func() {}
	p.kill = func() {
		kill()
		release = holdPorts(t, p.ports...)
	}
	p.start = func() error {
		release()
		return start()
	}
}

// holdPorts listens in a dead server's place, and resets whoever comes. Tests that run beside this one take any port
// that is free, and a gateway would ask a stranger.
func holdPorts(t *testing.T, addresses ...string) (release func()) {
	t.Helper()
	var listeners []net.Listener
	var resetting sync.WaitGroup
	for _, address := range addresses {
		var l net.Listener
		eventually(t, "the port of a dead server stays taken", func() (free bool) {
			var err error
			l, err = net.Listen("tcp", address)
			return err == nil
		})
		listeners = append(listeners, l)
		resetting.Go(func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
		})
	}
	release = sync.OnceFunc(func() {
		for _, l := range listeners {
			_ = l.Close()
		}
		resetting.Wait()
	})
	t.Cleanup(release)
	return release
}

// startTogether starts servers that don't need each other.
func startTogether(starts ...func()) {
	var starting sync.WaitGroup
	for _, start := range starts {
		starting.Go(start)
	}
	starting.Wait()
}
