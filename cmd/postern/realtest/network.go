package realtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"testing"
)

// Network is a network of a test's own, with one way into it that can be cut. It takes root.
type Network struct {
	Inside  string // the address of what runs in it
	outside string // ours, on the way
	name    string
}

// StartNetwork makes one. Its addresses are of those for tests of networks (RFC 2544).
func StartNetwork(t testing.TB) (*Network, error) {
	id := rand.IntN(1 << 14)
	n := &Network{name: fmt.Sprintf("pt%d", id)}
	host := func(last int) string { return fmt.Sprintf("198.18.%d.%d", id>>6&0xff, id&0x3f<<2+last) }
	n.outside, n.Inside = host(1), host(2)
	here, there := n.name+"a", n.name+"b"
	if err := ip("netns", "add", n.name); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := errors.Join(ip("link", "del", here), ip("netns", "del", n.name)); err != nil {
			t.Error(err)
		}
	})
	return n, errors.Join(
		ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", n.name),
		ip("addr", "add", n.outside+"/30", "dev", here),
		ip("link", "set", here, "up"),
		ip("-n", n.name, "addr", "add", n.Inside+"/30", "dev", there),
		ip("-n", n.name, "link", "set", "lo", "up"),
		ip("-n", n.name, "link", "set", there, "up"),
		n.nft("add table inet way\n"+
			"add chain inet way in { type filter hook input priority 0; }\n"+
			"add chain inet way out { type filter hook output priority 0; }"),
	)
}

// Cut has all packets vanish, both ways.
func (n *Network) Cut() error {
	return n.nft("add rule inet way in ip saddr " + n.outside + " drop\nadd rule inet way out ip daddr " + n.outside + " drop")
}

// Mend undoes it.
func (n *Network) Mend() error { return n.nft("flush chain inet way in\nflush chain inet way out") }

// Refuse has every TCP packet that comes in meet a fate of nftables: drop, or reject
// with something. Empty: they pass again.
func (n *Network) Refuse(fate string) error {
	if fate == "" {
		return n.Mend()
	}
	return n.nft("add rule inet way in meta l4proto tcp " + fate)
}

func (n *Network) nft(commands string) error {
	_, err := run(n.command("nft", "-f", "-"), commands+"\n")
	return err
}

// command runs a program in the network.
func (n *Network) command(program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.name, program}, args...)...)
}

func ip(args ...string) error {
	_, err := run(exec.Command("ip", args...), "")
	return err
}
