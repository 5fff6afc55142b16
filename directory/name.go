package directory

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/width"
)

// maxName bounds a name in octets, before and after it is made canonical. An
// address is no longer (RFC 5321, section 4.5.3.1.3), and a USER line holds less.
const maxName = 254

// What is wrong with a name. A client never hears the difference.
var (
	errNameEmpty    = errors.New("the name is empty")
	errNameLong     = errors.New("the name is longer than 254 octets")
	errNameControl  = errors.New("the name holds control octets")
	errNameUTF8     = errors.New("the name is not UTF-8")
	errNameUnicode  = errors.New("the name holds characters that RFC 8265 forbids in a user name")
	errLocalEmpty   = errors.New("nothing before the @")
	errLocalSpace   = errors.New("white space around the part before the @")
	errDomainEmpty  = errors.New("nothing behind the @")
	errDomainSyntax = errors.New("the domain has an empty label, white space or an @")
)

// Canonical returns the one form of a mailbox's name that is looked up, counted,
// logged and sent on. Two forms for one mailbox would be two limits and two
// records; so nothing else in the gateway changes case or adds a domain.
//
//   - ASCII is lower-cased. The last @ separates the domain, which loses one trailing dot.
//   - Without an @ the last % stands for it: alice%example.com, as old clients
//     write that can't have an @ in a user name.
//   - A bare name gets the default domain, or stays bare where that is empty.
//   - Anything beyond ASCII goes through the UsernameCaseMapped profile of RFC 8265,
//     each userpart between spaces and each label of the domain by itself,
//     because the rule for right-to-left scripts does.
//
// A name with nothing before the @ is refused: typed by a client, it must not hit
// the entry for the rest of a domain.
func Canonical(typed, defaultDomain string) (string, error) {
	if isCanonical(typed) {
		return typed, nil
	}
	var space [2 * maxName]byte
	name, err := appendRaw(space[:0], typed)
	if err == nil {
		name, err = complete(name, 0, defaultDomain)
	}
	if err == nil {
		name, err = finish(name, 0)
	}
	return string(name), err
}

// AppendAddress appends the canonical form of an entry's address to dst: a mailbox's
// name, or @domain for the rest of a domain.
func AppendAddress(dst, address []byte, defaultDomain string) ([]byte, error) {
	start := len(dst)
	dst, err := appendRaw(dst, address)
	if err == nil && bytes.LastIndexByte(dst[start:], '@') != 0 {
		dst, err = complete(dst, start, defaultDomain)
	}
	if err == nil {
		dst, err = finish(dst, start)
	}
	return dst, err
}

// Domain returns the canonical form of a domain, as a default domain has to be.
func Domain(name string) (string, error) {
	row, err := AppendAddress(nil, []byte("@"+name), "")
	if err != nil {
		return "", err
	}
	if bytes.LastIndexByte(row, '@') > 0 {
		return "", errDomainSyntax
	}
	return string(row[1:]), nil
}

// isCanonical knows the form that nearly all clients type, at no cost. What it
// does not know may be canonical nevertheless.
func isCanonical(name string) bool {
	if len(name) > maxName {
		return false
	}
	at, last := -1, byte('.')
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' {
			return false
		}
		if c == '.' && last == '.' && at >= 0 {
			return false
		}
		if last = c; c == '@' {
			at, last = i, '.'
		}
	}
	return at > 0 && last != '.'
}

// appendRaw appends a name as it was typed, within bounds. Full-width characters
// become plain ones already here, because the @ of an East Asian keyboard separates too.
func appendRaw[T string | []byte](dst []byte, typed T) ([]byte, error) {
	if len(typed) > maxName {
		return dst, errNameLong
	}
	start := len(dst)
	dst = append(dst, typed...)
	if isASCII(dst[start:]) {
		return dst, nil
	}
	if !utf8.Valid(dst[start:]) {
		return dst[:start], errNameUTF8
	}
	return append(dst[:start], width.Fold.String(string(typed))...), nil
}

// complete gives dst[start:] the @ and the domain that were meant but not typed.
func complete(dst []byte, start int, defaultDomain string) ([]byte, error) {
	name := dst[start:]
	at := bytes.LastIndexByte(name, '@')
	if at < 0 {
		if at = bytes.LastIndexByte(name, '%'); at >= 0 {
			name[at] = '@'
		}
	}
	switch {
	case len(name) == 0:
		return dst, errNameEmpty
	case at == 0:
		return dst, errLocalEmpty
	case at < 0 && defaultDomain != "":
		dst = append(append(dst, '@'), defaultDomain...)
	}
	return dst, nil
}

// finish makes dst[start:], whose parts are where they belong, canonical in place.
func finish(dst []byte, start int) ([]byte, error) {
	ascii, err := lower(dst[start:])
	if err != nil {
		return dst[:start], err
	}
	name := dst[start:]
	at := bytes.LastIndexByte(name, '@')
	if at >= 0 {
		name = bytes.TrimSuffix(name, []byte{'.'})
	}
	if err := checkParts(name, at); err != nil {
		return dst[:start], err
	}
	if !ascii {
		enforced, err := enforce(string(name), at)
		if err != nil {
			return dst[:start], err
		}
		name = append(name[:0], enforced...)
	}
	if len(name) > maxName {
		return dst[:start], errNameLong
	}
	return append(dst[:start], name...), nil
}

// lower folds ASCII in place and tells whether there is nothing else.
func lower(name []byte) (ascii bool, err error) {
	ascii = true
	for i, c := range name {
		switch {
		case c < ' ' || c == 0x7f:
			return false, errNameControl
		case 'A' <= c && c <= 'Z':
			name[i] = c + ('a' - 'A')
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii, nil
}

// checkParts looks at what stands before and behind the @ at the given place; a
// negative one means a bare name.
func checkParts(name []byte, at int) error {
	local, domain := name, []byte(nil)
	if at >= 0 {
		local, domain = name[:at], name[at+1:]
	}
	switch {
	case len(name) == 0:
		return errNameEmpty
	case len(local) > 0 && (local[0] == ' ' || local[len(local)-1] == ' '):
		return errLocalSpace
	case at < 0:
		return nil
	case len(domain) == 0:
		return errDomainEmpty
	case domain[0] == '.', domain[len(domain)-1] == '.',
		bytes.Contains(domain, []byte("..")), bytes.IndexByte(domain, ' ') >= 0:
		return errDomainSyntax
	}
	return nil
}

// enforce applies the profile to the parts of a name. RFC 8264, section 7, warns that
// a profile may need more than one pass to become stable; a name that is not stable
// after the first is refused, since its two forms would be two mailboxes.
func enforce(name string, at int) (string, error) {
	once, err := enforceParts(name, at)
	if err != nil {
		return "", err
	}
	twice, err := enforceParts(once, strings.LastIndexByte(once, '@'))
	if err != nil || once != twice {
		return "", errNameUnicode
	}
	return once, nil
}

func enforceParts(name string, at int) (string, error) {
	if at < 0 {
		return enforceEach(name, " ")
	}
	local, err := enforceEach(name[:at], " ")
	if err != nil {
		return "", err
	}
	domain, err := enforceEach(name[at+1:], ".")
	return local + "@" + domain, err
}

func enforceEach(text, separator string) (string, error) {
	parts := strings.Split(text, separator)
	for i, part := range parts {
		if isASCII(part) {
			continue
		}
		mapped, err := precis.UsernameCaseMapped.String(part)
		if err != nil {
			return "", errNameUnicode
		}
		parts[i] = mapped
	}
	return strings.Join(parts, separator), nil
}

func isASCII[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
