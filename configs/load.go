package configs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
)

// maxConfig bounds the configuration with all its included files, in octets. A
// guest needs about a hundred.
const maxConfig = 4 << 20

// Load reads the configuration of path, with the files that it includes. Where
// anything is wrong the error is a Faults with everything that is.
func Load(path string) (*Config, error) {
	return newLoader(path).load()
}

// loader reads one configuration. The file system and the environment are fields,
// so that a fuzzer can't reach the real ones.
type loader struct {
	path   string
	lookup func(string) (string, bool)
	read   func(name string, most int64) ([]byte, error)
	secret func(name string, most int64) ([]byte, error) // reads a secret's file
	glob   func(pattern string) ([]string, error)
	report *report
	left   int64 // of maxConfig
}

func newLoader(path string) *loader {
	return &loader{
		path:   path,
		lookup: os.LookupEnv,
		read:   readFile,
		secret: readSecretFile,
		glob:   filepath.Glob,
		report: newReport(),
		left:   maxConfig,
	}
}

func (l *loader) load() (*Config, error) {
	c := Default()
	l.report.marks[""] = mark{file: l.path, line: 1, column: 1}
	root, ok := l.tree(l.path)
	if !ok {
		return nil, l.report.faults
	}
	w := l.walk(l.path)
	w.value(root, reflect.ValueOf(&c).Elem(), slot{})
	l.include(&c)
	validate(&c, l.report)
	if len(l.report.faults) > 0 {
		l.report.faults.sort()
		return nil, l.report.faults
	}
	nameListeners(c.Listeners)
	c.marks = l.report.marks
	return &c, nil
}

func (l *loader) walk(file string) *walk {
	return &walk{file, filepath.Dir(l.path), l.lookup, l.secret, l.report}
}

// nameListeners gives each listener without a name its address as one.
func nameListeners(listeners []Listener) {
	for i := range listeners {
		if listeners[i].Name == "" {
			listeners[i].Name = Name(listeners[i].Address)
		}
	}
}

// errTooLarge is what reading more than it may gives.
var errTooLarge = errors.New("it is too large")

func readFile(name string, most int64) ([]byte, error) {
	return readFileIf(name, most, func(fs.FileMode) error { return nil })
}

// readFileIf reads at most that many octets of a file whose mode passes.
func readFileIf(name string, most int64, pass func(fs.FileMode) error) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil {
		err = pass(info.Mode())
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = errTooLarge
	}
	return data, err
}
