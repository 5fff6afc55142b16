package proxy

import (
	"errors"
	"fmt"

	"postern/pop3"
	"postern/proxy/limits"
	"postern/proxy/origin"
)

// This file is what comes before the first command: who the client is, by a PROXY
// header or XCLIENT of a peer that is believed, and TLS.

// begin waits for the header of a peer that has to send one, else for TLS or a command.
func (d *dialogue) begin() {
	d.loginBy = d.now.Add(d.set.Login)
	if d.peer.hails {
		d.state, d.until = hailing, d.now.Add(d.set.Handshake)
		return
	}
	d.welcome()
}

// hail reads the PROXY header. It is required where it is believed: a connection without
// a whole one is closed without a word, since nobody knows whose it is.
func (d *dialogue) hail(data []byte) {
	d.header.Input(data)
	o, done, err := d.header.Result()
	switch {
	case err != nil:
		d.end(byGateway, "bad PROXY header")
	case done:
		d.client.local, d.client.unnamed = o.Local, !o.Local && !o.Client.IsValid()
		if o.Client.IsValid() {
			d.client.address = o.Client
			d.peer.xclient = limits.Contains(d.peer.believed, o.Client.Addr()) // the peer is no proxy of mail
		}
		d.client.encrypted = o.TLS != nil
		d.client.session = o.UniqueID
		d.header = nil
		d.seat()
	}
}

// seat has the session counted as that of the client that the peer speaks for.
func (d *dialogue) seat() {
	d.state = seating
	d.flush()
	d.emit(inSeat, nil)
}

func (d *dialogue) seated(err error) {
	if d.state != seating {
		return
	}
	switch {
	case err == nil && d.greeted:
		d.say(pop3.Reply{OK: true, Text: "Updated"}) // XCLIENT's one answer
		d.state = authorizing
	case err == nil:
		d.welcome()
	case errors.Is(err, errNotAllowed): // silently, as at accept
		d.end(byGateway, "not allowed")
	case d.peer.implicit && !d.client.secured: // whoever expects TLS can't read a reply
		d.end(byGateway, "no room")
	default:
		d.say(tooMany)
		d.end(byGateway, "no room")
	}
}

// welcome greets the client, behind the handshake where TLS comes first.
func (d *dialogue) welcome() {
	if d.peer.implicit && !d.client.secured {
		d.secure()
		return
	}
	d.greeted = true
	d.state = authorizing
	text := "postern ready"
	if d.peer.xclient {
		text = "[XCLIENT] " + text // so Dovecot knows that it may send one
	}
	d.say(pop3.Reply{OK: true, Text: text})
}

// secure begins TLS, which holds more memory than a session without.
func (d *dialogue) secure() {
	if !d.guards.ticket.Grow(limits.TLSMemory) {
		d.end(byGateway, "gave way")
		return
	}
	d.state, d.until = securing, d.now.Add(d.set.Handshake)
	d.flush()
	d.emit(inSecure, nil)
}

// secured goes on behind the handshake. No command that was said before holds: it was
// said by whoever could write on the line (RFC 2595, section 4).
func (d *dialogue) secured(err error) {
	if d.state != securing {
		return
	}
	if err != nil {
		by := byClient
		if !d.now.Before(d.until) {
			by = byGateway
		}
		d.end(by, "tls handshake")
		return
	}
	d.user, d.named, d.exchange = "", false, nil
	d.client.encrypted, d.client.secured = true, true
	if d.greeted {
		d.state = authorizing
		return
	}
	d.welcome()
}

// stls begins TLS. What was sent behind the command was sent in the clear, and by
// whom nobody knows: it ends the session and is never obeyed (CVE-2011-0411 and
// its many relatives).
func stls(d *dialogue, _ pop3.Command) step {
	switch {
	case !d.peer.stls || d.client.secured:
		return mistaken("Unknown command")
	case d.in.Buffered() > 0:
		d.ending.why = "data behind STLS"
		return step{outcome: leave, reply: pop3.Reply{Text: "Nothing may follow STLS"}}
	}
	d.say(pop3.Reply{OK: true, Text: "Begin TLS"})
	d.secure()
	return step{outcome: await}
}

// xclient takes a proxy's word for who its client is. For all others the command doesn't exist.
func xclient(d *dialogue, cmd pop3.Command) step {
	if !d.peer.xclient {
		return mistaken("Unknown command")
	}
	x, err := origin.ParseXCLIENT(cmd.Arg())
	switch {
	case errors.Is(err, origin.ErrLoop):
		d.ending.why = "proxies loop"
		return step{outcome: leave, reply: pop3.Reply{Code: pop3.SysTemp, Text: "Proxies loop"}}
	case err != nil:
		return mistaken("Invalid parameters")
	}
	d.user, d.named = "", false
	if x.Client.IsValid() {
		d.client.address = x.Client
	}
	if x.Session != "" {
		d.client.session = x.Session
	}
	if x.HasTTL {
		d.client.ttl = x.TTL
	}
	d.client.encrypted = d.client.secured || x.Encrypted
	d.seat()
	return step{outcome: await}
}

// plaintextAllowed tells whether a password may be said now. This machine's own
// clients are those whose both ends are here, whatever a header says of one.
func (d *dialogue) plaintextAllowed() bool {
	switch {
	case d.client.encrypted || d.set.Plaintext == PlaintextAlways:
		return true
	case d.set.Plaintext == PlaintextLoopback:
		return !d.client.unnamed && d.peer.address.Addr().IsLoopback() && d.client.address.Addr().IsLoopback()
	}
	return false
}

// via names the peer in records where the client is another.
func (d *dialogue) via() string {
	if d.client.address == d.peer.address {
		return ""
	}
	return fmt.Sprint(d.peer.address)
}
