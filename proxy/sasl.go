package proxy

import (
	"errors"
	"slices"

	"postern/pop3"
	"postern/proxy/limits"
	"postern/proxy/origin"
)

// auth lists the mechanisms, or begins one (RFC 5034). The list without argument is
// what RFC 1734's successors kept, and what Outlook asks for.
func auth(d *dialogue, cmd pop3.Command) step {
	word, initial := cmd.Words()
	if len(word) == 0 {
		return multiline(d.mechanismList())
	}
	mechanism, known := pop3.ParseMechanism(word)
	switch {
	case !known || !slices.Contains(d.set.Mechanisms, mechanism):
		return mistaken("Unknown authentication mechanism")
	case !d.plaintextAllowed():
		return answer(pop3.Reply{Text: needsTLS})
	}
	d.user, d.named = "", false
	d.exchange = pop3.NewExchange(mechanism)
	if !d.hold(mechanism) {
		d.ending.why = "no memory for a token"
		return step{outcome: leave, reply: tooMany}
	}
	return d.exchanged(d.exchange.Initial(initial))
}

// mechanismList is what AUTH and CAPA offer, none where a password may not be said.
func (d *dialogue) mechanismList() []byte {
	list := []byte("+OK\r\n")
	for _, m := range d.offered() {
		list = append(append(list, m...), "\r\n"...)
	}
	return append(list, ".\r\n"...)
}

func (d *dialogue) offered() []pop3.Mechanism {
	if !d.plaintextAllowed() {
		return nil
	}
	return d.set.Mechanisms
}

// respond takes the answer to a challenge.
func (d *dialogue) respond(line []byte) step { return d.exchanged(d.exchange.Respond(line)) }

// exchanged goes where a SASL exchange has come to.
func (d *dialogue) exchanged(challenge string, done bool, err error) step {
	switch {
	case err == nil && !done:
		d.state = challenging
		return multiline(pop3.AppendChallenge(nil, challenge))
	case err == nil:
		credentials := d.exchange.Credentials()
		d.exchange = nil
		if d.widened { // the line is through; the token counts until it is judged
			d.in.SetMax(maxPipelined)
		}
		d.login(credentials)
		return step{outcome: await}
	}
	d.exchange, d.state = nil, authorizing
	d.release()
	switch {
	case errors.Is(err, pop3.ErrCanceled):
		return answer(pop3.Reply{Text: "Authentication canceled"})
	case errors.Is(err, pop3.ErrBase64), errors.Is(err, pop3.ErrMessage):
		return mistaken("Invalid authentication data")
	}
	d.refuse() // well formed, but nothing that could be passed on: as a wrong password
	return step{outcome: await}
}

// hold makes room for a token, which is longer than all that may be said otherwise.
func (d *dialogue) hold(m pop3.Mechanism) bool {
	if !m.OAuth() || d.widened {
		return true
	}
	if !d.guards.ticket.Grow(limits.TokenMemory) {
		return false
	}
	d.widened = true
	d.in.SetMax(pop3.MaxLine(m))
	return true
}

// release gives that room back, when the token is gone.
func (d *dialogue) release() {
	if d.widened {
		d.widened = false
		d.in.SetMax(maxPipelined)
		d.guards.ticket.Grow(-limits.TokenMemory)
	}
}

// lineLimit is how long the next line may be. AUTH's initial response and XCLIENT
// are longer than commands may be (RFC 2449), where they are offered at all.
func (d *dialogue) lineLimit() int {
	switch d.state {
	case challenging:
		return d.exchange.MaxLine()
	case conceding:
		return pop3.MaxLine(d.attempt.credentials.Mechanism)
	}
	pending := d.in.Pending()
	if d.peer.xclient && pop3.BeginsWith(pending, "XCLIENT ") {
		return origin.MaxXCLIENTLine
	}
	for _, m := range d.offered() {
		if pop3.BeginsWith(pending, "AUTH "+string(m)+" ") && d.hold(m) {
			return pop3.MaxLine(m)
		}
	}
	return pop3.MaxCommandLine
}
