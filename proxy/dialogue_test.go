package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
	"postern/proxy/limits"
)

// table drives a dialogue by events and writes down what it wants, so that a test
// reads like the session it is.
type table struct {
	t     *testing.T
	d     *dialogue
	now   time.Time
	heard []string // what the client heard, what the backend heard, and the other intents
	// locate answers in place of owners.
	locate func(directory.Query) (directory.Route, error)
}

var owners = map[string]directory.Route{
	"alice": {Mailbox: "alice@example.com", Login: "alice@example.com", Backend: &backend.Target{Name: "guest-01"}},
	"bob":   {Mailbox: "bob@example.com", Login: "bob", Backend: &backend.Target{Name: "guest-02"}},
	"carol": {Mailbox: "carol@example.com", Login: "carol", State: directory.Suspended, Backend: &backend.Target{Name: "guest-01"}},
	"dave":  {Mailbox: "dave@example.com", Login: "dave", State: directory.Moving, Backend: &backend.Target{Name: "guest-01"}},
}

func testSettings(t testing.TB) *Settings {
	t.Helper()
	none, err := backend.CompileRefusals(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Settings{
		Plaintext: PlaintextLoopback, FailureDelay: 3 * time.Second, MaxFailures: 3,
		Login: 2 * time.Minute, Backend: 10 * time.Second, BackendLogin: 30 * time.Second,
		Handshake: 10 * time.Second, Idle: 15 * time.Minute, Linger: 30 * time.Second,
		Mechanisms: []pop3.Mechanism{pop3.PLAIN, pop3.LOGIN},
		Limits:     limits.Rules{Sessions: 10000, PerAddress: 200, PerMailbox: 20},
		Refusals:   none,
		Common:     func() pop3.Capabilities { return pop3.Capabilities{Top: true, UIDL: true} },
		Offer:      func(string) pop3.Capabilities { return pop3.Capabilities{} },
		Suspect:    func(string) {},
	}
}

var localPeer = peer{address: netip.MustParseAddrPort("127.0.0.1:4711")}

func testGuards(t testing.TB, set *Settings) guards {
	t.Helper()
	seat, err := limits.NewCensus().Enter(localPeer.address.Addr(), &set.Limits)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := limits.NewWaiting(limits.Bounds{}).Enter(limits.SessionMemory, func() {})
	if err != nil {
		t.Fatal(err)
	}
	return guards{
		pace: newPace(), penalties: limits.NewPenalties(), intervals: limits.NewIntervals(), seat: seat, ticket: ticket,
		origin: func(*dialogue) backend.Origin { return backend.Origin{} },
	}
}

func begin(t *testing.T, change ...func(*Settings)) *table {
	t.Helper()
	set := testSettings(t)
	for _, c := range change {
		c(set)
	}
	b := &table{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.d = newDialogue(set, localPeer, testGuards(t, set))
	b.event(event{kind: evBegin})
	b.says("S: +OK postern ready")
	return b
}

// event hands one event over, and goes on until the dialogue waits for a peer.
func (b *table) event(ev event) {
	b.t.Helper()
	intents := b.d.handle(b.now, ev)
	var locate bool
	for _, in := range intents {
		switch in.kind {
		case inWrite:
			b.hear("S: ", in.data)
		case inWriteBackend:
			b.hear("b> ", in.data)
		case inLocate:
			locate = true
		case inDial:
			b.heard = append(b.heard, "dial "+b.d.target().Name)
		case inHangUp:
			b.heard = append(b.heard, "hang up")
		case inRelay:
			b.heard = append(b.heard, fmt.Sprintf("relay %q", b.d.leftover()))
		case inEnd:
			b.heard = append(b.heard, fmt.Sprintf("end by %s: %s", b.d.ending.by, b.d.ending.why))
		}
	}
	switch {
	case locate:
		route, err := b.located(b.d.query())
		b.event(event{kind: evLocated, route: route, err: err})
	case b.d.more():
		b.event(event{kind: evResume})
	}
}

func (b *table) located(q directory.Query) (directory.Route, error) {
	if b.locate != nil {
		return b.locate(q)
	}
	route, ok := owners[q.User]
	if !ok {
		return route, directory.ErrUnknown
	}
	return route, nil
}

func (b *table) hear(who string, data []byte) {
	for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\r\n"), "\r\n") {
		b.heard = append(b.heard, who+line)
	}
}

func (b *table) says(want ...string) {
	b.t.Helper()
	got := strings.Join(b.heard, "\n")
	if got != strings.Join(want, "\n") {
		b.t.Fatalf("got\n%s\n\nwant\n%s", got, strings.Join(want, "\n"))
	}
	b.heard = nil
}

func (b *table) client(lines ...string) {
	b.t.Helper()
	b.event(event{kind: evClient, data: []byte(strings.Join(lines, "\r\n") + "\r\n")})
}

func (b *table) connected() { b.t.Helper(); b.event(event{kind: evConnected}) }

func (b *table) backend(line string) {
	b.t.Helper()
	b.event(event{kind: evBackend, data: []byte(line + "\r\n")})
}

// pass lets time go by until what the dialogue waits for.
func (b *table) expire() {
	b.t.Helper()
	b.now = b.d.wait().until
	b.event(event{kind: evTimer})
}

const noSuch = "S: -ERR [AUTH] Wrong user name or password"

// enter brings a dialogue to where the backend judges alice's password.
func (b *table) enter() {
	b.t.Helper()
	b.client("USER alice", "PASS secret")
	b.says("S: +OK Send PASS", "dial guest-01")
	b.connected()
	b.backend("+OK ready")
	b.says("b> USER alice@example.com")
	b.backend("+OK")
	b.says("b> PASS secret")
}

func TestDialogueLogin(t *testing.T) {
	b := begin(t)
	b.enter()
	b.event(event{kind: evClient, data: []byte("STAT\r\nLI")}) // held back until then
	b.says()
	b.event(event{kind: evBackend, data: []byte("+OK Logged in.\r\n+OK more\r\n")})
	b.says("S: +OK Logged in.", "S: +OK more", `relay "STAT\r\nLI"`)
}

func TestDialogueSendsNothingBehindPassBeforeTheVerdict(t *testing.T) {
	b := begin(t)
	b.client("USER alice", "PASS secret", "STAT", "QUIT")
	b.says("S: +OK Send PASS", "dial guest-01")
	b.connected()
	b.backend("+OK")
	b.says("b> USER alice@example.com")
	b.backend("+OK")
	b.says("b> PASS secret")
	b.backend("+OK")
	b.says("S: +OK", `relay "STAT\r\nQUIT\r\n"`)
}

func TestDialogueRefusedLoginLeavesNothing(t *testing.T) {
	b := begin(t)
	b.enter()
	b.now = b.now.Add(40 * time.Millisecond)
	b.backend("-ERR [AUTH] that backend's own words")
	b.says("hang up")
	if want := b.now.Add(3*time.Second - 40*time.Millisecond); !b.d.wait().until.Equal(want) {
		t.Fatalf("told at %v, want %v", b.d.wait().until, want)
	}
	b.expire()
	b.says(noSuch)
	b.client("PASS again") // the user is forgotten too
	b.says("S: -ERR Send USER first")
	b.client("USER bob", "PASS other")
	b.says("S: +OK Send PASS", "dial guest-02")
	b.connected()
	b.backend("+OK")
	b.says("b> USER bob")
	b.backend("+OK")
	b.says("b> PASS other")
	b.backend("+OK in")
	b.says("S: +OK in", `relay ""`)
}

func TestDialogueRefusalFallsOnTheNextMultiple(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond:              3 * time.Second,
		3 * time.Second:               3 * time.Second,
		3*time.Second + 1:             6 * time.Second,
		4500 * time.Millisecond:       6 * time.Second,
		9*time.Second + 1*time.Second: 12 * time.Second,
	} {
		b := begin(t)
		b.enter()
		pass := b.now
		b.now = pass.Add(took)
		b.backend("-ERR no")
		b.says("hang up")
		if got := b.d.wait().until.Sub(pass); got != want {
			t.Errorf("a refusal after %v is told after %v, want %v", took, got, want)
		}
	}
}

