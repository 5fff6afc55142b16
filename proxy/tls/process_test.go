package tls

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// processKeys is the variable by which a test process knows that it is a gateway for another,
// and where its files are.
const processKeys = "POSTERN_TEST_GATEWAY"

// TestGatewayProcess is no test of its own: it is the gateway that TestTwoProcesses starts.
func TestGatewayProcess(t *testing.T) {
	files := strings.Fields(os.Getenv(processKeys))
	if len(files) != 3 {
		t.Skip("only as a process of another test")
	}
	f := front(t, Options{Certificates: []Source{{Cert: files[0], Key: files[1]}}, TicketKeys: files[2]})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("address", socket.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the other is done
		_ = socket.Close()
	}()
	for {
		conn, err := socket.Accept()
		if err != nil {
			return
		}
		_, _ = greet(conn, f.Config(one))
	}
}

// gatewayProcess starts one and returns its address.
func gatewayProcess(t *testing.T, source Source, keys string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestGatewayProcess$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), processKeys+"="+strings.Join([]string{source.Cert, source.Key, keys}, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Start()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this test's own binary is of another architecture: it runs emulated, and can't be started again")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _, _ = io.Copy(io.Discard, stdout); _ = cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "address "); ok {
			return address
		}
	}
	t.Fatal("the gateway process doesn't say where it listens")
	return ""
}

// TestTwoProcesses: a client resumes on another gateway what it began on the first.
func TestTwoProcesses(t *testing.T) {
	source, keys := written(t, "mail.example.com"), inTemp(t, "keys", hexKey(1))
	here, there := gatewayProcess(t, source, keys), gatewayProcess(t, source, keys)
	for name, version := range tlsVersions {
		client := returning("mail.example.com", version)
		for i, address := range []string{here, there, here} {
			state, err := visit(address, client)
			if err != nil || state.DidResume != (i > 0) {
				t.Errorf("%s, visit %d: resumed: %v, %v", name, i, state.DidResume, err)
			}
		}
	}
}
