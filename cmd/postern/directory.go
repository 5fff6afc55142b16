package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern/configs"
	"postern/directory"
)

// follower is a directory whose sources are being followed.
type follower struct {
	dir   *directory.Directory
	named []directory.NamedSource // shadows too
	*background
}

// loadDirectory makes the directory of a configuration and follows its sources. It
// returns when all of them have been read; one that can't be is an error, and what was saved of it
// doesn't help: this is for commands that want to know how the sources are.
func loadDirectory(ctx context.Context, config *configs.Config, log *slog.Logger, only ...string) (*follower, error) {
	made, err := buildBackends(config)
	if err != nil {
		return nil, err
	}
	if made, err = made.list(ctx, config); err != nil {
		return nil, err
	}
	f, err := followDirectory(ctx, config, made, "", log, only...)
	if f != nil && err != nil {
		f.stop()
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// patienceWithSources is how long the start waits for sources that neither answer nor fail.
const patienceWithSources = 20 * time.Second

// followDirectory does the same with what was saved in a folder, and returns the directory even with the
// error that some sources have nothing to serve; nil only where it can't be made.
func followDirectory(ctx context.Context, config *configs.Config, made *backends, state string, log *slog.Logger, only ...string) (*follower, error) {
	dir, named, err := buildDirectory(config, made, state, log, only...)
	if err != nil {
		return nil, err
	}
	f := &follower{dir: dir, named: named, background: start(dir.Run)}
	waiting, cancel := context.WithTimeout(ctx, patienceWithSources)
	defer cancel()
	return f, dir.Load(waiting)
}

// serveDirectory makes the directory that a gateway begins with. It does not wait for a source that
// is out of reach: its mailboxes hear [SYS/TEMP] until it is back. But a file that was never read is an
// error of whoever starts the gateway, and is told at once.
func serveDirectory(ctx context.Context, config *configs.Config, made *backends, log *slog.Logger) (*follower, error) {
	f, err := followDirectory(ctx, config, made, stateFolder(config, log), log)
	if f == nil {
		return nil, err
	}
	var faults []error
	for _, fault := range loadErrors(err) {
		if source := sourceNamed(config, fault.Source); source.Type == configs.SourceFile {
			faults = append(faults, fault)
		}
	}
	if len(faults) > 0 || ctx.Err() != nil {
		f.stop()
		return nil, errors.Join(append(faults, ctx.Err())...)
	}
	return f, nil
}

// stateFolder is where the last good state is kept: in the folder that the configuration names a folder of
// its own, since two gateways of one machine must not take over each other's. Where the default's folder can't
// be made, as for a user who tries things out, nothing is kept.
func stateFolder(config *configs.Config, log *slog.Logger) string {
	folder := string(config.Directory.State)
	if folder == "" {
		return ""
	}
	file, _ := config.Position("")
	path, err := filepath.Abs(file.File)
	if err != nil {
		log.Warn("the directory's state is not kept", "err", err)
		return ""
	}
	sum := sha256.Sum256([]byte(path))
	folder = filepath.Join(folder, hex.EncodeToString(sum[:6]))
	if _, chosen := config.Position("directory.state"); chosen {
		return folder
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		log.Warn("the directory's state is not kept; directory.state chooses another folder", "err", err)
		return ""
	}
	return folder
}

func loadErrors(err error) []*directory.LoadError {
	var all []*directory.LoadError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, loadErrors(e)...)
		}
		return all
	}
	if fault, ok := errors.AsType[*directory.LoadError](err); ok {
		all = append(all, fault)
	}
	return all
}

func sourceNamed(config *configs.Config, name string) configs.Source {
	for _, s := range configuredSources(config) {
		if s.name == name {
			return s.Source
		}
	}
	return configs.Source{}
}

// heldBack applies the shrink guard where one directory takes another's place: a
// reload may not release it, so the old configuration's rule holds, for every source of one name.
func heldBack(before *configs.Config, old, fresh *directory.Directory) error {
	serving := make(map[string]int)
	for _, status := range old.Status() {
		if !status.Asked && !status.Shadow {
			serving[status.Name] = max(status.Entries, status.Most)
		}
	}
	var faults []error
	for _, status := range fresh.Status() {
		faults = append(faults, shrinkGuard(before).Check(status.Name, serving[status.Name], status.Entries))
	}
	return errors.Join(faults...)
}

// entries counts what the sources hold.
func entries(dir *directory.Directory) int {
	sum := 0
	for _, source := range dir.Status() {
		if !source.Shadow {
			sum += source.Entries
		}
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
