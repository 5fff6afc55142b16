package file

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postern/directory"
	"postern/directory/mapfile"
)

var (
	errCompressed = errors.New("it is compressed: unpack it to change it")
	errMeanwhile  = errors.New("somebody else changed it meanwhile: try again")
)

// Set changes one mailbox's entry in a map file, or makes it, and returns what was before. Where change
// returns what is there already, nothing is written.
//
// The file is replaced as a whole by a new one with the same owner and mode, under a lock (.NAME.lock beside it)
// that keeps out other programs that use Set; who edits by hand meanwhile makes it fail. All other lines,
// comments, their order and line ends stay. No more than a line is held in memory. A compressed file, and one with faults,
// is refused. Of a folder, the file that has the address is changed; where none has it, the error names them.
func Set(ctx context.Context, path, address, defaultDomain string, change mapfile.Change) (before directory.Value, existed bool, err error) {
	if defaultDomain != "" {
		if defaultDomain, err = directory.Domain(defaultDomain); err != nil {
			return before, false, fmt.Errorf("default domain: %w", err)
		}
	}
	name, err := directory.AppendAddress(nil, []byte(address), defaultDomain)
	if err != nil {
		return before, false, fmt.Errorf("address %.80q: %w", address, err)
	}
	e := edit{address: string(name), domain: defaultDomain, change: change}
	if e.path, err = e.find(ctx, path); err != nil {
		return before, false, err
	}
	result, err := e.run(ctx)
	return result.Before, result.Existed, err
}

// edit is one Set.
type edit struct {
	path    string // of the file, links followed
	address string // canonical
	domain  string
	change  mapfile.Change
}

// find returns the file to change: what a path leads to, or that file of a folder which has the address.
func (e *edit) find(ctx context.Context, path string) (string, error) {
	target, err := filepath.EvalSymlinks(path) // a link itself must not be replaced
	if err != nil {
		return "", fmt.Errorf("changing a mailbox map: %w", err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return "", fmt.Errorf("changing a mailbox map: %w", err)
	}
	if !info.IsDir() {
		return target, nil
	}
	files, err := list(target)
	if err != nil {
		return "", err
	}
	var holders, names []string
	for _, f := range files {
		names = append(names, f.path)
		holds, err := e.holds(ctx, f.path)
		if err != nil {
			return "", err
		}
		if holds {
			holders = append(holders, f.path)
		}
	}
	switch len(holders) {
	case 0:
		return "", fmt.Errorf("%s is in no file of %s: name the file that it belongs in, one of %s",
			e.address, path, strings.Join(names[:min(len(names), 20)], ", "))
	case 1:
		return filepath.EvalSymlinks(holders[0])
	}
	return "", fmt.Errorf("%s is in several files: %s; take it out of all but one", e.address, strings.Join(holders, ", "))
}

// holds tells whether a file has the address.
func (e *edit) holds(ctx context.Context, path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("reading the mailbox maps: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, packed := peek(f)
	var plain io.Reader = text
	if packed {
		unpacked, err := gzip.NewReader(text)
		if err != nil {
			return false, fmt.Errorf("reading %s: %w", path, err)
		}
		plain = io.LimitReader(unpacked, maxSize)
	}
	keep := func(before directory.Value, exists bool) (directory.Value, error) {
		if !exists {
			return before, fs.ErrNotExist
		}
		return before, nil
	}
	_, err = mapfile.Rewrite(io.Discard, until{ctx, plain},
		mapfile.Options{File: path, DefaultDomain: e.domain}, e.address, keep)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// run changes the file under its lock.
func (e *edit) run(ctx context.Context) (r mapfile.Rewritten, err error) {
	unlock, err := lock(ctx, filepath.Join(filepath.Dir(e.path), "."+filepath.Base(e.path)+".lock"))
	if err != nil {
		return r, fmt.Errorf("locking %s: %w", e.path, err)
	}
	defer unlock()
	old, err := os.Open(e.path)
	if err != nil {
		return r, fmt.Errorf("changing a mailbox map: %w", err)
	}
	defer func() { _ = old.Close() }() // it was only read
	info, err := old.Stat()
	if err != nil {
		return r, fmt.Errorf("changing %s: %w", e.path, err)
	}
	if !info.Mode().IsRegular() {
		return r, fmt.Errorf("changing %s: it is no regular file", e.path)
	}
	text, packed := peek(old)
	if packed {
		return r, fmt.Errorf("changing %s: %w", e.path, errCompressed)
	}
	return e.replace(until{ctx, text}, info)
}

// replace writes the new file beside the old one and puts it in its place. Where anything fails, the
// old one stays as it is.
func (e *edit) replace(text io.Reader, info fs.FileInfo) (r mapfile.Rewritten, err error) {
	aside, err := os.CreateTemp(filepath.Dir(e.path), "."+filepath.Base(e.path)+".*.tmp")
	if err != nil {
		return r, fmt.Errorf("changing %s: %w", e.path, err)
	}
	defer func() {
		_ = aside.Close()
		_ = os.Remove(aside.Name()) // it is gone already where all went well
	}()
	r, err = mapfile.Rewrite(aside, text, mapfile.Options{File: e.path, DefaultDomain: e.domain}, e.address, e.change)
	if err != nil || !r.Changed {
		return r, err
	}
	if err := errors.Join(sameOwner(aside, info), aside.Chmod(info.Mode().Perm()), aside.Sync(), aside.Close()); err != nil {
		return r, fmt.Errorf("changing %s: %w", e.path, err)
	}
	if !same(info, stat(e.path)) {
		return r, fmt.Errorf("changing %s: %w", e.path, errMeanwhile)
	}
	if err := os.Rename(aside.Name(), e.path); err != nil {
		return r, fmt.Errorf("changing %s: %w", e.path, err)
	}
	return r, syncFolder(filepath.Dir(e.path))
}

// syncFolder makes a renaming survive a crash.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	defer func() { _ = folder.Close() }() // it was only read
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}

// peek tells whether a file is compressed, by its first octets, not by its name.
func peek(f io.Reader) (text *bufio.Reader, packed bool) {
	text = bufio.NewReader(f)
	magic, _ := text.Peek(2)
	return text, bytes.Equal(magic, []byte{0x1f, 0x8b})
}

// until reads until ctx is done.
type until struct {
	ctx  context.Context
	text io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.text.Read(p)
}
