package pop3test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"postern/pop3"
)

// shown is how much a report shows of octets that are no line.
const shown = 400

// expectLine waits for a line. What came is noted, whether it was wanted or not.
func (p *player) expectLine(s step) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	line, err := c.Line()
	if err != nil {
		p.noteOctets(s.wire, []byte(line))
		return p.explain(err)
	}
	if !s.matches.MatchString(line) {
		return fmt.Errorf("got  %s", spoken(s.wire, line))
	}
	p.note(spoken(s.wire, line))
	return nil
}

func (p *player) expectOctets(s step) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	got, err := c.Octets(len(s.octets))
	if bytes.Equal(got, s.octets) {
		p.note(s.text)
		return nil
	}
	same := 0
	for same < len(got) && got[same] == s.octets[same] {
		same++
	}
	p.noteOctets(s.wire, got)
	if err != nil {
		return fmt.Errorf("%d of %d octets came: %w", len(got), len(s.octets), p.explain(err))
	}
	return fmt.Errorf("octet %d is 0x%02x, want 0x%02x", same, got[same], s.octets[same])
}

func (p *player) expectFin(s step) error { return p.expect(s, io.EOF) }
func (p *player) expectRst(s step) error { return p.expect(s, syscall.ECONNRESET) }
func (p *player) expectEnd(s step) error { return p.expect(s, io.EOF, syscall.ECONNRESET) }

// expect waits for one of the ends.
func (p *player) expect(s step, ends ...error) error {
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	err = c.End()
	for _, end := range ends {
		if errors.Is(err, end) {
			c.ended = true
			p.note(s.text)
			return nil
		}
	}
	return p.explain(err)
}

// quiet watches a connection or, where there is none, a backend.
func (p *player) quiet(s step) error {
	c := p.wires[s.wire]
	if s.wire.backend && (c == nil || c.ended) {
		return p.undialled(s)
	}
	c, err := p.conn(s)
	if err != nil {
		return err
	}
	if err := c.Quiet(s.duration); err != nil {
		return err
	}
	p.note(s.text)
	return nil
}

func (p *player) undialled(s step) error {
	if s.wire.number > len(p.arrivals) {
		return fmt.Errorf("there are %d backends", len(p.arrivals))
	}
	<-time.After(s.duration)
	if len(p.arrivals[s.wire.number-1]) > 0 {
		return errors.New("the gateway dials")
	}
	p.note(s.text)
	return nil
}

// spoken writes a line that came as a transcript would: raw where it could not be
// seen or would mean something else.
func spoken(w wire, line string) string {
	hidden := !utf8.ValidString(line) || pop3.HasControl([]byte(line)) || strings.HasSuffix(line, " ")
	if hidden || strings.HasSuffix(line, "...") {
		return spokenRaw(w, []byte(line+"\r\n"))
	}
	return strings.TrimSuffix(gateway(w, ":", "")+" "+line, " ")
}

// spokenRaw does the same for octets that are no line.
func spokenRaw(w wire, octets []byte) string {
	return fmt.Sprintf("%s %q", gateway(w, "-raw:", "-raw:"), octets)
}

// gateway is the label of what the gateway says on w.
func gateway(w wire, toClient, toBackend string) string {
	if w.backend {
		return "b" + w.suffix() + ">" + toBackend
	}
	return "S" + w.suffix() + toClient
}

func (p *player) noteOctets(w wire, octets []byte) {
	if len(octets) > 0 {
		p.note(spokenRaw(w, octets[:min(len(octets), shown)]))
	}
}

// explain says what an error of the wire means for the transcript.
func (p *player) explain(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("got  a fin: %w", err)
	case errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("got  a rst: %w", err)
	case errors.Is(err, ErrNothing):
		return fmt.Errorf("got  nothing within %v: %w", p.timeout, err)
	}
	return err
}
