package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFiles bounds a folder: a mail spool is none of map files.
const maxFiles = 10_000

var errNoFile = errors.New("there is no mailbox map in it")

// seen is a file as it looked; without info it was not there.
type seen struct {
	path string
	info fs.FileInfo
}

// list returns the files that a path stands for: itself, or those in the folder,
// by their names' order. A folder without any is a fault: it may be one where nothing is mounted.
func list(path string) ([]seen, error) {
	info := stat(path)
	if info == nil || !info.IsDir() {
		return []seen{{path, info}}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("reading the mailbox maps: %w", err)
	}
	var files []seen
	for _, entry := range entries {
		at := filepath.Join(path, entry.Name())
		if !isMap(entry.Name()) {
			continue
		}
		if info := stat(at); info != nil && info.Mode().IsRegular() { // behind links
			files = append(files, seen{at, info})
		}
	}
	switch {
	case len(files) == 0:
		return nil, fmt.Errorf("reading %s: %w", path, errNoFile)
	case len(files) > maxFiles:
		return nil, fmt.Errorf("reading %s: it holds more than %d files", path, maxFiles)
	}
	return files, nil
}

// isMap passes over what editors, package managers and people leave beside a file.
func isMap(name string) bool {
	return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~") &&
		!slices.Contains([]string{".bak", ".tmp", ".swp"}, filepath.Ext(name))
}

func stat(path string) fs.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}

func sameFiles(a, b []seen) bool {
	return slices.EqualFunc(a, b, func(a, b seen) bool { return a.path == b.path && same(a.info, b.info) })
}
