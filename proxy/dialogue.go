package proxy

import (
	"net/netip"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
	"postern/proxy/origin"
)

// What a connection may hold before login.
const (
	maxPipelined = 4096 // octets the client sent ahead; then reading stops
	maxUnsent    = 2048 // octets of replies; then no further command is read
)

// lastWord is how long the last reply of a session may take to be sent.
const lastWord = time.Second

// maxBadCommands ends a session: whoever sends three things that are no POP3 is
// no POP3 client.
const maxBadCommands = 3

// state tells what the dialogue is waiting for.
type state uint8

const (
	hailing     state = iota // the PROXY header
	seating                  // the limits' word on the client that it named
	securing                 // the TLS handshake
	authorizing              // a command
	challenging              // the answer to a SASL challenge
	conceding                // the answer to the challenge that tells why a token is refused
	locating                 // the directory
	queueing                 // the backend's leave to log in
	dialing                  // a connection to the backend
	entering                 // the backend's answers to the login
	replacing                // the end of an old session of the mailbox
	delaying                 // the time at which a refusal may be told
	relaying                 // nothing more: the relay has the session
	ended
)

// eventKind says what happened.
type eventKind uint8

const (
	evBegin          eventKind = iota // the client is connected
	evClient                          // the client sent data
	evClientEnd                       // the client will send no more (FIN)
	evClientGone                      // the client can't be reached (RST, a failed write)
	evResume                          // what was to be written is written
	evSeated                          // the client of the header has a place, or err
	evSecured                         // the TLS handshake is done, or err
	evLocated                         // route, or err
	evAdmitted                        // the backend may be logged in to, or err
	evConnected                       // the backend is connected, or err
	evBackendSecured                  // the TLS handshake with the backend is done, or err
	evReplaced                        // old sessions of the mailbox are over, or err: there were none
	evBackend                         // the backend sent data
	evBackendEnd                      // the backend's connection ended: err, or nil for a FIN
	evTimer                           // wait's time has come
	evStop                            // somebody outside ends the session
)

// event is one thing that happened. data is read before handle returns.
type event struct {
	kind  eventKind
	data  []byte
	route directory.Route
	err   error
}

// intentKind says what the driver shall do.
type intentKind uint8

const (
	inWrite         intentKind = iota // data to the client
	inWriteBackend                    // data to the backend
	inLocate                          // ask the directory for query(); evLocated
	inPrepare                         // the user is named: what may be made ready may be
	inEnter                           // get target()'s leave to log in; evAdmitted
	inFinish                          // give it back, with the outcome
	inDial                            // connect to target(); evConnected
	inSecureBackend                   // TLS handshake with the backend; evBackendSecured
	inReplace                         // end stale sessions of the mailbox; evReplaced
	inSeat                            // count the session as client's from now on; evSeated
	inSecure                          // TLS handshake with the client; evSecured
	inHangUp                          // close the backend's connection
	inRecord                          // log the verdict of a login
	inRelay                           // splice; leftover() goes to the backend first
	inEnd                             // close the client's connection
)

// tidies tells whether the intent has to be carried out whatever else happened.
func (k intentKind) tidies() bool { return k == inHangUp || k == inRecord || k == inFinish }

// intent is one thing to do. data is valid until the next handle.
type intent struct {
	kind    intentKind
	data    []byte
	verdict *verdict
	outcome backend.Outcome // of inFinish
	stay    bool            // of inFinish: a session follows
}

// wait is what the driver waits for when it has done everything: octets from one
// of the two sides, or a time.
type wait struct {
	client, backend bool
	until           time.Time
}

// dialogue is one session up to the relay, as a state machine. It owns no socket,
// no clock and no goroutine: a driver tells it what happened and does what it
// says, so that a test is a table of events, and goroutines and an event loop can
// drive the same machine.
//
// Each command ends in exactly one reply, written in the order of the commands:
// while an answer is awaited, no further command is read. Two edges lead
// back: a refused login closes the backend's connection and returns to
// authorizing, and nothing of the attempt remains.
type dialogue struct {
	set      *Settings
	guards   guards
	peer     peer
	client   client
	state    state
	header   *origin.HeaderReader // of a peer that has to send one
	in       *pop3.LineReader
	out      []byte
	flushed  int // so much of out is in an intent
	intents  []intent
	now      time.Time
	loginBy  time.Time // the whole authorization phase, not each read
	until    time.Time // the step that is under way
	finished bool      // the client sent FIN; what it said before is still answered
	user     string    // what USER gave; only with named
	named    bool      // USER was said
	greeted  bool
	widened  bool           // the reader may hold a token
	exchange *pop3.Exchange // of AUTH, while challenging
	bad      int
	failures int
	attempts int // logins
	attempt  attempt
	ending   ending
}

// peer is who is connected, and what the listener wants of it.
type peer struct {
	address       netip.AddrPort
	hails         bool           // sends a PROXY header, and is believed
	xclient       bool           // may send XCLIENT, and is believed
	believed      []netip.Prefix // whose XCLIENT is
	implicit      bool           // TLS from the first octet
	stls          bool           // TLS can be had
	defaultDomain string
}

// client is who speaks through the peer: the peer itself, unless it was believed to speak
// for somebody else.
type client struct {
	address   netip.AddrPort
	encrypted bool   // on the whole way, as far as anybody can tell
	secured   bool   // by our own TLS
	local     bool   // the peer's own health check
	unnamed   bool   // the peer doesn't know who it is
	session   string // the proxy's id of the session, from XCLIENT
	ttl       int    // how many more proxies it allows, from XCLIENT; 0: it didn't say
}

