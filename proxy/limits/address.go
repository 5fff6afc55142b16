package limits

import "net/netip"

// AddressKey is the unit that limits per address count: one IPv4 address, or the
// /64 that one IPv6 customer has for himself and could change addresses in at will. A zone
// is no part of it. Of an address that isn't valid (a pipe has none) there is no key.
func AddressKey(addr netip.Addr) netip.Addr {
	if addr = addr.Unmap(); addr.Is4() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

// Contains tells whether one of the networks holds the address, an IPv4 one
// also where it is written as an IPv6 one.
func Contains(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}
