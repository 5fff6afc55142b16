package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// judge is an HTTP service as operators of nginx mail sites have: it checks the password, and says where to go
// and with which password.
type judge struct {
	url string

	mu        sync.Mutex
	passwords map[string]string
	backend   string   // HOST:PORT
	broken    string   // what it answers in place of a judgement: down, garbage, or nothing of these
	asked     []string // user and password of each question
	headers   http.Header
}

func startJudge(t *testing.T, backend string) *judge {
	t.Helper()
	j := &judge{backend: backend, passwords: map[string]string{"alice": "right", "carol": "right"}}
	server := httptest.NewServer(j)
	t.Cleanup(server.Close)
	j.url = server.URL + "/auth"
	return j
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	user, _ := url.PathUnescape(r.Header.Get("Auth-User"))
	password, _ := url.PathUnescape(r.Header.Get("Auth-Pass"))
	j.asked, j.headers = append(j.asked, user+" "+password), r.Header.Clone()
	switch {
	case j.broken == "down":
		w.WriteHeader(http.StatusServiceUnavailable)
	case j.broken == "garbage":
		fmt.Fprint(w, "<html>It works!</html>")
	case j.passwords[user] == "" || j.passwords[user] != password:
		w.Header().Set("Auth-Status", "Invalid login or password")
		w.Header().Set("Auth-Wait", "1")
	default:
		host, port, _ := net.SplitHostPort(j.backend)
		for key, value := range map[string]string{"Auth-Status": "OK", "Auth-Server": host, "Auth-Port": port,
			"Auth-User": user + "@example.com", "Auth-Pass": "secret"} {
			w.Header().Set(key, value)
		}
	}
}

// set changes what it says from now on.
func (j *judge) set(change func(*judge)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
}

// since returns the questions behind the first n.
func (j *judge) since(n int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.asked[n:])
}

func (j *judge) source() string {
	return fmt.Sprintf("{type: auth_http, urls: [%q], headers: [{name: X-Auth-Key, value: %q}]}", j.url, placePassword)
}

// expectLogin logs in and expects the answer and the questions that it took.
func (j *judge) expectLogin(a *asker, user, password, want string, questions ...string) {
	a.t.Helper()
	before := len(j.since(0))
	if got := a.try(user, password); !strings.HasPrefix(got, want) {
		a.t.Errorf("%s with %q hears %q, want %q\n%s", user, password, got, want, tailOf(a.log()))
	}
	if asked := j.since(before); !slices.Equal(asked, questions) {
		a.t.Errorf("%s with %q: asked %q, want %q", user, password, asked, questions)
	}
}

// TestDirectoryJudge: the service is asked once for each password, and nothing of its answers outlives the login.
func TestDirectoryJudge(t *testing.T) {
	t.Parallel()
	guests := faultGuests(t, "alice", "bob", "carol")
	j := startJudge(t, guests["guest-01"])
	a := newAsker(t, guests, "")
	socket, file := filepath.Join(a.dir, "map"), filepath.Join(a.dir, "first.map")
	must(t, os.WriteFile(file, []byte("bob guest-02\n"), 0o600))
	a.addDirectory(fmt.Sprintf("  sources:\n    - {type: file, path: %s}\n    - %s\n  socketmap: [{socket: %s}]\n", file, j.source(), socket))
	a.start()

	j.expectLogin(a, "alice", "right", "alice on guest-01", "alice right")
	j.expectLogin(a, "alice", "wrong", denied, "alice wrong")
	j.expectLogin(a, "alice", "secret", denied, "alice secret") // the guest's own password is not the service's
	j.expectLogin(a, "alice", "right", "alice on guest-01", "alice right")
	j.expectLogin(a, "nobody", "right", denied, "nobody right")
	j.expectLogin(a, "bob", "secret", "bob on guest-02") // whom the file knows
	j.set(func(j *judge) {
		j.passwords["alice"], j.backend = "new", guests["guest-02"]
		if got := j.headers.Get("X-Auth-Key"); got != placePassword {
			t.Errorf("the key is %q", got)
		}
	})
	j.expectLogin(a, "alice", "right", denied, "alice right")
	j.expectLogin(a, "alice", "new", "alice on guest-02", "alice new")
	j.expectLogin(a, "a%20b\r", "x", "-ERR")
	for _, broken := range []string{"down", "garbage"} {
		j.set(func(j *judge) { j.broken = broken })
		j.expectLogin(a, "alice", "new", temporary, "alice new")
		j.expectLogin(a, "bob", "secret", "bob on guest-02")
	}
	j.set(func(j *judge) { j.broken = "" })
	j.expectLogin(a, "alice", "new", "alice on guest-02", "alice new")
	withoutPassword(t, a, j, socket)
}

// withoutPassword asks where there is none: the answer is that there has to be one, and the service hears nothing.
func withoutPassword(t *testing.T, a *asker, j *judge, socket string) {
	t.Helper()
	before := len(j.since(0))
	if _, body := a.get("/api/v1/mailboxes/alice"); !strings.Contains(body, "judges passwords") {
		t.Errorf("explain: %s", body)
	}
	cmd := exec.Command(os.Args[0], "lookup", "--config", a.config(), "alice", "bob")
	cmd.Env = append(os.Environ(), asPostern+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "password") || !strings.Contains(string(out), "bob guest-02") {
		t.Errorf("lookup: %v\n%s", err, out)
	}
	if got := askSocketmap(t, socket, "mailbox alice@example.com"); !strings.HasPrefix(got, "TEMP ") || !strings.Contains(got, "password") {
		t.Errorf("socketmap: %s", got)
	}
	if got := askSocketmap(t, socket, "mailbox bob@example.com"); !strings.HasPrefix(got, "OK ") {
		t.Errorf("socketmap, of one whom the file knows: %s", got)
	}
	if asked := j.since(before); len(asked) > 0 {
		t.Errorf("the service was asked: %q", asked)
	}
}

// askSocketmap puts one question, as Postfix does: a netstring.
func askSocketmap(t *testing.T, socket, question string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(faultPatience)))
	_, err = fmt.Fprintf(conn, "%d:%s,", len(question), question)
	must(t, err)
	in, n := bufio.NewReader(conn), 0
	_, err = fmt.Fscanf(in, "%d:", &n)
	must(t, err)
	answer := make([]byte, n)
	_, err = io.ReadFull(in, answer)
	must(t, err)
	return string(answer)
}

// TestDirectoryJudgeHostileNames: nothing that is typed becomes a header of its own.
func TestDirectoryJudgeHostileNames(t *testing.T) {
	t.Parallel()
	guests := faultGuests(t, "alice")
	j := startJudge(t, guests["guest-01"])
	j.passwords["alice"] = "secret"
	typeHostileNames(t, startAsker(t, guests, "  sources:\n    - "+j.source()))
	typed := []string{"alice"}
	for _, name := range hostileNames {
		typed = append(typed, strings.TrimRight(name, " ")) // as a command's end is
	}
	for _, question := range j.since(0) {
		if !slices.Contains(typed, strings.TrimSuffix(question, " secret")) {
			t.Errorf("the service was asked for %q", question)
		}
	}
}
