package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps the memory, where passwords pass through, from others: no core file, and
// no reading or tracing by other processes of the same user. It can't be taken back.
func harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping others from the memory: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	return nil
}
