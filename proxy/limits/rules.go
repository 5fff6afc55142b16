package limits

import "net/netip"

// Rules say how many sessions may be open at once. They are not changed after they were
// given to a [Census]; a seat lives by those it was taken with, so that a reload
// changes nothing under a running session.
type Rules struct {
	Sessions   int            // in total
	PerAddress int            // from one IPv4 address or IPv6 /64
	PerMailbox int            // logged in to one mailbox
	PerNetwork []Network      // the first that holds an address wins
	Exempt     []netip.Prefix // not counted at all: probes, migration tools
}

// Network is a set of networks whose sessions are counted together and not per
// address: behind a webmail server or a large NAT are many users.
type Network struct {
	Networks []netip.Prefix // at least one; the first names the count, also after a reload
	Sessions int
}

// Exempts tells whether an address is one of those that are not counted.
func (r *Rules) Exempts(addr netip.Addr) bool { return Contains(r.Exempt, addr) }

// Shared tells whether an address stands for many people: it is exempt, or has a network's limit.
func (r *Rules) Shared(addr netip.Addr) bool {
	p := r.place(addr)
	return p.exempt || p.network.IsValid()
}

// place is where a session counts, besides the total.
type place struct {
	exempt  bool         // nowhere
	address netip.Addr   // not valid: not per address
	network netip.Prefix // not valid: in no network
	most    int          // there
}

func (r *Rules) place(addr netip.Addr) place {
	if r.Exempts(addr) {
		return place{exempt: true}
	}
	for _, n := range r.PerNetwork {
		if Contains(n.Networks, addr) {
			return place{network: n.Networks[0], most: n.Sessions}
		}
	}
	return place{address: AddressKey(addr), most: r.PerAddress}
}
