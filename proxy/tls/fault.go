package tls

import "strings"

// maxText bounds a foreign text in a fault or a record, in octets.
const maxText = 256

// Fault is one thing wrong with what the options name.
type Fault struct {
	Listener string // its name; empty: the options that all listeners share
	Key      string // the option as a configuration spells it, like certificates[1]
	Err      error  // names the file, quotes nothing secret
}

func (f Fault) Error() string {
	place := f.Key
	if f.Listener != "" {
		place = "listener " + f.Listener + ": " + f.Key
	}
	return place + ": " + f.Err.Error()
}

// Unwrap returns the error without its place.
func (f Fault) Unwrap() error { return f.Err }

// Faults are all that was found at once. As an error they are one line each.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look at each.
func (f Faults) Unwrap() []error {
	all := make([]error, len(f))
	for i, one := range f {
		all[i] = one
	}
	return all
}

// orNil is the error to return: no faults are none.
func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// printable makes a foreign text fit for a record: ASCII without control
// characters, each other octet a question mark, cut.
func printable(text string) string {
	out := []byte(text[:min(len(text), maxText)])
	for i, c := range out {
		if c < ' ' || '~' < c {
			out[i] = '?'
		}
	}
	return string(out)
}
