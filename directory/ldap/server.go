package ldap

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

// avoidance is how long a server that failed comes last.
const avoidance = 30 * time.Second

const (
	schemePlain  = "ldap"
	schemeTLS    = "ldaps"
	schemeSocket = "ldapi"

	defaultSocket = "/var/run/slapd/ldapi"
)

// server is one of the servers that hold the same entries.
type server struct {
	url     string // for people
	scheme  string
	network string
	address string
	host    string // whose certificate is wanted

	mu      sync.Mutex
	avoided time.Time // until then
}

func newServers(urls []string) ([]*server, error) {
	if len(urls) == 0 {
		return nil, errors.New("no url")
	}
	servers := make([]*server, len(urls))
	for i, text := range urls {
		s, err := newServer(text)
		if err != nil { // the text may hold a password that was meant well
			return nil, fmt.Errorf("url %d: %w", i+1, err)
		}
		servers[i] = s
	}
	return servers, nil
}

func newServer(text string) (*server, error) {
	if rest, ok := strings.CutPrefix(text, schemeSocket+"://"); ok {
		return newSocketServer(text, rest)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is no url")
	case u.Scheme != schemePlain && u.Scheme != schemeTLS:
		return nil, errors.New("want ldap://, ldaps:// or ldapi://")
	case u.User != nil:
		return nil, errors.New("a user in it: use bind_dn and bind_password")
	case u.Hostname() == "":
		return nil, errors.New("no host in it")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("more than a host and a port in it")
	}
	port := u.Port()
	switch {
	case port == "" && u.Scheme == schemeTLS:
		port = "636"
	case port == "":
		port = "389"
	}
	address := net.JoinHostPort(u.Hostname(), port)
	return &server{url: u.Scheme + "://" + address, scheme: u.Scheme, network: "tcp", address: address, host: u.Hostname()}, nil
}

// newSocketServer takes the path where the host would be, its slashes written %2F, and the form with
// three slashes that people write.
func newSocketServer(text, rest string) (*server, error) {
	path, err := url.PathUnescape(rest)
	switch {
	case err != nil:
		return nil, errors.New("it is no url")
	case path == "" || path == "/":
		path = defaultSocket
	case !strings.HasPrefix(path, "/"):
		return nil, errors.New("want ldapi:// and the socket's whole path")
	}
	return &server{url: text, scheme: schemeSocket, network: "unix", address: path}, nil
}

// failed has the server come last for a while.
func (s *server) failed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.avoided = time.Now().Add(avoidance)
}

func (s *server) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.avoided = time.Time{}
}

func (s *server) isAvoided(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.avoided)
}

// inOrder returns the servers in the order in which they are to be tried: those that failed of late
// come last, but they come.
func inOrder(servers []*server) []*server {
	now := time.Now()
	var good, bad []*server
	for _, s := range servers {
		if s.isAvoided(now) {
			bad = append(bad, s)
		} else {
			good = append(good, s)
		}
	}
	return append(good, bad...)
}
