package relay

import (
	"io"
	"time"
)

// parting is how a relay shall end that somebody outside wants to end.
type parting struct {
	why  string
	word []byte
}

// What a client that is told something has for reading it.
const (
	wordTime     = time.Second // to write it
	farewellTime = time.Second // until the client's own end
	farewellData = 64 << 10    // octets that are thrown away meanwhile
)

// End ends the relay for the reason why. Where the session is certainly between
// two commands, now or within grace, the client gets word first, a whole reply with its CRLF.
// Else both connections are closed without one: a word of ours in the midst of a message would
// become part of somebody's mail. The backend hears no QUIT, so nothing is deleted
// (RFC 1939, section 6). It may take a second where the client reads nothing. The first call
// counts, but a later one may shorten the grace.
func (p *Relay) End(why string, word []byte, grace time.Duration) {
	p.mu.Lock()
	if p.parting == nil {
		p.parting = &parting{why, word}
	}
	p.mu.Unlock()
	if !p.part() {
		time.AfterFunc(grace, p.cut)
	}
}

// Standing tells whether commands are outstanding, and the last verb where it was a known one.
func (p *Relay) Standing() (outstanding int, verb string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.framing.count, p.framing.verb
}

// Silent tells how long nothing was delivered in either direction.
func (p *Relay) Silent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Silent(time.Now())
}

// passing notes what is about to be written, and tells whether it may be: behind our
// own word nothing is.
func (p *Relay) passing(d Direction, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.machine.Over():
		return false
	case d == ToBackend:
		p.framing.asked(data)
	default:
		p.writing = true
	}
	return true
}

// passed notes that what was written is written.
func (p *Relay) passed(d Direction) {
	if d != ToClient {
		return
	}
	p.mu.Lock()
	p.writing = false
	parting := p.parting != nil
	p.mu.Unlock()
	if parting {
		p.part()
	}
}

// part ends the relay with a word if it shall end and can have one now. It tells
// whether the relay is over.
func (p *Relay) part() bool {
	p.mu.Lock()
	over := p.machine.Over()
	ready := !over && p.parting != nil && !p.writing && p.framing.between() && !p.machine.lingering()
	if ready {
		p.machine.Parted(p.parting.why)
	}
	p.mu.Unlock()
	if ready {
		p.farewell()
	}
	return over || ready
}

// cut ends the relay without a word, unless it is over.
func (p *Relay) cut() {
	p.mu.Lock()
	over := p.machine.Over()
	p.machine.Parted(p.parting.why)
	p.mu.Unlock()
	if !over {
		p.close()
	}
}

// farewell says the word and waits a moment for the client's end. To close a socket with unread
// data resets it, and the reset would overtake the word; so what the client says is thrown
// away meanwhile, by the direction that reads it.
func (p *Relay) farewell() {
	client := p.conns[Client]
	_ = p.conns[Backend].Close()
	time.AfterFunc(farewellTime, p.close)
	_ = client.SetWriteDeadline(time.Now().Add(wordTime))
	if _, err := client.Write(p.parting.word); err != nil {
		p.close()
		return
	}
	if c, ok := client.(halfCloser); ok {
		_ = c.CloseWrite()
	}
}

// ignoreClient throws away what the client says behind our word.
func (p *Relay) ignoreClient() {
	p.mu.Lock()
	parted := p.parting != nil && p.machine.Over()
	p.mu.Unlock()
	if parted {
		_, _ = io.CopyN(io.Discard, p.conns[Client], farewellData)
	}
}
