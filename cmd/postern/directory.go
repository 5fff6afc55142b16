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
	dir    *directory.Directory
	cancel context.CancelFunc
	done   chan struct{}
}

// loadDirectory makes the directory of a configuration and follows its sources. It
// returns when all of them have been read; one that can't be is an error.
func loadDirectory(ctx context.Context, config *configs.Config, log *slog.Logger) (*follower, error) {
	dir, err := buildDirectory(config, log)
	if err != nil {
		return nil, err
	}
	following, cancel := context.WithCancel(context.Background())
	f := &follower{dir: dir, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		dir.Run(following)
	}()
	if err := dir.Load(ctx); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func (f *follower) stop() {
	if f == nil {
		return
	}
	f.cancel()
	<-f.done
}

// heldBack applies the shrink guard where one directory takes another's place: a
// reload may not release it.
func heldBack(guard directory.ShrinkGuard, old, fresh *directory.Directory) error {
	serving := make(map[string]int)
	for _, source := range old.Status() {
		serving[source.Name] = source.Entries
	}
	var faults []error
	for _, source := range fresh.Status() {
		faults = append(faults, guard.Check(source.Name, serving[source.Name], source.Entries))
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
