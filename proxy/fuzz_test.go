package proxy

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/directory"
	"postern/proxy/limits"
)

// canary is in the passwords of the seeds, and may be in no record.
const canary = "c4n4ry"

// FuzzSession plays whole sessions against the dialogue: any octets of a client, cut
// anywhere, with a directory and a backend that answer as the input says. It holds that
//
//   - each command has one reply, in time and before the next;
//   - nobody is dialled and no backend hears anything before there are credentials;
//   - nothing that was said before a TLS handshake is obeyed or remembered after it;
//   - no password is in a record, also where the backend repeats it;
//   - what a session holds is bounded, and it comes to an end.
func FuzzSession(f *testing.F) {
	for i, said := range transcriptClients(f) {
		f.Add(uint16(i*37), []byte{byte(i), 3, 200}, said, []byte{0, byte(i), 1, byte(i * 7)})
		f.Add(uint16(0), []byte{255}, said, []byte{})
	}
	for _, said := range []string{
		headerFor("203.0.113.1") + "USER alice\r\nPASS " + canary + "\r\n",
		headerV2(byProxy, "203.0.113.1", overTLS) + "AUTH PLAIN " + b64("\x00alice\x00"+canary) + "\r\n",
		"USER alice\r\nSTLS\r\nPASS " + canary + "\r\n", "XCLIENT ADDR=127.0.0.1\r\nUSER alice\r\nPASS " + canary + "\r\n",
		"AUTH LOGIN\r\n" + b64("alice") + "\r\n" + b64(canary) + "\r\n", "AUTH PLAIN\r\n*\r\nAUTH LOGIN =\r\n",
		"AUTH XOAUTH2 " + b64("user=alice\x01auth=Bearer "+canary+"\x01\x01") + "\r\n\r\nQUIT\r\n",
		"AUTH OAUTHBEARER\r\n" + b64("n,a=alice,\x01auth=Bearer "+canary+"\x01\x01") + "\r\nAQ==\r\nCAPA\r\n",
	} {
		for setup := range uint16(12) {
			f.Add(setup<<4|setup, []byte{7, 0, 255}, []byte(said), []byte{0, 0, 0, 4, 4, 3, 1, byte(setup), 3, 1})
		}
	}
	before, inside := "USER alice\r\nSTLS\r\n", "PASS "+canary+"\r\nAUTH LOGIN\r\nCAPA\r\nUSER alice\r\nPASS "+canary+"\r\n"
	f.Add(uint16(64), []byte{byte(len(before) - 1), 9}, []byte(before+inside), []byte{})
	f.Fuzz(func(t *testing.T, setup uint16, cuts, said, script []byte) {
		newFuzzed(t, setup, cuts, said, script).play()
	})
}

// transcriptClients is what the clients of all transcripts say.
func transcriptClients(f *testing.F) (all [][]byte) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no transcripts", err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var said []byte
		for line := range strings.Lines(string(script)) {
			line = strings.ReplaceAll(strings.TrimRight(line, "\n"), "secret", canary)
			if text, ok := strings.CutPrefix(line, "C: "); ok {
				said = append(said, text+"\r\n"...)
			}
			if raw, ok := strings.CutPrefix(line, "C-raw: "); ok {
				quoted, _ := strconv.QuotedPrefix(raw)
				text, _ := strconv.Unquote(quoted)
				said = append(said, text...)
			}
		}
		all = append(all, said)
	}
	return all
}

// fuzzed drives one dialogue as a session does.
type fuzzed struct {
	t      *testing.T
	d      *dialogue
	now    time.Time
	cuts   []byte
	said   []byte // by the client, not taken yet
	script []byte // decides all else
	turns  int

	obeyed   []byte // what the dialogue took as lines
	sinceTLS int    // where in obeyed the clear text ends
	replies  replyCounter
	seated   bool // once, by XCLIENT or a header, so a reply may come of itself
	dialled  bool
	heard    []byte // what the backend heard last
	records  *recorder
	log      bytes.Buffer
}

