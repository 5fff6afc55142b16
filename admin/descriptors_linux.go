package admin

import (
	"os"
	"syscall"
)

// descriptors counts this process's open descriptors. The size of this folder is their number
// since Linux 6.2; before that it is 0, and they have to be read.
func descriptors() (open, limit int) {
	const folder = "/proc/self/fd"
	var most syscall.Rlimit
	info, err := os.Stat(folder)
	if err != nil || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most) != nil {
		return 0, 0
	}
	if open = int(info.Size()); open == 0 {
		all, err := os.ReadDir(folder)
		if err != nil {
			return 0, 0
		}
		open = len(all)
	}
	return open, int(min(most.Cur, 1<<30))
}