func TestDialogueRefusalsByCode(t *testing.T) {
	for answer, want := range map[string]string{
		"-ERR [IN-USE] locked by pid 12":   "S: -ERR [IN-USE] The mailbox is in use by another session",
		"-ERR [LOGIN-DELAY] wait":          "S: -ERR [LOGIN-DELAY] Too soon after the last login",
		"-ERR [SYS/TEMP] disk":             "S: -ERR [SYS/TEMP] The mail server can't be reached, try again later",
		"-ERR [SYS/PERM] gone":             "S: -ERR [SYS/PERM] The mailbox can't be opened, ask your provider",
		"+OKAY":                            "S: -ERR [SYS/TEMP] The mail server can't be reached, try again later",
		"+OK \x00":                         "S: -ERR [SYS/TEMP] The mail server can't be reached, try again later",
		"+OK " + strings.Repeat("x", 3000): "S: -ERR [SYS/TEMP] The mail server can't be reached, try again later",
	} {
		b := begin(t)
		b.enter()
		b.backend(answer)
		b.says("hang up", want)
		b.client("QUIT")
		b.says("S: +OK Bye", "end by client: quit")
	}
}

const cantReach = "S: -ERR [SYS/TEMP] The mail server can't be reached, try again later"

func TestDialogueBackendFaults(t *testing.T) {
	t.Run("no connection", func(t *testing.T) {
		b := begin(t)
		b.client("USER alice", "PASS secret")
		b.says("S: +OK Send PASS", "dial guest-01")
		b.event(event{kind: evConnected, err: &backend.Error{Kind: backend.Unreachable, Step: backend.Connect}})
		b.says(cantReach)
	})
	t.Run("each step can hang", func(t *testing.T) {
		for heard, limit := range map[int]time.Duration{0: 10 * time.Second, 1: 30 * time.Second, 2: 30 * time.Second} {
			b := begin(t)
			b.client("USER alice", "PASS secret")
			b.connected()
			for range heard {
				b.backend("+OK")
			}
			b.heard = nil
			if got := b.d.wait(); !got.backend || got.until.Sub(b.now) != limit {
				t.Errorf("step %d: waits for the backend %v until %v", heard, got.backend, got.until.Sub(b.now))
			}
			b.expire()
			b.says("hang up", cantReach)
		}
	})
	t.Run("each step can end", func(t *testing.T) {
		for heard := range 3 {
			b := begin(t)
			b.client("USER alice", "PASS secret")
			b.connected()
			for range heard {
				b.backend("+OK")
			}
			b.heard = nil
			b.event(event{kind: evBackendEnd, err: errors.New("reset")})
			b.says("hang up", cantReach)
		}
	})
	t.Run("greets with -ERR", func(t *testing.T) {
		b := begin(t)
		b.client("USER alice", "PASS secret")
		b.connected()
		b.heard = nil
		b.backend("-ERR [AUTH] go away")
		b.says("hang up", cantReach)
	})
	t.Run("login deadline", func(t *testing.T) {
		b := begin(t, func(s *Settings) { s.Login = 5 * time.Second })
		b.client("USER alice", "PASS secret")
		b.connected()
		b.heard = nil
		b.expire()
		b.says("hang up", "S: -ERR [SYS/TEMP] The login took too long, try again later", "end by gateway: login timeout")
	})
}

