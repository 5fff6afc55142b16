package backend_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3"
	"postern/pop3/pop3test"
)

// full is what Dovecot answers to CAPA; TOP and UIDL, RESP-CODES, PIPELINING are
// what matters to all.
const (
	full      = "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nSASL PLAIN\r\n.\r\n"
	unpiped   = "+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n.\r\n"
	topless   = "+OK\r\nUIDL\r\nPIPELINING\r\n.\r\n"
	unknown   = "-ERR unknown command\r\n"
	silence   = ""
	trickle   = "+OK\r\n"
	allFour   = "TOP UIDL RESP-CODES PIPELINING"
	noneKnown = "TOP UIDL"
)

// guest is a backend that answers CAPA as it is told, and knows when it was asked.
type guest struct {
	listener *pop3test.PipeListener
	target   backend.Target

	mu    sync.Mutex
	capa  string // silence: nothing is said
	down  bool
	asked []time.Time
	heard []string // the lines of all its sessions
}

// estate is what a learner reaches: it is its Connector.
type estate struct {
	guests map[string]*guest // by address
	mu     sync.Mutex
	live   int
	most   int // connections at once
}

func (e *estate) Dial(ctx context.Context, t backend.Target) (net.Conn, error) {
	g := e.guests[t.Addresses[0]]
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		g.asked = append(g.asked, time.Now())
		return nil, &backend.Error{Kind: backend.Unreachable, Step: backend.Connect}
	}
	conn, err := pop3test.DialPipes(g.listener)(ctx, "tcp", t.Addresses[0])
	e.count(1)
	return counted{conn, e}, err
}

// counted tells its estate when it is closed.
type counted struct {
	net.Conn
	estate *estate
}

func (c counted) Close() error {
	c.estate.count(-1)
	return c.Conn.Close()
}

// found adds a guest, named by its number, to the estate.
func (e *estate) found(t *testing.T, name, capa string) *guest {
	t.Helper()
	address := "192.0.2." + name + ":110"
	l, err := pop3test.ListenPipe(address)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{listener: l, capa: capa, target: backend.Target{Name: "guest-" + name, Addresses: []string{address}}}
	pop3test.ServeBackend(t, l, g.serve)
	if e.guests == nil {
		e.guests = map[string]*guest{}
	}
	e.guests[address] = g
	return g
}

func (g *guest) serve(c *pop3test.Conn) {
	c.SetTimeout(time.Hour)
	g.mu.Lock()
	g.asked = append(g.asked, time.Now())
	g.mu.Unlock()
	for err := c.SendLine("+OK ready"); err == nil; {
		var line string
		if line, err = c.Line(); err != nil {
			return
		}
		g.mu.Lock()
		g.heard = append(g.heard, line)
		answer := g.capa
		g.mu.Unlock()
		switch {
		case line == "QUIT":
			_ = c.SendLine("+OK bye")
			return
		case answer == trickle:
			for err = c.SendLine("+OK"); err == nil; time.Sleep(3 * time.Second) {
				err = c.SendLine("X-MORE")
			}
		case answer != silence:
			err = c.Send([]byte(answer))
		}
	}
}

func (e *estate) count(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.live += n
	e.most = max(e.most, e.live)
}

func (g *guest) set(capa string, down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.capa, g.down = capa, down
}

func (g *guest) times() []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]time.Time(nil), g.asked...)
}

// learn runs a learner to the test's end. The log it returns is complete down to debug.
func learn(t *testing.T, e backend.Connector) (*backend.Learner, *logbook) {
	t.Helper()
	log := new(logbook)
	l := backend.NewLearner(e, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return l, log
}

// logbook is a buffer that a test can read and empty while others write.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logbook) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.text.Reset()
	return b.text.String()
}

// lines are what its sessions heard.
func (g *guest) lines() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.heard...)
}

func targets(guests ...*guest) []backend.Target {
	var all []backend.Target
	for _, g := range guests {
		all = append(all, g.target)
	}
	return all
}

// pass lets time pass, and what is due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func common(l *backend.Learner) string { return listed(l.Common()) }

func listed(c pop3.Capabilities) string {
	_, lines, _ := strings.Cut(string(c.Append(nil)), "\r\n")
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(lines, ".\r\n"), "\r\n"), "\r\n", " ")
}

func TestLearnerBeforeAnyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		g := e.found(t, "1", silence)
		l, _ := learn(t, e)
		if got := common(l); got != noneKnown {
			t.Errorf("of no backend: %s", got)
		}
		l.Sync(targets(g))
		pass(5 * time.Second)
		if _, ok := l.Of("guest-1"); ok || common(l) != noneKnown {
			t.Errorf("before an answer: %v, %s", ok, common(l))
		}
	})
}

