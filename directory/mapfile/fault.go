package mapfile

import (
	"fmt"
	"strings"
)

// maxFaults bounds what is kept and printed: a file of another kind has one in each line.
const maxFaults = 20

// Fault is one thing wrong with a file.
type Fault struct {
	Line, Column int // from 1; the column counts octets
	Text         string
}

// Faults is what is wrong with a file, as an error of one line for each.
type Faults struct {
	File string
	List []Fault
	More int // so many are not in the list
}

// Error has a line FILE:LINE:COLUMN: TEXT for each fault.
func (f *Faults) Error() string {
	var text strings.Builder
	for i, fault := range f.List {
		if i > 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "%s:%d:%d: %s", f.File, fault.Line, fault.Column, fault.Text)
	}
	if f.More > 0 {
		fmt.Fprintf(&text, "\n%s: and %d more", f.File, f.More)
	}
	return text.String()
}

func (f *Faults) add(fault Fault) {
	if len(f.List) == maxFaults {
		f.More++
		return
	}
	f.List = append(f.List, fault)
}

// err returns the faults as an error, nil where there are none.
func (f *Faults) err() error {
	if len(f.List) == 0 {
		return nil
	}
	return f
}
