package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"postern/directory"
	"postern/directory/mapfile"
)

// maxSize is more than the largest table needs with a comment to each line.
const maxSize = 8 << 30

var errChanging = errors.New("it changes while it is read")

// content is a file as it was read.
type content struct {
	table *directory.Table // nil: the text is the one that was known
	sum   []byte
	info  fs.FileInfo // nil where it could not be opened
}

// load reads the file once, if its sum is not the known one: building a table only
// to find that there is one of the same text would cost as much memory again. The error
// is errChanging where what was read may be a piece of the old and a piece of the new.
func (s *Source) load(ctx context.Context, known []byte, knows func(backend string) bool) (content, error) {
	if info := stat(s.path); info != nil && !info.Mode().IsRegular() { // opening a pipe would wait
		return content{}, fmt.Errorf("reading %s: it is no regular file", s.path)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return content{}, fmt.Errorf("reading the mailbox map: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	before, err := f.Stat()
	if err != nil {
		return content{}, fmt.Errorf("reading the mailbox map: %w", err)
	}
	if before.Size() > maxSize {
		return content{info: before}, fmt.Errorf("reading %s: it is larger than %d octets", s.path, maxSize)
	}
	table, sum, err := s.parse(&summed{file: f, stopped: ctx.Err, sum: sha256.New()}, known, knows)
	if after, statErr := f.Stat(); statErr == nil && !same(before, after) {
		return content{}, s.changing()
	}
	return content{table: table, sum: sum, info: before}, err
}

// parse returns no table where the text's sum is the known one.
func (s *Source) parse(text *summed, known []byte, knows func(string) bool) (*directory.Table, []byte, error) {
	if known != nil {
		if _, err := io.Copy(io.Discard, text); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", s.path, err)
		}
		if bytes.Equal(text.sum.Sum(nil), known) {
			return nil, known, nil
		}
		if _, err := text.Seek(0, io.SeekStart); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", s.path, err)
		}
	}
	table, err := mapfile.Read(text, mapfile.Options{File: s.path, DefaultDomain: s.defaultDomain, Only: s.only, Knows: knows})
	return table, text.sum.Sum(nil), err
}

func (s *Source) changing() error { return fmt.Errorf("reading %s: %w", s.path, errChanging) }

// summed is a file whose octets since the last Seek are summed. It can be read until
// stopped returns an error. It has no other method of the file: io.Copy would prefer WriteTo, past the sum.
type summed struct {
	file    *os.File
	stopped func() error
	sum     hash.Hash
}

func (s *summed) Read(p []byte) (int, error) {
	if err := s.stopped(); err != nil {
		return 0, err
	}
	n, err := s.file.Read(p)
	s.sum.Write(p[:n])
	return n, err
}

func (s *summed) Seek(offset int64, whence int) (int64, error) {
	s.sum.Reset()
	return s.file.Seek(offset, whence)
}
