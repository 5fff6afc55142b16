package realtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// consulTimeout is how long an agent may take to start, or a cluster to find its leader, on a
// machine that is busy with other tests.
const consulTimeout = 60 * time.Second

// consulTries is how often they are started, each time on other ports: another test's server may have taken one
// between the look for it and its use.
const consulTries = 3

// Consul is one agent.
type Consul struct {
	Address string // of its HTTP interface, host:port
	Token   string // for CLI; empty: none

	program string
	args    []string
	network *Network // that it runs in; nil: the machine's
	log     string
	process *Process // nil: stopped
}

// consulProgram finds the program: where POSTERN_CONSUL says, or where the tests' other programs are.
func consulProgram() (string, error) {
	if program := os.Getenv("POSTERN_CONSUL"); program != "" {
		return program, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(cache, "postern-test", "consul")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("consul is not built, run .ci/deps: %w", err)
	}
	return program, nil
}

// StartConsul starts an agent that keeps everything in memory. settings are added to its
// configuration, in Consul's language.
func StartConsul(t testing.TB, settings string) (c *Consul, err error) {
	for range consulTries {
		if c, err = newConsul(t, settings, "agent", "-dev"); err != nil {
			return nil, err
		}
		if err = c.Restart(); err == nil {
			return c, nil
		}
		c.Kill()
	}
	return nil, err
}

// StartConsulIn starts an agent like StartConsul's in a network of its own.
func StartConsulIn(t testing.TB, n *Network) (*Consul, error) {
	c, err := newConsul(t, "", "agent", "-dev")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(c.Address)
	c.network, c.Address = n, net.JoinHostPort(n.Inside, port)
	c.args[slices.Index(c.args, "-client")+1] = n.Inside
	return c, c.Restart()
}

// newConsul prepares an agent and ends it with the test.
func newConsul(t testing.TB, settings string, args ...string) (*Consul, error) {
	program, err := consulProgram()
	if err != nil {
		return nil, err
	}
	dir, err := shortTemp(t)
	if err != nil {
		return nil, err
	}
	ports := make(map[string]string)
	for _, name := range []string{"http", "server", "serf_lan"} {
		if ports[name], err = freePort(ports); err != nil {
			return nil, err
		}
	}
	settings += fmt.Sprintf("\ndisable_update_check = true\n"+
		"ports { http = %s server = %s serf_lan = %s serf_wan = -1 dns = -1 grpc = -1 grpc_tls = -1 }\n",
		ports["http"], ports["server"], ports["serf_lan"])
	c := &Consul{
		Address: "127.0.0.1:" + ports["http"],
		program: program,
		log:     filepath.Join(dir, "log"),
		args: append(args, "-bind", "127.0.0.1", "-client", "127.0.0.1", "-disable-host-node-id",
			"-node", "n"+ports["http"], "-log-level", "warn", "-hcl", settings),
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			text, _ := os.ReadFile(c.log)
			t.Logf("consul at %s:\n%s", c.Address, tail(text, 8<<10))
		}
	})
	return c, nil
}

func freePort(taken map[string]string) (string, error) {
	for {
		address, err := FreeAddress()
		if err != nil {
			return "", err
		}
		_, port, _ := net.SplitHostPort(address)
		free := true
		for _, other := range taken {
			free = free && other != port
		}
		if free {
			return port, nil
		}
	}
}

// Start starts the agent, again where it was stopped: on the same ports, and, if it keeps everything in
// memory, with nothing in it. It doesn't wait.
func (c *Consul) Start() (err error) {
	c.process, err = StartProcess(c.command(c.args...), c.log)
	return err
}

// Restart kills the agent, starts it again, and waits until it answers.
func (c *Consul) Restart() error {
	c.Kill()
	if err := c.Start(); err != nil {
		return err
	}
	return c.ready()
}

// Kill ends the agent without a word to others.
func (c *Consul) Kill() {
	if c.process == nil {
		return
	}
	c.process.Signal(syscall.SIGKILL)
	<-c.process.done
	c.process = nil
}

// Freeze has the agent hang, with its connections open; Thaw has it go on.
func (c *Consul) Freeze() { c.process.Signal(syscall.SIGSTOP) }

// Thaw is Freeze's end.
func (c *Consul) Thaw() { c.process.Signal(syscall.SIGCONT) }

// CLI runs consul's command line against the agent.
func (c *Consul) CLI(args ...string) (string, error) {
	command := c.command(args...)
	command.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+c.Address, "CONSUL_HTTP_TOKEN="+c.Token)
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("consul %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (c *Consul) command(args ...string) *exec.Cmd {
	if c.network != nil {
		return c.network.command(c.program, args...)
	}
	return exec.Command(c.program, args...)
}

