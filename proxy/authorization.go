package proxy

import (
	"postern/pop3"
)

// handler obeys one command. It writes nothing: what it returns is the one reply,
// or a wait that ends in one.
type handler func(*dialogue, pop3.Command) step

// authorization is THE table of what may be said before login, and when: before
// and after USER. NOOP and everything about messages belongs to the TRANSACTION
// state (RFC 1939, section 5); APOP can't be offered, since its challenge is sent before
// the backend is known.
var authorization = map[pop3.Verb]struct{ anonymous, named handler }{
	pop3.CAPA: {capa, capa},
	pop3.USER: {user, user},
	pop3.PASS: {passFirst, pass},
	pop3.AUTH: {auth, auth},
	pop3.STLS: {stls, stls},
	pop3.QUIT: {quit, quit},
	// These change the session for good before anybody knows whether its backend
	// can do so; see the decision on it. After login they are the backend's.
	pop3.UTF8: {notYet, notYet},
	pop3.LANG: {notYet, notYet},
	// From proxies that are believed only; nobody else learns that it exists.
	pop3.XCLIENT: {xclient, xclient},
}

// outcome says what a step does to the session.
type outcome uint8

const (
	stay  outcome = iota
	wrong         // one off the budget of bad commands
	leave         // the session ends
	await         // no reply yet
)

// step is what a command came to.
type step struct {
	outcome outcome
	reply   pop3.Reply
	list    []byte // a multi-line answer in place of the reply
}

func answer(r pop3.Reply) step   { return step{reply: r} }
func mistaken(text string) step  { return step{outcome: wrong, reply: pop3.Reply{Text: text}} }
func positive(text string) step  { return answer(pop3.Reply{OK: true, Text: text}) }
func multiline(list []byte) step { return step{list: list} }

// obey finds a line's handler. A line with octets that belong in no line is a bad
// command; one that looks like HTTP ends the session, see pop3.LooksLikeHTTP.
func (d *dialogue) obey(line []byte, fault error) step {
	switch {
	case d.state == challenging:
		return d.respond(line) // what belongs in no line isn't base64 either
	case d.state == conceding:
		return d.concede()
	case fault != nil:
		d.release() // of an AUTH that is none
		return mistaken("Invalid characters in command")
	}
	if pop3.LooksLikeHTTP(line) {
		d.ending.why = "http"
		return step{outcome: leave, reply: pop3.Reply{Text: "This is a POP3 server"}}
	}
	cmd := pop3.ParseCommand(line)
	row, known := authorization[cmd.Verb]
	switch {
	case !known:
		return mistaken("Unknown command")
	case d.named:
		return row.named(d, cmd)
	}
	return row.anonymous(d, cmd)
}

// take writes a step's reply, if it is one, and counts.
func (d *dialogue) take(s step) {
	switch {
	case s.outcome == await:
		return
	case s.list != nil:
		d.out = append(d.out, s.list...)
	default:
		d.say(s.reply)
	}
	switch s.outcome {
	case leave:
		by := byGateway
		if d.ending.why == "quit" {
			by = byClient
		}
		d.end(by, d.ending.why)
	case wrong:
		if d.bad++; d.bad >= maxBadCommands {
			d.end(byGateway, "bad commands")
		}
	}
}

// capa lists what is true (RFC 2449): of the gateway itself, and of every backend
// that was ever asked, since nobody knows yet which one it will be.
func capa(d *dialogue, _ pop3.Command) step {
	c := d.set.Common()
	c.User, c.SASL = d.plaintextAllowed(), d.offered()
	c.STLS = d.peer.stls && !d.client.secured
	c.AuthRespCode = true
	return multiline(c.Append(nil))
}

// user remembers the name; whether it exists is not looked up before PASS, and
// the answer is the same for all names (RFC 1939, section 13).
func user(d *dialogue, cmd pop3.Command) step {
	d.named = false
	name := cmd.Word()
	switch {
	case !d.plaintextAllowed():
		return answer(pop3.Reply{Text: needsTLS})
	case len(name) == 0:
		return mistaken("USER needs a name")
	}
	d.user, d.named = string(name), true
	if d.set.EagerConnect {
		d.emit(inPrepare, nil)
	}
	return positive("Send PASS")
}

func passFirst(*dialogue, pop3.Command) step { return mistaken("Send USER first") }

func pass(d *dialogue, cmd pop3.Command) step {
	if len(cmd.Arg()) == 0 {
		return mistaken("PASS needs a password")
	}
	if pop3.HasControl([]byte(d.user)) || pop3.HasControl(cmd.Arg()) {
		d.refuse()
		return step{outcome: await}
	}
	d.login(pop3.Credentials{User: d.user, Secret: pop3.NewSecret(cmd.Arg())})
	return step{outcome: await}
}

func notYet(*dialogue, pop3.Command) step {
	return answer(pop3.Reply{Text: "Not before login"})
}

// needsTLS is what who may not send a password hears: on another connection it may.
const needsTLS = "Passwords are taken over TLS only"

func quit(d *dialogue, _ pop3.Command) step {
	d.ending.why = "quit"
	return step{outcome: leave, reply: pop3.Reply{OK: true, Text: "Bye"}}
}

// Plaintext says where a password may travel unencrypted.
type Plaintext uint8

// The values of auth.plaintext.
const (
	PlaintextLoopback Plaintext = iota // only where the socket's peer is this machine
	PlaintextNever
	PlaintextAlways
)
