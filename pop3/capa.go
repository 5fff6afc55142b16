package pop3

import (
	"bytes"
	"errors"
	"slices"
)

// Capabilities are the facts behind an answer to CAPA. UTF8 and LANG (RFC 6856)
// are not among them: they change the session before anybody knows its backend.
type Capabilities struct {
	User         bool // USER and PASS are taken (RFC 2449, section 6.2)
	Top          bool
	UIDL         bool
	RespCodes    bool        // RFC 2449, section 6.4
	AuthRespCode bool        // RFC 3206
	Pipelining   bool        // RFC 2449, section 6.6
	STLS         bool        // RFC 2595, section 4
	SASL         []Mechanism // RFC 5034, section 3; each once
}

// saslTag is the tag whose arguments are mechanisms.
const saslTag = "SASL"

// facts lists what a tag alone says, in the order in which it is written.
func (c *Capabilities) facts() [7]fact {
	return [...]fact{
		{"TOP", &c.Top},
		{"UIDL", &c.UIDL},
		{"USER", &c.User},
		{"RESP-CODES", &c.RespCodes},
		{"AUTH-RESP-CODE", &c.AuthRespCode},
		{"PIPELINING", &c.Pipelining},
		{"STLS", &c.STLS},
	}
}

type fact struct {
	tag     string
	offered *bool
}

// Append writes the whole answer, multi-line and dot-terminated.
func (c Capabilities) Append(dst []byte) []byte {
	dst = append(dst, "+OK Capability list follows\r\n"...)
	for _, row := range c.facts() {
		if *row.offered {
			dst = append(append(dst, row.tag...), "\r\n"...)
		}
	}
	if len(c.SASL) > 0 {
		dst = append(dst, saslTag...)
		for _, m := range c.SASL {
			dst = append(append(dst, ' '), m...)
		}
		dst = append(dst, "\r\n"...)
	}
	return append(dst, terminator...)
}

// Intersect returns what both offer of that which only a backend can keep: TOP,
// UIDL, RESP-CODES and PIPELINING. All else is about the connection that the list
// was given on, and is not in the result.
func (c Capabilities) Intersect(other Capabilities) Capabilities {
	return Capabilities{
		Top:        c.Top && other.Top,
		UIDL:       c.UIDL && other.UIDL,
		RespCodes:  c.RespCodes && other.RespCodes,
		Pipelining: c.Pipelining && other.Pipelining,
	}
}

// maxCapabilityLines is several times what any server lists.
const maxCapabilityLines = 100

// ErrCapabilities says that a capability list has no end.
var ErrCapabilities = errors.New("capability list too long")

// CapabilityReader gathers a server's capability list, line by line. It holds the
// facts only, however long the list.
type CapabilityReader struct {
	found Capabilities
	lines int
}

// Take reads one line behind the +OK to CAPA, without its end, until it returns
// done for the terminating dot. Tags are taken in any case; what isn't known is
// passed over.
func (r *CapabilityReader) Take(line []byte) (done bool, err error) {
	if string(line) == "." {
		return true, nil
	}
	if r.lines++; r.lines > maxCapabilityLines {
		return false, ErrCapabilities
	}
	tag, arguments, _ := bytes.Cut(line, []byte{' '})
	if isWord(tag, saslTag) {
		r.addMechanisms(arguments)
		return false, nil
	}
	for _, row := range r.found.facts() {
		if isWord(tag, row.tag) {
			*row.offered = true
		}
	}
	return false, nil
}

func (r *CapabilityReader) addMechanisms(names []byte) {
	for name := range bytes.FieldsSeq(names) {
		m, known := ParseMechanism(name)
		if known && !slices.Contains(r.found.SASL, m) {
			r.found.SASL = append(r.found.SASL, m)
		}
	}
}

// Capabilities returns what was found so far.
func (r *CapabilityReader) Capabilities() Capabilities { return r.found }