// ready waits until the agent has a leader that takes writes.
func (c *Consul) ready() error {
	return poll(func() error {
		if _, err := c.leader(); err != nil {
			return c.ended(err)
		}
		request, err := http.NewRequest(http.MethodPut, "http://"+c.Address+"/v1/kv/ready", strings.NewReader("yes"))
		if err != nil {
			return err
		}
		request.Header.Set("X-Consul-Token", c.Token)
		client := &http.Client{Timeout: 10 * time.Second}
		defer client.CloseIdleConnections()
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusForbidden {
			return fmt.Errorf("writing is answered by %s", response.Status)
		}
		return nil
	})
}

// errEnded ends polling.
var errEnded = errors.New("it ended by itself")

// ended makes an error final where the agent is no more.
func (c *Consul) ended(err error) error {
	select {
	case <-c.process.done:
		return fmt.Errorf("consul at %s: %w: %v\n%s", c.Address, errEnded, c.process.err, c.process.LogTail(2<<10))
	default:
		return err
	}
}

// leader is the leader's address as servers call each other.
func (c *Consul) leader() (string, error) {
	var address string
	if err := c.get("/v1/status/leader", &address); err != nil {
		return "", err
	}
	if address == "" {
		return "", fmt.Errorf("consul at %s knows no leader", c.Address)
	}
	return address, nil
}

func (c *Consul) get(path string, answer any) error {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + c.Address + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return json.Unmarshal(body, answer)
}

// ConsulServers are three servers of one cluster, which lives as long as two of them do.
type ConsulServers []*Consul

// StartConsulServers starts them and waits for their leader.
func StartConsulServers(t testing.TB) (servers ConsulServers, err error) {
	for range consulTries {
		if servers, err = newConsulServers(t); err != nil {
			return nil, err
		}
		if err = servers.start(); err == nil {
			return servers, nil
		}
		for _, c := range servers {
			c.Kill()
		}
	}
	return nil, err
}

func newConsulServers(t testing.TB) (servers ConsulServers, err error) {
	for i := range 3 {
		data, err := shortTemp(t)
		if err != nil {
			return nil, err
		}
		args := []string{"agent", "-server", "-bootstrap-expect", "3", "-data-dir", data}
		for _, other := range servers {
			args = append(args, "-retry-join", other.serf())
		}
		c, err := newConsul(t, "performance { raft_multiplier = 1 }\nretry_interval = \"1s\"", args...)
		if err != nil {
			return nil, fmt.Errorf("server %d: %w", i, err)
		}
		servers = append(servers, c)
	}
	return servers, nil
}

func (s ConsulServers) start() error {
	for _, c := range s {
		if err := c.Start(); err != nil {
			return err
		}
	}
	for _, c := range s {
		if err := c.ready(); err != nil {
			return err
		}
	}
	return s.WaitVoters()
}

// serf is where other servers find the agent.
func (c *Consul) serf() string { return "127.0.0.1:" + c.port("serf_lan") }

// port reads a port from the agent's settings.
func (c *Consul) port(name string) string {
	_, behind, _ := strings.Cut(c.args[len(c.args)-1], " "+name+" = ")
	port, _, _ := strings.Cut(behind, " ")
	return port
}

// Leader returns the server that leads.
func (s ConsulServers) Leader() (leader *Consul, err error) {
	err = poll(func() error {
		for _, asked := range s {
			address, err := asked.leader()
			if err != nil {
				continue
			}
			for _, c := range s {
				if c.process != nil && strings.HasSuffix(address, ":"+c.port("server")) {
					leader = c
					return nil
				}
			}
		}
		return fmt.Errorf("the servers have no leader")
	})
	return leader, err
}

// WaitVoters waits until all three may vote. One that was started again may not for its first ten
// seconds; who kills the next leader before that stops the cluster.
func (s ConsulServers) WaitVoters() error {
	return poll(func() error {
		leader, err := s.Leader()
		if err != nil {
			return err
		}
		var raft struct {
			Servers []struct{ Voter bool }
		}
		if err := leader.get("/v1/operator/raft/configuration", &raft); err != nil {
			return err
		}
		voters := 0
		for _, server := range raft.Servers {
			if server.Voter {
				voters++
			}
		}
		if voters < len(s) {
			return fmt.Errorf("%d of %d servers may vote", voters, len(s))
		}
		return nil
	})
}

// poll tries until it succeeds.
func poll(try func() error) error {
	for deadline := time.Now().Add(consulTimeout); ; {
		err := try()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(deadline) {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
}
