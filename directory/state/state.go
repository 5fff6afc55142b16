// Package state keeps what must outlive the process in files of a folder, whole or not at all.
//
// A file is written beside its place, brought to the disk, and renamed: a power cut leaves the
// old one or the new one. Its header has its length and its SHA-256, and nothing of it is
// believed before both are found right. What the content means, and whether it may still be used, is its owner's business.
package state

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// The header: magic, version, the content's length, big-endian, and its SHA-256.
const (
	magic      = "postern state\n"
	version    = 1
	versionAt  = len(magic)
	lengthAt   = versionAt + 2
	sumAt      = lengthAt + 8
	headerSize = sumAt + sha256.Size
)

const (
	maxName  = 200       // octets: file systems take 255, and there is a suffix while it is written
	orphaned = time.Hour // the age at which a file that was never renamed belongs to nobody
	tempMark = ".writing-"
)

// ErrDamaged means that a file is not what was written. What it holds may not be used.
var ErrDamaged = errors.New("the file is damaged")

// Write makes what fill writes the content of a file, for nobody else to read. The folder is
// made if it is missing. After an error the file is as it was before.
func Write(folder, name string, fill func(io.Writer) error) error {
	if err := check(name); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("opening the state folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	sweep(root, name)
	temp := name + tempMark + rand.Text() // an old and a new gateway may write at the same time
	if err := writeTemp(root, temp, fill); err != nil {
		_ = root.Remove(temp)
		return fmt.Errorf("writing state %s: %w", name, err)
	}
	if err := root.Rename(temp, name); err != nil {
		_ = root.Remove(temp)
		return fmt.Errorf("writing state %s: %w", name, err)
	}
	if err := syncFolder(root); err != nil {
		return fmt.Errorf("writing state %s: %w", name, err)
	}
	return nil
}

// check refuses a name that is more than a name.
func check(name string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if name == "" || len(name) > maxName || name[0] == '.' ||
		strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("state %.40q: a name is of letters, digits, dots, - and _", name)
	}
	return nil
}

// sweep removes what a crash left of the same name.
func sweep(root *os.Root, name string) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), name+tempMark) {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > orphaned {
			_ = root.Remove(entry.Name())
		}
	}
}

func writeTemp(root *os.Root, temp string, fill func(io.Writer) error) (err error) {
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(make([]byte, headerSize)); err != nil {
		return err
	}
	sum := sha256.New()
	buffered := bufio.NewWriterSize(f, 1<<16)
	counted := &counter{to: io.MultiWriter(buffered, sum)}
	if err := fill(counted); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if _, err := f.WriteAt(header(counted.n, sum), 0); err != nil {
		return err
	}
	return f.Sync()
}

func header(length uint64, sum hash.Hash) []byte {
	h := append(make([]byte, 0, headerSize), magic...)
	h = binary.BigEndian.AppendUint16(h, version)
	h = binary.BigEndian.AppendUint64(h, length)
	return sum.Sum(h)
}

type counter struct {
	to io.Writer
	n  uint64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += uint64(n)
	return n, err
}

// syncFolder brings the rename itself to the disk.
func syncFolder(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// Read hands take the content of a file that Write made, once it is known to be whole. A
// missing one is fs.ErrNotExist, one that is not as it was written ErrDamaged; take is not called for either.
func Read(folder, name string, take func(io.Reader) error) error {
	if err := check(name); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("opening the state folder: %w", err)
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("reading state %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	length, err := verify(f)
	if err != nil {
		return fmt.Errorf("reading state %s: %w", name, err)
	}
	content := bufio.NewReaderSize(io.NewSectionReader(f, int64(headerSize), length), 1<<16)
	if err := take(content); err != nil {
		return fmt.Errorf("reading state %s: %w", name, err)
	}
	return nil
}

// verify reads the file once to its end and returns the content's length. The length in the header is believed
// only where the file has it.
func verify(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: it is no regular file", ErrDamaged)
	}
	var head [headerSize]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return 0, fmt.Errorf("%w: it has no whole header", ErrDamaged)
	}
	if string(head[:versionAt]) != magic {
		return 0, fmt.Errorf("%w: it begins with something else", ErrDamaged)
	}
	if v := binary.BigEndian.Uint16(head[versionAt:]); v != version {
		return 0, fmt.Errorf("version %d of the format is not known here", v)
	}
	length := info.Size() - int64(headerSize)
	if said := binary.BigEndian.Uint64(head[lengthAt:]); said != uint64(length) {
		return 0, fmt.Errorf("%w: it has %d octets of %d", ErrDamaged, length, said)
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, f); err != nil {
		return 0, err
	} else if n != length || !bytes.Equal(sum.Sum(nil), head[sumAt:]) {
		return 0, fmt.Errorf("%w: the checksum is wrong", ErrDamaged)
	}
	return length, nil
}
