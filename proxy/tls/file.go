package tls

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFile is more than any certificate chain, bundle of authorities or list of
// keys needs, in octets.
const maxFile = 1 << 20

// readPublic reads a file that anybody may know.
func readPublic(path string) ([]byte, error) {
	return readFile(path, func(fs.FileMode) error { return nil })
}

// readSecret reads a file that others must not be able to read, or to replace the
// content of.
func readSecret(path string) ([]byte, error) {
	return readFile(path, func(mode fs.FileMode) error {
		if mode&0o006 != 0 {
			return errors.New("others may read or write it: want it closed to them, with chmod o-rw")
		}
		return nil
	})
}

// readFile reads a regular file whose mode passes. The open file is asked: what a
// path stands for may change between two calls. Errors name the path.
func readFile(path string, pass func(fs.FileMode) error) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait
		return nil, fmt.Errorf("reading %s: it is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err // says "open PATH: why"
	}
	defer func() { _ = f.Close() }() // it was only read
	before, err := f.Stat()
	if err == nil {
		err = pass(before.Mode())
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	text, err := readAll(f, before)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return text, nil
}

// readAll refuses what may be a piece of the old content and a piece of the new.
func readAll(f *os.File, before fs.FileInfo) ([]byte, error) {
	if before.Size() > maxFile {
		return nil, fmt.Errorf("it is larger than %d octets", maxFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, before.Size()+1))
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if int64(len(text)) != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, errors.New("it changes while it is read")
	}
	return text, nil
}

// wholePEM refuses a text in which a block is cut short or spoilt. The decoder skips
// such blocks in silence, and a chain that lacks one is a chain that clients refuse.
func wholePEM(text []byte) error {
	begun, decoded := bytes.Count(text, []byte("-----BEGIN ")), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		decoded++
	}
	if decoded < begun {
		return fmt.Errorf("of its %d PEM blocks %d are cut short or spoilt", begun, begun-decoded)
	}
	return nil
}