func TestDialogueStates(t *testing.T) {
	t.Run("moving", func(t *testing.T) {
		b := begin(t)
		b.client("USER dave", "PASS secret")
		b.says("S: +OK Send PASS", "S: -ERR [SYS/TEMP] The mailbox is being moved, try again later")
	})
	t.Run("suspended, right password", func(t *testing.T) {
		b := begin(t)
		b.client("USER carol", "PASS secret")
		b.connected()
		b.backend("+OK")
		b.backend("+OK")
		b.heard = nil
		b.backend("+OK")
		b.says("hang up", "S: -ERR [SYS/PERM] The mailbox is suspended")
	})
	t.Run("suspended, wrong password", func(t *testing.T) {
		b := begin(t)
		b.client("USER carol", "PASS secret")
		b.connected()
		b.backend("+OK")
		b.backend("+OK")
		b.heard = nil
		b.backend("-ERR")
		b.says("hang up")
		b.expire()
		b.says(noSuch)
	})
}

func TestDialogueDirectoryFaultsAreNeverAuth(t *testing.T) {
	for _, fault := range []error{
		directory.ErrNotReady, errors.New("boom"), fmt.Errorf("x: %w", directory.ErrLogin),
		&directory.NoBackendError{Mailbox: "x@example.com", Backend: "nowhere"},
	} {
		b := begin(t)
		b.d.handle(b.now, event{kind: evClient, data: []byte("USER x\r\nPASS y\r\n")})
		b.event(event{kind: evLocated, err: fault})
		b.says(cantReach)
	}
}

func TestDialogueMaxFailures(t *testing.T) {
	b := begin(t)
	for range 2 {
		b.client("USER nobody", "PASS x")
		b.says("S: +OK Send PASS")
		b.expire()
		b.says(noSuch)
	}
	b.client("USER nobody", "PASS x")
	b.says("S: +OK Send PASS")
	b.expire()
	b.says(noSuch, "end by gateway: failed logins")
}

func TestDialoguePlaintext(t *testing.T) {
	const no = "S: -ERR Passwords are taken over TLS only"
	for _, tt := range []struct {
		plaintext Plaintext
		loopback  bool
		want      string
	}{
		{PlaintextNever, true, no},
		{PlaintextLoopback, false, no},
		{PlaintextLoopback, true, "S: +OK Send PASS"},
		{PlaintextAlways, false, "S: +OK Send PASS"},
	} {
		b := begin(t, func(s *Settings) { s.Plaintext = tt.plaintext })
		if !tt.loopback {
			b.d.peer.address = netip.MustParseAddrPort("192.0.2.1:4711")
		}
		b.client("USER alice")
		b.says(tt.want)
		b.client("CAPA")
		if offered := strings.Contains(strings.Join(b.heard, "\n"), "S: USER"); offered != (tt.want != no) {
			t.Errorf("plaintext %d, loopback %v: CAPA offers USER: %v", tt.plaintext, tt.loopback, offered)
		}
	}
}

// offersPlain is what a backend is known to offer that takes AUTH PLAIN.
func offersPlain(string) pop3.Capabilities {
	return pop3.Capabilities{SASL: []pop3.Mechanism{pop3.PLAIN}}
}
