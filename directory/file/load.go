package file

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"postern/directory"
	"postern/directory/mapfile"
)

// maxSize is more than the largest table needs with a comment to each line. What a packed file
// unpacks to is counted: a few kilobytes can hold gigabytes.
const maxSize = 8 << 30

var (
	errChanging = errors.New("it changes while it is read")
	errLarge    = errors.New("it is larger than any mailbox map")
)

// load reads files, of which there may be a last good state. The error is errChanging; what is wrong
// with a file is in its result.
func (s *Source) load(ctx context.Context, files []seen, before map[string]*tracked) ([]result, error) {
	results := make([]result, len(files))
	news := false
	for i := range files {
		r, last := &results[i], before[files[i].path]
		r.path = files[i].path
		var blocks []mapfile.Block
		blocks, files[i].info, r.err = s.loadOne(ctx, r.path, last.known())
		if r.err == nil {
			r.file = last.with(r.path, blocks)
			news = news || !r.file.equal(last)
		}
	}
	if news && len(files) > 1 {
		s.refuseTwice(ctx, results)
	}
	for _, r := range results {
		if errors.Is(r.err, errChanging) {
			return nil, r.err
		}
	}
	return results, nil
}

// loadOne reads a file once; blocks that are known keep their tables. The error is errChanging
// where what was read may be a piece of the old and a piece of the new. Without
// info the file could not be opened.
func (s *Source) loadOne(ctx context.Context, path string, known map[mapfile.Sum]*directory.Table) ([]mapfile.Block, fs.FileInfo, error) {
	if info := stat(path); info != nil && !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, nil, fmt.Errorf("reading %s: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the mailbox map: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	before, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the mailbox map: %w", err)
	}
	blocks, err := s.blocks.Read(&text{file: f, stopped: ctx.Err, most: s.most}, path, known)
	if after, statErr := f.Stat(); statErr == nil && !same(before, after) {
		return nil, before, changing(path)
	}
	return blocks, before, err
}

func changing(path string) error { return fmt.Errorf("reading %s: %w", path, errChanging) }

// text is a file's text, unpacked where it is packed by gzip. It can be read until stopped
// returns an error.
type text struct {
	file    *os.File
	stopped func() error
	most    int64     // octets
	from    io.Reader // nil: at the file's start
	left    int64
}

func (t *text) Read(p []byte) (int, error) {
	if err := t.stopped(); err != nil {
		return 0, err
	}
	if t.from == nil {
		if err := t.open(); err != nil {
			return 0, err
		}
	}
	n, err := t.from.Read(p)
	if t.left -= int64(n); t.left < 0 {
		return 0, errLarge
	}
	return n, err
}

// open finds out by the first octets whether the file is packed. No map file begins with these.
func (t *text) open() error {
	octets := bufio.NewReaderSize(t.file, 64<<10)
	t.from, t.left = octets, t.most
	if magic, _ := octets.Peek(2); string(magic) != "\x1f\x8b" {
		return nil // a fault comes again with the next Read
	}
	unpacked, err := gzip.NewReader(octets)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	t.from = unpacked
	return nil
}

// Seek goes back to the start, and nowhere else.
func (t *text) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	t.from = nil
	return t.file.Seek(0, io.SeekStart)
}
