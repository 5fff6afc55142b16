package maildrop

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"postern/pop3"
)

// loggedIn is a session with a mailbox of its own.
func loggedIn(t testing.TB, messages ...Message) *session {
	t.Helper()
	box, err := newMailbox("alice", "secret", messages)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{find: func(string) *mailbox { return box }}
	s.handle([]byte("USER alice"), nil)
	if a := s.handle([]byte("PASS secret"), nil); s.state != transaction {
		t.Fatalf("not logged in: %s", a.wire)
	}
	return s
}

func TestNewStored(t *testing.T) {
	for _, c := range []struct {
		body, lines string
		size        int
	}{
		{"", "", 0},
		{"a\n", "a\r\n", 3},
		{"a\r\n", "a\r\n", 3},
		{"a", "a\r\n", 3},
		{".\n", "..\r\n", 3},
		{"..\n.a\nb.\n", "...\r\n..a\r\nb.\r\n", 12},
		{"a\rb\n", "a\rb\r\n", 5},
		{"\x00\xff\n", "\x00\xff\r\n", 4},
	} {
		m := newStored(Message{Body: []byte(c.body)})
		if string(m.lines) != c.lines || m.size != c.size {
			t.Errorf("%q: got %q of %d, want %q of %d", c.body, m.lines, m.size, c.lines, c.size)
		}
	}
}

func TestStoredTop(t *testing.T) {
	const header = "A: 1\r\nB: 2\r\n"
	for _, c := range []struct {
		body string
		n    int
		want string
	}{
		{header + "\r\none\r\ntwo\r\n", 0, header + "\r\n"},
		{header + "\r\none\r\ntwo\r\n", 1, header + "\r\none\r\n"},
		{header + "\r\none\r\ntwo\r\n", 2, header + "\r\none\r\ntwo\r\n"},
		{header + "\r\none\r\ntwo\r\n", 9, header + "\r\none\r\ntwo\r\n"},
		{header + "\r\n\r\n\r\n", 1, header + "\r\n\r\n"},
		{header + "\r\n.\r\n", 1, header + "\r\n..\r\n"},
		{header, 0, header},
		{header, 5, header},
		{header + "\r\n", 5, header + "\r\n"},
		{"\r\none\r\n", 0, "\r\n"},
		{"\r\none\r\n", 1, "\r\none\r\n"},
		{"", 3, ""},
	} {
		if got := newStored(Message{Body: []byte(c.body)}).top(c.n); string(got) != c.want {
			t.Errorf("%q, %d: got %q, want %q", c.body, c.n, got, c.want)
		}
	}
}

