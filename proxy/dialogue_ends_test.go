package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestDialogueClientEnds(t *testing.T) {
	t.Run("a FIN before login", func(t *testing.T) {
		b := begin(t)
		b.event(event{kind: evClientEnd})
		b.says("end by client: fin")
	})
	t.Run("what was said before a FIN is answered", func(t *testing.T) {
		b := begin(t)
		b.client("USER nobody", "PASS x", "CAPA", "QUIT")
		b.event(event{kind: evClientEnd})
		b.says("S: +OK Send PASS")
		b.expire()
		if last := b.heard[len(b.heard)-2:]; b.heard[0] != noSuch || last[0] != "S: +OK Bye" {
			t.Errorf("got %q", b.heard)
		}
	})
	t.Run("a reset while a refusal waits", func(t *testing.T) {
		b := begin(t)
		b.client("USER nobody", "PASS x")
		b.heard = nil
		b.event(event{kind: evClientGone})
		b.says("end by client: reset")
	})
	t.Run("a reset while the backend judges", func(t *testing.T) {
		b := begin(t)
		b.enter()
		b.event(event{kind: evClientGone})
		b.says("hang up", "end by client: reset")
	})
	t.Run("silence", func(t *testing.T) {
		b := begin(t)
		b.expire()
		b.says("end by gateway: login timeout")
	})
	t.Run("silence is not broken by one octet now and then", func(t *testing.T) {
		b := begin(t)
		until := b.d.wait().until
		b.now = b.now.Add(time.Minute)
		b.event(event{kind: evClient, data: []byte("U")})
		if !b.d.wait().until.Equal(until) {
			t.Error("a single octet moved the login deadline")
		}
	})
	t.Run("stopped from outside", func(t *testing.T) {
		b := begin(t)
		b.enter()
		b.event(event{kind: evStop})
		b.says("hang up", "end by gateway: stopped")
	})
}

// What a connection holds before login is bounded, whatever it sends.
func TestDialogueBounds(t *testing.T) {
	t.Run("pipelined input", func(t *testing.T) {
		b := begin(t)
		b.client("USER nobody", "PASS x")
		for b.d.wait().client {
			b.event(event{kind: evClient, data: []byte(strings.Repeat("NOOP\r\n", 50))})
		}
		if held := b.d.in.Buffered(); held != maxPipelined {
			t.Errorf("holds %d octets, then stops reading; want %d", held, maxPipelined)
		}
	})
	t.Run("replies", func(t *testing.T) {
		b := begin(t)
		intents := b.d.handle(b.now, event{kind: evClient, data: []byte(strings.Repeat("CAPA\r\n", 600))})
		if n := len(intents[0].data); n > maxUnsent+200 || !b.d.more() {
			t.Errorf("%d octets of replies at once", n)
		}
		b.heard = nil
		b.event(event{kind: evResume})
		if got := strings.Count(strings.Join(b.heard, "\n"), "S: ."); got+maxUnsent/90 < 500 {
			t.Errorf("%d further answers to CAPA", got)
		}
	})
}

// A secret isn't printed with the state it is in.
func TestDialogueDoesNotPrintSecrets(t *testing.T) {
	b := begin(t)
	b.client("USER alice", "PASS hunter2")
	a := b.d.attempt
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if s := fmt.Sprintf(format, a.credentials); strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74657232") {
			t.Errorf("%s prints it: %s", format, s)
		}
	}
	if s := fmt.Sprintf("%+v", a); strings.Contains(s, "hunter2") {
		t.Errorf("the attempt prints it: %s", s)
	}
}