func newFuzzed(t *testing.T, setup uint16, cuts, said, script []byte) *fuzzed {
	set := testSettings(t)
	set.Mechanisms = allMechanisms()
	set.Plaintext = Plaintext(setup & 3 % 3)
	authPlain := setup&4 != 0
	if authPlain {
		set.Offer = offersPlain
	}
	p := localPeer
	p.hails, p.xclient, p.implicit = setup&8 != 0, setup&16 != 0, setup&32 != 0
	p.stls = setup&64 != 0 && !p.implicit
	if setup&128 != 0 {
		p.address = netip.MustParseAddrPort("192.0.2.7:4711")
	}
	z := &fuzzed{t: t, d: newDialogue(set, p, testGuards(t, set)), cuts: cuts, said: said, script: script}
	z.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	z.records = newRecorder(slog.New(slog.NewTextHandler(&z.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	return z
}

func (z *fuzzed) decide() byte { return take(&z.script) }

func take(p *[]byte) byte {
	if len(*p) == 0 {
		return 0
	}
	first := (*p)[0]
	*p = (*p)[1:]
	return first
}

// play goes on until the dialogue is over.
func (z *fuzzed) play() {
	most := 100 + 3*len(z.said) + 4*len(z.script)
	for ev := (event{kind: evBegin}); ; {
		if z.turns++; z.turns > most {
			z.t.Fatalf("no end after %d turns, in state %d", z.turns, z.d.state)
		}
		next, happened := event{}, false
		for _, in := range z.d.handle(z.now, ev) {
			if ev, ok := z.perform(in); ok && !happened {
				next, happened = ev, true
			}
		}
		z.check()
		if z.d.state == ended || z.d.state == relaying {
			return
		}
		if ev = next; !happened {
			ev = z.next()
		}
	}
}

func (z *fuzzed) perform(in intent) (event, bool) {
	switch in.kind {
	case inWrite:
		if z.d.state != relaying {
			z.replies.take(z.t, in.data)
		}
	case inWriteBackend:
		if !z.dialled {
			z.t.Fatalf("a backend hears %q without a dial", in.data)
		}
		z.heard = append(z.heard[:0], in.data...)
	case inLocate:
		return z.locate(), true
	case inDial:
		z.mayDial()
		if z.decide()%8 == 7 {
			return event{kind: evConnected, err: errors.New("refused")}, true
		}
		z.dialled = true
		return event{kind: evConnected}, true
	case inSeat:
		z.seated = true
		if z.decide()%8 == 7 {
			return event{kind: evSeated, err: limits.ErrAddress}, true
		}
		return event{kind: evSeated}, true
	case inSecure:
		return z.secure(), true
	case inHangUp:
		z.dialled = false
	case inRecord:
		z.records.login(identity{}, z.d.set.Records, in.verdict)
	}
	return event{}, false
}

func (z *fuzzed) locate() event {
	route := owners["alice"]
	switch z.decide() % 8 {
	case 4:
		return event{kind: evLocated, err: directory.ErrUnknown}
	case 5:
		return event{kind: evLocated, err: errors.New("down")}
	case 6:
		route = owners["carol"]
	case 7:
		route = owners["dave"]
	}
	return event{kind: evLocated, route: route}
}

// mayDial holds that credentials were said, inside TLS if there is TLS.
func (z *fuzzed) mayDial() {
	said := bytes.ToUpper(z.obeyed[z.sinceTLS:])
	if !bytes.Contains(said, []byte("PASS ")) && !bytes.Contains(said, []byte("AUTH ")) {
		z.t.Fatalf("dialled after %q", z.obeyed)
	}
	if !z.d.plaintextAllowed() {
		z.t.Fatal("a password was taken in the clear")
	}
}

// secure is the handshake: what the client said up to here must be gone.
func (z *fuzzed) secure() event {
	if z.d.in.Buffered() > 0 {
		z.t.Fatalf("%q waits behind STLS", z.d.in.Pending())
	}
	z.sinceTLS = len(z.obeyed)
	if z.decide()%8 == 7 {
		return event{kind: evSecured, err: errors.New("no handshake")}
	}
	return event{kind: evSecured}
}

// next is what happens while the dialogue waits.
func (z *fuzzed) next() event {
	if z.d.more() {
		return event{kind: evResume}
	}
	w := z.d.wait()
	switch {
	case w.backend:
		return z.backend(w)
	case w.client && !(z.d.state == delaying && z.decide()%2 == 0):
		return z.client(w)
	}
	z.now = w.until
	return event{kind: evTimer}
}

func (z *fuzzed) client(w wait) event {
	if len(z.said) == 0 {
		switch z.decide() % 4 {
		case 1:
			return event{kind: evClientGone}
		case 2:
			z.now = w.until
			return event{kind: evTimer}
		}
		return event{kind: evClientEnd}
	}
	room := z.d.room()
	if room == 0 {
		z.t.Fatalf("state %d waits for the client and has no room", z.d.state)
	}
	n := min(len(z.said), room, scratch, 1+int(take(&z.cuts)))
	data := z.said[:n:n]
	z.said = z.said[n:]
	if z.d.state != hailing {
		z.obeyed = append(z.obeyed, data...)
	}
	return event{kind: evClient, data: data}
}

func (z *fuzzed) backend(w wait) event {
	says := func(s string) event { return event{kind: evBackend, data: []byte(s)} }
	switch b := z.decide(); b % 10 {
	case 1:
		return says("-ERR no\r\n")
	case 2:
		return says("-ERR [IN-USE] no\r\n")
	case 3:
		return says("+ " + b64(`{"status":"400"}`) + "\r\n")
	case 4:
		return says("-ERR what is " + strings.TrimRight(string(z.heard), "\r\n") + "\r\n")
	case 5:
		return says(strings.Repeat("x", 3000))
	case 6:
		return event{kind: evBackendEnd}
	case 7:
		z.now = w.until
		return event{kind: evTimer}
	case 8:
		return says("+ \r\n")
	case 9:
		return says("+OK\r\n+OK\r\n")
	}
	return says("+OK\r\n")
}

// check holds what is true after each event.
func (z *fuzzed) check() {
	d := z.d
	if held := d.in.Buffered(); held > maxPipelined && !d.widened || held > limits.TokenMemory {
		z.t.Fatalf("%d octets are held of the client", held)
	}
	if len(d.out) > 2*maxUnsent {
		z.t.Fatalf("%d octets of replies at once", len(d.out))
	}
	if strings.Contains(z.log.String(), canary) {
		z.t.Fatalf("a record has the password: %s", &z.log)
	}
	if d.client.secured && z.sinceTLS == len(z.obeyed) && (d.named || d.user != "" || d.exchange != nil) {
		z.t.Fatal("something said in the clear holds inside TLS")
	}
	if d.listening() && d.attempt.entry != nil && d.state != conceding {
		z.t.Fatal("something of an attempt is left")
	}
	z.checkReplies()
}

func (z *fuzzed) checkReplies() {
	d, lines, replies := z.d, bytes.Count(z.obeyed, []byte("\n")), z.replies.count
	if d.greeted {
		replies--
	}
	switch {
	case d.state == relaying:
	case d.state == ended: // a last word that answers no line: no room, a line without an end
		if replies > lines+1 || replies > lines && d.ending.why != "line too long" && !z.seated {
			z.t.Fatalf("%d replies to %d lines, ended by %s", replies, lines, d.ending.why)
		}
	default:
		lines -= bytes.Count(d.in.Pending(), []byte("\n"))
		if !d.listening() && d.greeted && d.state != securing { // one is to be answered yet
			lines--
		}
		if replies != lines {
			z.t.Fatalf("%d replies to %d lines in state %d", replies, lines, d.state)
		}
	}
}

// replyCounter counts the answers in what a client hears, lists as one.
type replyCounter struct {
	count  int
	inList bool
}

func (r *replyCounter) take(t *testing.T, data []byte) {
	for line := range bytes.Lines(data) {
		text := string(line)
		switch {
		case !strings.HasSuffix(text, "\r\n"):
			t.Fatalf("half a line: %q", text)
		case r.inList:
			r.inList = text != ".\r\n"
		case strings.HasPrefix(text, "+OK"), strings.HasPrefix(text, "-ERR "), strings.HasPrefix(text, "+ "):
			r.count++
			r.inList = text == "+OK\r\n" || text == "+OK Capability list follows\r\n"
		default:
			t.Fatalf("no reply: %q", text)
		}
	}
}
