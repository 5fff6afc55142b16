package configs

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

// The types below are texts that a rule of their own holds for. Each UnmarshalText
// says in its error what is wanted, and never repeats what it got: the text may
// come from the environment.

// Name names a listener, a backend or an alias.
type Name string

// UnmarshalText takes a name that a line of a mailbox map or a log can hold.
func (n *Name) UnmarshalText(text []byte) error {
	if len(text) == 0 || len(text) > 255 || strings.ContainsFunc(string(text), isBlankOrControl) {
		return errors.New("want a name of 1 to 255 octets without white space")
	}
	*n = Name(text)
	return nil
}

// Text is what goes to somebody else as it is, who has the rules for it.
type Text string

// UnmarshalText takes lines of printable text.
func (t *Text) UnmarshalText(text []byte) error {
	if len(text) == 0 || len(text) > 4096 || strings.ContainsFunc(string(text), isControl) {
		return errors.New("want a text of 1 to 4096 octets without control characters")
	}
	*t = Text(text)
	return nil
}

func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// Domain is a mail domain, as it was written. Empty: none.
type Domain string

// UnmarshalText takes a plausible domain: whether it exists is not asked.
func (d *Domain) UnmarshalText(text []byte) error {
	name := string(text)
	for label := range strings.SplitSeq(name, ".") {
		if name != "" && (label == "" || strings.ContainsFunc(label, isNoDomain)) || len(name) > 253 {
			return errors.New("want a domain such as example.com, without @ and without white space")
		}
	}
	*d = Domain(name)
	return nil
}

func isNoDomain(r rune) bool {
	return isBlankOrControl(r) || strings.ContainsRune(`@%:;,/\[]()<>"'#=*`, r)
}

func isBlankOrControl(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// Path is the path of a file. A relative one starts from the folder of the
// configuration file; in a loaded Config that is done already.
type Path string

// UnmarshalText takes every path that can exist.
func (p *Path) UnmarshalText(text []byte) error {
	if len(text) == 0 || strings.ContainsRune(string(text), 0) {
		return errors.New("want the path of a file")
	}
	*p = Path(text)
	return nil
}

// in returns the path as seen from folder, if it is not absolute.
func (p Path) in(folder string) Path {
	if filepath.IsAbs(string(p)) {
		return p
	}
	return Path(filepath.Join(folder, string(p)))
}

// Glob is a pattern of file names, in the syntax of path/filepath.Match. A
// relative one starts from the folder of the configuration file.
type Glob string

// UnmarshalText takes every pattern that can match.
func (g *Glob) UnmarshalText(text []byte) error {
	if _, err := filepath.Match(string(text), ""); err != nil || len(text) == 0 {
		return errors.New("want a pattern of file names such as backends.d/*.yaml")
	}
	*g = Glob(text)
	return nil
}

// Pattern is a regular expression in Go's syntax (RE2).
type Pattern string

// UnmarshalText takes an expression that compiles. Its error does not repeat
// regexp's, which quotes the expression.
func (p *Pattern) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("want a regular expression; an empty one would match everything")
	}
	if _, err := regexp.Compile(string(text)); err != nil {
		return errors.New("want a regular expression of RE2's syntax, such as (?i)mailbox locked")
	}
	*p = Pattern(text)
	return nil
}
