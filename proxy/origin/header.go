package origin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// HeaderReader takes the PROXY header off the first octets of a connection. It is
// fed by Input and never reads by itself, like pop3.LineReader.
//
// The header is required: an octet that can't stand where it stands is an error at
// once, so that whoever speaks another protocol isn't waited for. What the fields
// say (addresses and ports of version 1, the TLVs of version 2) is judged when the
// header is complete.
type HeaderReader struct {
	header []byte
	room   int
	origin Origin
	err    error
}

// NewHeaderReader returns a reader at the beginning of a connection.
func NewHeaderReader() *HeaderReader { return &HeaderReader{room: shortestHeader} }

// Room tells how many octets the header lacks at least, so it is how many may be
// read from the connection without taking one of what comes behind the header: who
// reads no more has nothing to give back before a TLS handshake. It is 0 when the header
// is complete or refused.
func (r *HeaderReader) Room() int { return r.room }

// Input takes of p what belongs to the header and tells how many octets those
// were. p[taken:] belongs to the next protocol, unless the header is refused: then
// nothing of the connection is of use.
func (r *HeaderReader) Input(p []byte) (taken int) {
	for taken < len(p) && r.room > 0 {
		n := min(r.room, len(p)-taken)
		r.header = append(r.header, p[taken:taken+n]...)
		taken += n
		r.room, r.err = missing(r.header)
	}
	if r.room == 0 && r.header != nil {
		r.finish()
	}
	return taken
}

// Result tells what the header said. done is false as long as octets are missing;
// with an error the connection has to be closed.
func (r *HeaderReader) Result() (o Origin, done bool, err error) {
	return r.origin, r.room == 0, r.err
}

func (r *HeaderReader) finish() {
	if r.err == nil {
		r.origin, r.err = parse(r.header)
	}
	r.header = nil
}

var (
	errFamily    = errors.New("PROXY header for something else than TCP over IPv4 or IPv6")
	errDisagreed = errors.New("PROXY header ends elsewhere for its parser")
)

// parse reads a complete header. That the parser stops where missing said the
// header ends is checked, because two opinions on that would let a client write
// commands into the peer's header.
func parse(header []byte) (Origin, error) {
	octets := bytes.NewReader(header)
	buffered := bufio.NewReaderSize(octets, len(header)) // version 1 has to be in one buffer
	h, err := proxyproto.Read(buffered)
	switch {
	case err != nil:
		return Origin{}, fmt.Errorf("parsing the PROXY header: %w", err)
	case octets.Len()+buffered.Buffered() > 0:
		return Origin{}, errDisagreed
	case h.Command.IsLocal() && h.Version == 1: // how the parser reports UNKNOWN
		return Origin{}, nil
	case h.Command.IsLocal(): // its addresses and TLVs "must be discarded"
		return Origin{Local: true}, nil
	}
	source, destination, ok := h.TCPAddrs()
	if !ok {
		return Origin{}, errFamily
	}
	o := Origin{Client: plain(source.AddrPort()), Server: plain(destination.AddrPort())}
	if h.Version == 2 {
		err = o.readTLVs(header)
	}
	if err != nil {
		return Origin{}, fmt.Errorf("parsing the PROXY header: %w", err)
	}
	return o, nil
}

// plain is IPv4 without its IPv6 form, so that one client has one address in
// limits, networks and records.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
