package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The canary: a password or token that clients said, and a secret of the
// configuration, are nowhere but where they belong: not in logs at any level, not in what the
// API, the metrics or explain tell.
func TestNoSecretAnywhere(t *testing.T) {
	t.Parallel()
	const canary, token = "c4n4ryC4N4RY", "t0k3n-c4n4ry-0123456789"
	s := newSite(t)
	socket := filepath.Join(s.dir, "s")
	s.configure(fmt.Sprintf(`auth: {mechanisms: [PLAIN, LOGIN, XOAUTH2, OAUTHBEARER], failure_delay: 10ms, max_failures: 100}
log: {level: debug}
admin:
  socket: %q
  address: 127.0.0.1:0
  probes: 127.0.0.1:0
  tokens: [{name: anna, role: operator, token: %q}]
`, socket, token))
	p := s.start()
	sayCanary(t, p, canary)
	told := []string{p.log()}
	for listener, paths := range map[string][]string{
		"admin":  {"/api/v1/status", "/api/v1/sessions", "/api/v1/directory", "/api/v1/backends", "/api/v1/mailboxes/alice", "/metrics"},
		"probes": {"/metrics", "/readyz", "/livez"},
	} {
		record := p.waitFor(t, "msg=listening", "listener="+listener)
		_, address, _ := strings.Cut(record, "address=")
		for _, path := range paths {
			told = append(told, fetchURL(t, "http://"+address+path, token))
		}
	}
	for _, args := range [][]string{{"status"}, {"sessions"}, {"explain", "alice"}} {
		cmd := exec.Command(os.Args[0], append(args, "--json", "--admin", socket)...)
		cmd.Env = append(os.Environ(), asPostern+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
		told = append(told, string(out))
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	for _, text := range append(told, p.log()) {
		for _, secret := range []string{canary, encoded[:len(encoded)-2], token} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%q is in ...%s", secret, text[max(0, i-200):min(len(text), i+50)])
			}
		}
	}
}

// sayCanary says the canary wherever a client can.
func sayCanary(t *testing.T, p *process, canary string) {
	t.Helper()
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, lines := range [][]string{
		{"USER alice", "PASS " + canary},
		{"USER " + canary, "PASS " + canary},
		{canary + " " + canary},
		{"AUTH " + canary},
		{"AUTH PLAIN " + encode("\x00alice\x00"+canary)},
		{"AUTH PLAIN " + encode("\x00"+canary+"\x00"+canary)},
		{"AUTH LOGIN", encode("alice"), encode(canary)},
		{"AUTH XOAUTH2 " + encode("user=alice\x01auth=Bearer "+canary+"\x01\x01"), ""},
		{"AUTH OAUTHBEARER " + encode("n,a=alice,\x01auth=Bearer "+canary+"\x01\x01"), "AQ=="},
	} {
		c := p.dial(t)
		for _, line := range lines {
			if _, err := c.Cmd(line); err != nil {
				break
			}
		}
		c.Close()
	}
}

func fetchURL(t *testing.T, url, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, response.Status, err)
	}
	return string(body)
}
