package directory

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"postern/backend"
)

const defaultPort = "110"

// Fallback says which addresses that no configured backend has may be backends
// nevertheless. Without networks an entry can't send a password anywhere that
// the configuration doesn't name.
type Fallback struct {
	Networks []netip.Prefix
	Login    backend.LoginForm
	// Make completes such a backend with what all of them have in common. It gets one with
	// its name, its address and Login. Nil: that is all.
	Make func(backend.Target) backend.Target
}

// make returns the backend at an address of its own.
func (f Fallback) make(at netip.AddrPort) *backend.Target {
	t := backend.Target{Name: at.String(), Addresses: []string{at.String()}, Login: f.Login}
	if f.Make != nil {
		t = f.Make(t)
	}
	t.Visitor = true
	return &t
}

// own returns the address of a backend of its own. Only a literal address counts: a
// host name could be made to mean any machine by whoever answers for its domain.
func (f Fallback) own(value string) (netip.AddrPort, bool) {
	key := backendKey(value)
	at, err := netip.ParseAddrPort(key)
	if err != nil {
		addr, err := netip.ParseAddr(key)
		if err != nil {
			return netip.AddrPort{}, false
		}
		at = netip.AddrPortFrom(addr, 110)
	}
	inside := func(network netip.Prefix) bool { return network.Contains(at.Addr()) }
	return at, at.Port() != 0 && slices.ContainsFunc(f.Networks, inside)
}

// backendKey is the form in which a backend's names and addresses are compared: lower
// case, addresses as netip prints them, so that 2001:DB8:0::1 finds [2001:db8::1].
func backendKey(value string) string {
	value = strings.ToLower(value)
	if host, named := strings.CutSuffix(value, ":pop3"); named { // popmaps may hold services' names
		value = host + ":" + defaultPort
	}
	if at, err := netip.ParseAddrPort(value); err == nil {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
	}
	bare := value
	if strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") {
		bare = value[1 : len(value)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		return addr.Unmap().String()
	}
	return value
}

// claims hands each key to at most one backend.
type claims struct {
	owner map[string]int
	keys  [][]string // by backend
}

// backendKeys returns the keys of each backend. What is written down as a name
// or alias may belong to one only. What follows from addresses is given in steps, the
// plainest first, and a key that two backends would get in one step is
// nobody's: guessing would send users to the wrong maildrop.
func backendKeys(targets []backend.Target) ([][]string, error) {
	c := claims{owner: make(map[string]int), keys: make([][]string, len(targets))}
	for i, target := range targets {
		if target.Name == "" {
			return nil, errors.New("a backend without a name")
		}
		for _, name := range names(target) {
			key := backendKey(name)
			if other, taken := c.owner[key]; taken && other != i {
				return nil, fmt.Errorf("backends %s and %s are both called %s", targets[other].Name, target.Name, key)
			}
			c.give(key, i)
		}
	}
	for _, step := range [...]func(backend.Target) []string{hostsAndPorts, namesAndPorts, usualHosts, hosts} {
		c.step(targets, step)
	}
	return c.keys, nil
}

func (c *claims) give(key string, i int) {
	if _, taken := c.owner[key]; !taken {
		c.owner[key] = i
		c.keys[i] = append(c.keys[i], key)
	}
}

func (c *claims) step(targets []backend.Target, keys func(backend.Target) []string) {
	wanted := make(map[string]int)
	const contested = -1
	for i, target := range targets {
		for _, key := range keys(target) {
			if other, there := wanted[key]; there && other != i {
				wanted[key] = contested
			} else {
				wanted[key] = i
			}
		}
	}
	for key, i := range wanted {
		if i != contested {
			c.give(key, i)
		}
	}
}

func names(target backend.Target) []string {
	return append([]string{target.Name}, target.Aliases...)
}

func hostsAndPorts(target backend.Target) []string {
	var keys []string
	for _, address := range target.Addresses {
		keys = append(keys, backendKey(address))
	}
	return keys
}

// namesAndPorts are a name with a port that says nothing new: the backend's own, or
// POP3's, which popmaps add to every name.
func namesAndPorts(target backend.Target) []string {
	ports := []string{defaultPort}
	for _, address := range target.Addresses {
		if _, port, err := net.SplitHostPort(address); err == nil {
			ports = append(ports, port)
		}
	}
	var keys []string
	for _, name := range names(target) {
		for _, port := range ports {
			keys = append(keys, backendKey(name+":"+port))
		}
	}
	return keys
}

// usualHosts are the hosts at POP3's port, which is what a host alone means where
// several backends share it.
func usualHosts(target backend.Target) []string {
	return hostsWhere(target, func(port string) bool { return port == defaultPort })
}

func hosts(target backend.Target) []string {
	return hostsWhere(target, func(string) bool { return true })
}

func hostsWhere(target backend.Target, wanted func(port string) bool) []string {
	var keys []string
	for _, address := range target.Addresses {
		if host, port, err := net.SplitHostPort(address); err == nil && wanted(port) {
			keys = append(keys, backendKey(host))
		}
	}
	return keys
}
