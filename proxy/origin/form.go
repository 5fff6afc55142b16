package origin

import (
	"bytes"
	"errors"
	"strings"
)

// The bounds of a header, in octets.
const (
	maxV1 = 107 // the specification's, CRLF included
	// maxBlock is for what version 2 announces behind its first 16 octets. It may announce
	// 65,535; client certificates in a TLV, the largest thing there is, take 2,000.
	maxBlock = 4096
)

// shortestHeader is "PROXY UNKNOWN" and CRLF; version 2 takes one octet more.
const shortestHeader = 15

var (
	errNoHeader = errors.New("no PROXY header")
	errLine     = errors.New("PROXY header has an octet that doesn't belong there")
	errLong     = errors.New("PROXY header too long")
	errShort    = errors.New("PROXY header too short for its addresses")
	errVersion  = errors.New("PROXY header of an unknown version")
	errCommand  = errors.New("PROXY header with an unknown command")
)

// missing tells how many octets the beginning of a connection lacks at least to be
// a whole header; 0 if none. It judges the octets from the first to the last and
// depends on nothing else, so that an error is the same however they came in.
func missing(header []byte) (int, error) {
	if bytes.HasPrefix(header, []byte(signatureV2)) {
		return missingV2(header)
	}
	begun := string(header)
	undecided := strings.HasPrefix(signatureV2, begun)
	for _, form := range lines {
		if strings.HasPrefix(begun, form.begin) {
			return form.missing(begun)
		}
		undecided = undecided || strings.HasPrefix(form.begin, begun)
	}
	if !undecided {
		return 0, errNoHeader
	}
	return shortestHeader - len(header), nil // all beginnings are shorter than that
}

// line is one form of version 1.
type line struct {
	begin    string
	shortest int    // with CRLF
	spaces   int    // behind begin, one between two fields
	octets   string // of the fields
	free     bool   // anything may stand there ("must ignore anything" up to CRLF)
}

const digits = "0123456789"

var lines = [...]line{
	{begin: "PROXY TCP4 ", shortest: len("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), spaces: 3, octets: digits + "."},
	{begin: "PROXY TCP6 ", shortest: len("PROXY TCP6 :: :: 0 0\r\n"), spaces: 3, octets: digits + ".:abcdefABCDEF"},
	{begin: "PROXY UNKNOWN\r", shortest: shortestHeader},
	{begin: "PROXY UNKNOWN ", shortest: shortestHeader + 1, free: true},
}

func (l line) missing(header string) (int, error) {
	spaces, previous := 0, l.begin[len(l.begin)-1]
	for i := len(l.begin); i < len(header); i++ {
		switch c := header[i]; {
		case c == '\n' && previous == '\r' && i+1 >= l.shortest:
			return 0, nil
		case !l.allows(previous, c, spaces):
			return 0, errLine
		case c == ' ':
			spaces++
		}
		previous = header[i]
	}
	if len(header) >= maxV1 {
		return 0, errLong
	}
	return min(max(l.shortest-len(header), l.tail(previous, spaces)), maxV1-len(header)), nil
}

// allows tells whether c may follow, LF at the end of the line aside.
func (l line) allows(previous, c byte, spaces int) bool {
	switch {
	case c == '\n':
		return false
	case l.free:
		return true
	case previous == '\r':
		return false
	case c == ' ':
		return previous != ' ' && spaces < l.spaces
	case c == '\r':
		return previous != ' ' && spaces == l.spaces
	}
	return strings.IndexByte(l.octets, c) >= 0
}

// tail is the length of the shortest end that a line can still have: CRLF, behind
// a space and a digit for each missing field.
func (l line) tail(previous byte, spaces int) int {
	if previous == '\r' {
		return len("\n")
	}
	return max(0, l.spaces-spaces)*len(" 0") + len("\r\n")
}

const signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"

// Version 2: the signature, version and command, family and transport, and the
// length of what follows in two octets.
const (
	atCommand = len(signatureV2)
	atFamily  = atCommand + 1
	atLength  = atFamily + 1
	fixedV2   = atLength + 2
)

// The commands and families of version 2. For LOCAL the family says nothing, but
// one that isn't defined "must be rejected as invalid".
const (
	commandLocal = 0x20
	commandProxy = 0x21
	familyTCP4   = 0x11
	familyTCP6   = 0x21
	families     = "\x00\x11\x12\x21\x22\x31\x32"
)

func missingV2(header []byte) (int, error) {
	if len(header) > atCommand {
		switch c := header[atCommand]; {
		case c>>4 != 2:
			return 0, errVersion
		case c != commandLocal && c != commandProxy:
			return 0, errCommand
		}
	}
	if len(header) > atFamily && !familyAllowed(header[atCommand], header[atFamily]) {
		return 0, errFamily
	}
	if len(header) > atLength && int(header[atLength])<<8 > maxBlock {
		return 0, errLong
	}
	if len(header) < fixedV2 {
		return fixedV2 - len(header), nil
	}
	block := int(header[atLength])<<8 | int(header[atLength+1])
	switch {
	case block > maxBlock:
		return 0, errLong
	case header[atCommand] == commandProxy && block < addressesV2(header):
		return 0, errShort
	}
	return fixedV2 + block - len(header), nil
}

func familyAllowed(command, family byte) bool {
	if command == commandLocal {
		return strings.IndexByte(families, family) >= 0
	}
	return family == familyTCP4 || family == familyTCP6
}

// addressesV2 is how many octets the two addresses and ports take.
func addressesV2(header []byte) int {
	if header[atFamily] == familyTCP4 {
		return 4 + 4 + 2 + 2
	}
	return 16 + 16 + 2 + 2
}
