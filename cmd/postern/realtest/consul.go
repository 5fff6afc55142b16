package realtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// consulTimeout is how long an agent may take to start, or a cluster to find its leader, on a
// machine that is busy with other tests.
const consulTimeout = 90 * time.Second

// Consul is one agent.
type Consul struct {
	Address string // of its HTTP interface, host:port
	Token   string // for CLI; empty: none

	program string
	args    []string
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
func StartConsul(t testing.TB, settings string) (*Consul, error) {
	c, err := newConsul(t, settings, "agent", "-dev")
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	return c, c.ready()
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
	c.process, err = StartProcess(exec.Command(c.program, c.args...), c.log)
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

// CLI runs consul's command line against the agent.
func (c *Consul) CLI(args ...string) (string, error) {
	command := exec.Command(c.program, args...)
	command.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+c.Address, "CONSUL_HTTP_TOKEN="+c.Token)
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("consul %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// ready waits until the agent has a leader that takes writes.
func (c *Consul) ready() error {
	return poll(func() error {
		if _, err := c.leader(); err != nil {
			return err
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
func StartConsulServers(t testing.TB) (ConsulServers, error) {
	var servers ConsulServers
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
	for _, c := range servers {
		if err := c.Start(); err != nil {
			return nil, err
		}
	}
	for _, c := range servers {
		if err := c.ready(); err != nil {
			return nil, err
		}
	}
	return servers, servers.WaitVoters()
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
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
}
