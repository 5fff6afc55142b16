package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// maxSecret bounds a secret's file, in octets.
const maxSecret = 64 << 10

// secret decodes a Secret: the value itself, or file:PATH for what that file
// holds. The prefix counts only where it was written in the configuration: a
// password from the environment that happens to begin with it stays a password.
func (w *walk) secret(text string, s *Secret, path string) {
	value, err := expand(text, w.lookup)
	if err == nil && strings.HasPrefix(text, "file:") {
		value, err = w.readSecret(strings.TrimPrefix(value, "file:"))
	}
	if err == nil {
		*s, err = parseSecret(value)
	}
	if err != nil {
		w.report.fault(path, fmt.Sprintf("%s: %v", keyOf(path), err))
	}
}

// readSecret reads a secret's file. Its errors leave out the path, which may come
// from the environment.
func (w *walk) readSecret(name string) (string, error) {
	var file Path
	if err := file.UnmarshalText([]byte(name)); err != nil {
		return "", err
	}
	data, err := w.read(string(file.in(w.folder)), maxSecret)
	if errors.Is(err, errTooLarge) {
		return "", fmt.Errorf("want a file of at most %d octets", maxSecret)
	}
	if errors.Is(err, errReadable) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("the secret's file can't be read: %w", withoutPath(err))
	}
	value := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(value, "\r"), nil
}

// errReadable is what reading a secret's file gives that is no secret.
var errReadable = errors.New("others may read the secret's file: want it closed to them, with chmod o-r")

// readSecretFile reads a file that others may not read. It asks the open file: what
// the name stands for may change between two calls.
func readSecretFile(name string, most int64) ([]byte, error) {
	return readFileIf(name, most, func(mode fs.FileMode) error {
		if !mode.IsDir() && mode&0o004 != 0 {
			return errReadable
		}
		return nil
	})
}

// withoutPath takes the file's name out of an error of package os.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