func newDialogue(set *Settings, p peer, g guards) *dialogue {
	d := &dialogue{set: set, guards: g, peer: p, client: client{address: p.address}}
	d.in = pop3.NewLineReader(maxPipelined)
	if p.hails {
		d.header = origin.NewHeaderReader()
	}
	return d
}

// handle takes one event and returns what to do, in that order. The intents and
// their data are valid until the next call.
func (d *dialogue) handle(now time.Time, ev event) []intent {
	d.now, d.out, d.flushed, d.intents = now, d.out[:0], 0, d.intents[:0]
	d.happen(ev)
	d.converse()
	d.flush()
	return d.intents
}

func (d *dialogue) happen(ev event) {
	switch ev.kind {
	case evBegin:
		d.begin()
	case evClient:
		d.fromClient(ev.data)
	case evClientEnd:
		d.clientEnded()
	case evClientGone:
		d.end(byClient, "reset")
	case evSeated:
		d.seated(ev.err)
	case evSecured:
		d.secured(ev.err)
	case evLocated:
		d.located(ev.route, ev.err)
	case evAdmitted:
		d.admitted(ev.err)
	case evConnected:
		d.connected(ev.err)
	case evBackendSecured:
		d.backendSecured(ev.err)
	case evReplaced:
		d.replacedOld(ev.err)
	case evBackend:
		d.fromBackend(ev.data)
	case evBackendEnd:
		d.backendEnded(ev.err)
	case evTimer:
		d.timer()
	case evStop:
		d.end(byGateway, "stopped")
	case evResume: // converse does the rest
	}
}

func (d *dialogue) fromClient(data []byte) {
	if d.state == hailing {
		d.hail(data)
		return
	}
	d.in.Write(data)
}

func (d *dialogue) clientEnded() {
	d.finished = true
	if d.state == hailing {
		d.end(byClient, "fin")
	}
}

// listening tells whether the next line of the client is obeyed now.
func (d *dialogue) listening() bool {
	return d.state == authorizing || d.state == challenging || d.state == conceding
}

// converse obeys the commands that are there until one has to wait.
func (d *dialogue) converse() {
	for d.listening() && len(d.out) < maxUnsent {
		line, ok, err := d.in.Next(d.lineLimit())
		switch {
		case err == pop3.ErrLineTooLong:
			d.say(pop3.Reply{Text: "Line too long"})
			d.end(byGateway, "line too long")
		case ok:
			d.take(d.obey(line, err))
		case d.finished:
			d.end(byClient, "fin")
		default:
			return
		}
	}
}

// more tells whether handle stopped only to have its replies written first.
func (d *dialogue) more() bool { return d.listening() && len(d.out) >= maxUnsent }

// wait tells what the driver waits for.
func (d *dialogue) wait() wait {
	switch d.state {
	case authorizing, challenging, conceding:
		return wait{client: true, until: d.loginBy}
	case hailing:
		return wait{client: true, until: earlier(d.until, d.loginBy)}
	case delaying: // the client is read only to notice that it left
		return wait{client: d.in.Room() > 0 && !d.finished, until: d.until}
	default:
		return wait{backend: d.state == entering, until: earlier(d.until, d.loginBy)}
	}
}

// writeBy is when a reply has to be out: behind the login deadline there is a moment for
// the one that says so.
func (d *dialogue) writeBy() time.Time {
	if d.now.After(d.loginBy) {
		return d.now.Add(lastWord)
	}
	return d.loginBy.Add(lastWord)
}

// room tells how much the client may send now.
func (d *dialogue) room() int {
	if d.state == hailing {
		return d.header.Room() // not one octet more: what is behind may be TLS
	}
	return d.in.Room()
}

func (d *dialogue) timer() {
	switch {
	case d.state == delaying:
		d.delayed()
	case d.state == hailing || d.state == securing:
		d.end(byGateway, "login timeout")
	case d.listening() && !d.now.Before(d.loginBy):
		d.end(byGateway, "login timeout") // RFC 1939, section 3: no response
	case d.listening():
	case !d.now.Before(d.loginBy):
		d.fail(loginTimedOut, nil)
	case d.now.Before(d.until):
	case d.state == entering:
		d.stopEntry(backend.TimedOut, nil)
	default:
		d.backendFailed(&backend.Error{Kind: backend.TimedOut, Step: backend.Connect})
	}
}

func (d *dialogue) say(r pop3.Reply) { d.out = r.Append(d.out) }

// flush turns the replies gathered so far into one write. It comes before any
// intent that takes time.
func (d *dialogue) flush() {
	if unsent := d.out[d.flushed:]; len(unsent) > 0 {
		d.flushed = len(d.out)
		d.emit(inWrite, unsent)
	}
}

func (d *dialogue) emit(kind intentKind, data []byte) {
	d.intents = append(d.intents, intent{kind: kind, data: data})
}

// end says the last word of the dialogue: what is unsaid is written, both connections are closed.
func (d *dialogue) end(by party, why string) {
	if d.state == ended {
		return
	}
	d.hangUp()
	d.forget()
	d.exchange = nil
	d.in.Wipe()
	d.flush()
	d.state, d.ending = ended, ending{by: by, why: why}
	d.emit(inEnd, nil)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