// A message of 2 MB is sent from where it lies, however many sessions fetch it.
func TestRetrSharesMessage(t *testing.T) {
	s := loggedIn(t, Message{Body: bytes.Repeat([]byte("0123456789abcde\n"), 1<<17)})
	a := s.handle([]byte("RETR 1"), nil)
	if len(a.wire) != 3 || &a.wire[1][0] != &s.messages[0].lines[0] {
		t.Error("the message was copied")
	}
	if n := testing.AllocsPerRun(10, func() { s.handle([]byte("RETR 1"), nil) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

// QUIT's answer comes after the lock is gone: who hears it may come back at once.
func TestQuitUnlocksFirst(t *testing.T) {
	s := loggedIn(t, Message{Body: []byte("a\n")}, Message{Body: []byte("b\n")})
	box := s.box
	s.handle([]byte("DELE 1"), nil)
	if a := s.handle([]byte("QUIT"), nil); !a.last || box.locked || len(box.messages) != 1 {
		t.Errorf("last %v, locked %v, %d messages", a.last, box.locked, len(box.messages))
	}
	if _, ok := box.lock(); !ok {
		t.Fatal("locked")
	}
	s.release() // of a session that is over: must not touch the next one's lock
	if !box.locked {
		t.Error("an ended session took the lock from the next")
	}
}

func TestUIDs(t *testing.T) {
	same := []byte("Subject: twice\n\n")
	uids := func() []string {
		box, err := newMailbox("a", "b", []Message{{Body: same}, {Body: same}, {UID: "own", Body: same}, {Body: same}, {Body: []byte("other")}})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range box.messages {
			all = append(all, m.uid)
		}
		return all
	}
	first := uids()
	seen := map[string]bool{}
	for _, id := range first {
		if seen[id] || checkUID(id) != nil || id == "" {
			t.Errorf("id %q in %q", id, first)
		}
		seen[id] = true
	}
	if again := uids(); strings.Join(again, " ") != strings.Join(first, " ") {
		t.Errorf("not stable: %q and %q", first, again)
	}
}

// whole cuts an answer that was written into its first line and its body, and
// reports an answer that is not exactly one.
func whole(t *testing.T, a answer, multi bool) (pop3.Reply, []byte) {
	t.Helper()
	wire := bytes.Join(a.wire, nil)
	first, rest, found := bytes.Cut(wire, []byte("\r\n"))
	if !found || len(first)+2 > pop3.MaxResponseLine || pop3.HasControl(first) {
		t.Fatalf("no reply line: %q", wire)
	}
	reply, err := pop3.ParseReply(first)
	if err != nil {
		t.Fatalf("%q: %v", first, err)
	}
	if !multi || !reply.OK {
		if len(rest) > 0 {
			t.Fatalf("behind the reply: %q", rest)
		}
		return reply, nil
	}
	r := bufio.NewReader(bytes.NewReader(rest))
	body, err := pop3.ReadStuffed(r, len(rest))
	if err != nil || r.Buffered() > 0 {
		t.Fatalf("%q: %v, %d octets behind it", rest, err, r.Buffered())
	}
	return reply, body
}

// FuzzSession: whatever lines come, each gets exactly one answer, LIST agrees with STAT and UIDL,
// nobody gets in without the password, and a session without QUIT deletes nothing.
func FuzzSession(f *testing.F) {
	f.Add("USER alice\nPASS secret\nDELE 1\nLIST\nUIDL\nTOP 2 1\nRSET\nRETR 2\nQUIT\n")
	f.Add("CAPA\nUSER alice\nPASS wrong\nPASS secret\nUSER\x00\nLIST 0\n")
	f.Add("USER alice\nPASS secret\nDELE 2\nSTAT\nLIST 2\nTOP 1\n")
	f.Fuzz(func(t *testing.T, input string) {
		box, err := newMailbox("alice", "secret", []Message{{Body: []byte("A: 1\n\n.\n")}, {Body: []byte("B: 2\n\nb\n")}})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{find: func(user string) *mailbox {
			if user == "alice" {
				return box
			}
			return nil
		}}
		in := pop3.NewLineReader(1 << 16)
		in.Write([]byte(input))
		quit := false
		for !quit {
			text, ok, lineErr := in.Next(pop3.MaxCommandLine)
			if !ok && lineErr == nil {
				break
			}
			before := s.state
			quit = feed(t, s, text, lineErr)
			if before == authorization && s.state == transaction && string(text[4:]) != " secret" {
				t.Fatalf("logged in by %q", text)
			}
		}
		asked := quit && s.box == nil && s.state == transaction
		s.release()
		if box.locked || (!asked && len(box.messages) != 2) {
			t.Fatalf("locked %v, %d messages", box.locked, len(box.messages))
		}
	})
}

// feed gives s a line and checks the answer. It tells whether that was the last.
func feed(t *testing.T, s *session, text []byte, lineErr error) (last bool) {
	t.Helper()
	c := pop3.ParseCommand(text)
	alone := len(c.Word()) == 0
	multi := lineErr == nil && (c.Verb == pop3.CAPA || c.Verb == pop3.RETR || c.Verb == pop3.TOP || alone && (c.Verb == pop3.LIST || c.Verb == pop3.UIDL))
	reply, body := whole(t, s.handle(text, lineErr), multi)
	if s.state == transaction && s.box != nil && reply.OK && alone && (c.Verb == pop3.LIST || c.Verb == pop3.UIDL) {
		count, _ := s.sum()
		if n := bytes.Count(body, []byte("\r\n")); n != count {
			t.Fatalf("%s has %d lines, STAT says %d", c.Verb, n, count)
		}
	}
	return c.Verb == pop3.QUIT && lineErr == nil || s.faults >= maxFaults || lineErr == pop3.ErrLineTooLong
}

// The table is the specification of what may be said when: each verb in each state
// gets an answer, and only QUIT ends a session that made no fault.
func TestEveryVerbInEveryState(t *testing.T) {
	for _, verb := range []pop3.Verb{
		pop3.APOP, pop3.AUTH, pop3.CAPA, pop3.DELE, pop3.LANG, pop3.LIST, pop3.NOOP, pop3.PASS, pop3.QUIT,
		pop3.RETR, pop3.RSET, pop3.STAT, pop3.STLS, pop3.TOP, pop3.UIDL, pop3.USER, pop3.UTF8, "XTND",
	} {
		for state, s := range []*session{{find: func(string) *mailbox { return nil }}, loggedIn(t, Message{Body: []byte("a\n")})} {
			a := s.handle([]byte(string(verb)+" 1"), nil)
			reply, err := pop3.ParseReply(bytes.TrimSuffix(a.wire[0], []byte("\r\n")))
			known := table[state][verb] != nil
			if verb != pop3.CAPA && (err != nil || (!known && (reply.OK || !a.fault))) {
				t.Errorf("%s in state %d: %q, known %v", fmt.Sprint(verb), state, a.wire, known)
			}
			if a.last != (verb == pop3.QUIT) {
				t.Errorf("%s in state %d: last is %v", fmt.Sprint(verb), state, a.last)
			}
		}
	}
}
