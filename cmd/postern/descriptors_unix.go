//go:build unix

package main

import "syscall"

// descriptorLimit returns how many descriptors this process may open. The runtime
// raised the soft limit to the hard one at start.
func descriptorLimit() (uint64, bool) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0, false
	}
	return uint64(limit.Cur), true
}