// What is common is the intersection of what was ever seen: one that never
// answered doesn't count, one without CAPA counts as TOP and UIDL.
func TestLearnerCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			capas []string
			want  string
		}{
			{[]string{full}, allFour},
			{[]string{full, full}, allFour},
			{[]string{full, unpiped}, "TOP UIDL RESP-CODES"},
			{[]string{topless, full}, "UIDL PIPELINING"},
			{[]string{topless, unpiped}, "UIDL"},
			{[]string{full, unknown}, "TOP UIDL"},
			{[]string{unknown}, "TOP UIDL"},
			{[]string{topless, unknown}, "UIDL"},
			{[]string{full, silence}, allFour},
			{[]string{"+OK\r\n.\r\n", full}, ""},
		} {
			e := &estate{}
			var guests []*guest
			for i, capa := range c.capas {
				guests = append(guests, e.found(t, string(rune('1'+i)), capa))
			}
			l, _ := learn(t, e)
			l.Sync(targets(guests...))
			pass(2 * time.Second)
			if got := common(l); got != c.want {
				t.Errorf("%q: %s, want %s", c.capas, got, c.want)
			}
		}
	})
}

func TestLearnerOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		a, b, c := e.found(t, "1", full), e.found(t, "2", unknown), e.found(t, "3", silence)
		l, _ := learn(t, e)
		l.Sync(targets(a, b, c))
		pass(2 * time.Second)
		for name, want := range map[string]string{"guest-1": allFour + " SASL PLAIN", "guest-2": "TOP UIDL"} {
			if got, ok := l.Of(name); !ok || listed(got) != want {
				t.Errorf("%s: %s, %v", name, listed(got), ok)
			}
		}
		for _, name := range []string{"guest-3", "guest-4", ""} {
			if got, ok := l.Of(name); ok || listed(got) != "" {
				t.Errorf("%q: %s, %v", name, listed(got), ok)
			}
		}
	})
}

// Each is asked within a second of the start, then after about ten minutes, and
// after about half a minute where it failed; and hears CAPA and QUIT each time.
func TestLearnerTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		up, down := e.found(t, "1", full), e.found(t, "2", full)
		down.set(full, true)
		l, _ := learn(t, e)
		start := time.Now()
		l.Sync(targets(up, down))
		pass(3 * time.Hour)
		checkPauses(t, "up", start, up.times(), 9*time.Minute, 11*time.Minute)
		checkPauses(t, "down", start, down.times(), 27*time.Second, 33*time.Second)
		if want := strings.Repeat("CAPA QUIT ", len(up.times())); strings.Join(up.lines(), " ")+" " != want {
			t.Errorf("heard %q", up.lines())
		}

		down.set(full, false)
		back := time.Now()
		pass(34 * time.Second)
		if _, ok := l.Of("guest-2"); !ok {
			t.Error("not asked again soon")
		}
		pass(2 * time.Hour)
		times := down.times()
		for i, at := range times {
			if at.After(back) {
				checkPauses(t, "back", at, times[i+1:], 9*time.Minute, 11*time.Minute)
				break
			}
		}
	})
}

// checkPauses finds the first within a second or the shortest pause, and the
// pauses neither too short, too long nor all the same.
func checkPauses(t *testing.T, name string, start time.Time, times []time.Time, shortest, longest time.Duration) {
	t.Helper()
	if len(times) < 5 {
		t.Fatalf("%s: asked %d times", name, len(times))
	}
	if first := times[0].Sub(start); first > time.Second && (first < shortest || first > longest) {
		t.Errorf("%s: first after %v", name, first)
	}
	pauses := map[time.Duration]bool{}
	for i, at := range times[1:] {
		pause := at.Sub(times[i])
		pauses[pause] = true
		if pause < shortest || pause > longest {
			t.Errorf("%s: pause %v", name, pause)
		}
	}
	if len(pauses) < len(times)/2 {
		t.Errorf("%s: only %d different pauses of %d", name, len(pauses), len(times)-1)
	}
}

// A backend that is down keeps its last answer, and one that came back with
// another gives that.
func TestLearnerKeepsTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &estate{}
		a, b := e.found(t, "1", full), e.found(t, "2", unpiped)
		l, _ := learn(t, e)
		l.Sync(targets(a, b))
		pass(2 * time.Second)
		b.set(full, true)
		pass(2 * time.Hour)
		if got := common(l); got != "TOP UIDL RESP-CODES" {
			t.Errorf("while one is down: %s", got)
		}
		if got, ok := l.Of("guest-2"); !ok || listed(got) != "TOP UIDL RESP-CODES" {
			t.Errorf("what is down: %s, %v", listed(got), ok)
		}
		b.set("-ERR [SYS/TEMP] starting\r\n", false)
		pass(time.Minute)
		if got := common(l); got != "TOP UIDL RESP-CODES" {
			t.Errorf("while one starts: %s", got)
		}
		b.set(full, false)
		pass(time.Minute)
		if got := common(l); got != allFour {
			t.Errorf("when it is back: %s", got)
		}
		b.set(unknown, false)
		pass(12 * time.Minute)
		if got := common(l); got != "TOP UIDL" {
			t.Errorf("when it was replaced: %s", got)
		}
	})
}
