package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Tidy removes files of a folder that are older than age and that nobody owns any more, and tells how
// many. abandoned is asked for each file's name. A folder that is not there is tidy.
func Tidy(folder string, age time.Duration, abandoned func(name string) bool) (removed int, err error) {
	root, err := os.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("opening the state folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return 0, fmt.Errorf("reading the state folder: %w", err)
	}
	var faults []error
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !abandoned(entry.Name()) {
			continue
		}
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) <= age {
			continue // it is gone already, or may be wanted again
		}
		if err := root.Remove(entry.Name()); err != nil {
			faults = append(faults, fmt.Errorf("removing old state: %w", err))
			continue
		}
		removed++
	}
	return removed, errors.Join(faults...)
}
