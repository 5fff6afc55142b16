package consul

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"postern/pop3"
)

// pop3Port is an instance's port where it names none, as in the configuration.
const pop3Port = 110

// instance is one registered instance of the service, as much of it as counts here.
type instance struct {
	name    string // of its backend, in lower case; unchecked
	grouped bool   // by its meta key: others may have the same
	node    string
	id      string
	order   int
	address string // host:port
	values  map[string]string
	bad     string // why its checks speak against it; empty: they don't
	err     error
}

// read takes what an instance says. Without the meta key `guest` a backend is called by
// its instance's ID, or, where that is only the service's name, which is what Consul takes
// if nobody gives one, by its node's.
func read(e *api.ServiceEntry) instance {
	s, node := e.Service, e.Node
	i := instance{node: node.Node, id: s.ID, name: s.ID, bad: complaint(e.Checks), values: make(map[string]string)}
	if s.ID == s.Service || s.ID == "" {
		i.name = node.Node
	}
	if guest, ok := s.Meta[guestKey]; ok {
		i.name, i.grouped = guest, true
	}
	i.name = strings.ToLower(i.name)
	for _, key := range metaKeys() {
		if value, ok := s.Meta[key]; ok {
			i.values[key] = value
		}
	}
	i.order, i.err = readOrder(s.Meta)
	if i.err == nil {
		i.address, i.err = hostPort(cmp.Or(s.Address, node.Address), cmp.Or(s.Port, pop3Port))
	}
	return i
}

// readOrder reads the place of an address among those of its backend: the lowest is first.
func readOrder(meta map[string]string) (int, error) {
	value, ok := meta[orderKey]
	if !ok {
		return 0, nil
	}
	n, err := number(value, 0, maxNumber)
	if err != nil {
		return 0, fmt.Errorf("meta %s: %w", orderKey, err)
	}
	return n, nil
}

// complaint is what is said against an instance: maintenance, or a critical check. A check's
// output is left out: it changes each time, and a stranger wrote it.
func complaint(checks api.HealthChecks) string {
	for _, c := range checks {
		if c != nil && c.Status == api.HealthCritical && (c.CheckID == api.NodeMaint || strings.HasPrefix(c.CheckID, api.ServiceMaintPrefix)) {
			return "maintenance: " + pop3.Printable(c.Notes, maxText)
		}
	}
	for _, c := range checks {
		if c != nil && c.Status == api.HealthCritical {
			return fmt.Sprintf("check %s is critical", pop3.Printable(cmp.Or(c.Name, c.CheckID), maxText))
		}
	}
	return ""
}

// byPlace sorts the instances of a backend in the order in which its addresses are tried. It is
// the same on all gateways, and health doesn't change it: an address that moved makes
// a backend that nothing is known of.
func byPlace(a, b instance) int {
	return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.id, b.id), cmp.Compare(a.node, b.node), cmp.Compare(a.address, b.address))
}

var errAddress = errors.New("its address is neither an IP address nor a host's name")

func hostPort(host string, port int) (string, error) {
	if port < 1 || port > 65535 {
		return "", fmt.Errorf("its port is %d", port)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	} else if !isName(host) {
		return "", errAddress
	}
	return net.JoinHostPort(strings.ToLower(host), strconv.Itoa(port)), nil
}

// isName tells whether a text is of letters, digits, hyphens, underscores and dots, and no
// address: a backend must not be called by what is another's address.
func isName(text string) bool {
	if text == "" || len(text) > 253 || slices.Contains(strings.Split(strings.TrimSuffix(text, "."), "."), "") {
		return false
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}
