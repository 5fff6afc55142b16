package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"postern/configs"
	"postern/directory"
)

// follower is a directory whose sources are being followed.
type follower struct {
	dir *directory.Directory
	*background
}

// loadDirectory makes the directory of a configuration and follows its sources. It
// returns when all of them have been read; one that can't be is an error.
func loadDirectory(ctx context.Context, config *configs.Config, log *slog.Logger, only ...string) (*follower, error) {
	dir, err := buildDirectory(config, log, only...)
	if err != nil {
		return nil, err
	}
	f := &follower{dir: dir, background: start(dir.Run)}
	if err := dir.Load(ctx); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// heldBack applies the shrink guard where one directory takes another's place: a
// reload may not release it, so the old configuration's rule holds, for every source that
// both name by the same path.
func heldBack(before, next *configs.Config, old, fresh *directory.Directory) error {
	serving := make(map[configs.Source]int)
	for i, status := range old.Status() { // in the order of the configuration
		serving[before.Directory.Sources[i]] = status.Entries
	}
	var faults []error
	for i, status := range fresh.Status() {
		faults = append(faults, shrinkGuard(before).Check(status.Name, serving[next.Directory.Sources[i]], status.Entries))
	}
	return errors.Join(faults...)
}

// entries counts what the sources hold.
func entries(dir *directory.Directory) int {
	sum := 0
	for _, source := range dir.Status() {
		sum += source.Entries
	}
	return sum
}

// manyBackends is how many unknown backends a record names.
const manyBackends = 10

// unknownBackends names the backends of entries that are not configured: their
// mailboxes hear [SYS/TEMP].
func unknownBackends(dir *directory.Directory) error {
	var lines []string
	for _, u := range dir.UnknownBackends(manyBackends) {
		lines = append(lines, fmt.Sprintf("%q of %s (%d entries, one is %s)", u.Backend, u.Source, u.Entries, u.Mailbox))
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("not configured: %s", strings.Join(lines, ", "))
}
