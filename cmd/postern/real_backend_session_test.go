// Sessions that meet something while they run.

package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// resetInTheMidst cuts a message. The client may not take it for whole, and the session may
// leave nothing behind.
func resetInTheMidst(t *testing.T) {
	w := newWard(t, wardOptions{
		path:     &realtest.Path{ResetAfter: 1 << 20},
		messages: []realtest.Message{realtest.LargeMessage("sick", 4<<20)},
	})
	w.login("well@example.com", "secret")
	before := w.footprint()
	for number := range 6 {
		reading := w.stay(number)
		if answer, err := reading.Command("RETR 1"); err != nil {
			continue // a reset overtakes what the gateway hasn't read yet: all of it, this time
		} else if !strings.HasPrefix(answer, "+OK") {
			t.Errorf("RETR hears %q", answer)
		}
		message, err := reading.Message()
		if err == nil || len(message) > 2<<20 {
			t.Errorf("a message that was cut arrives with %d octets (%v)", len(message), err)
		}
		if strings.Contains(string(message), "-ERR") {
			t.Errorf("the gateway has put a word into the message")
		}
	}
	w.comesBackTo(before)
	w.neverOpened()
	w.way.Change(realtest.Path{})
	w.getsIn(0, slack)
}

// staleSession is a client that comes back before anybody noticed that it had gone.
func staleSession(t *testing.T) {
	w := newWard(t, wardOptions{
		victim: realtest.VictimOptions{LockSession: true}, timeouts: "drain: 5s",
		backends: "  replace_stale: 2s",
	})
	old := w.stay(0)
	time.Sleep(2500 * time.Millisecond)
	young := w.stay(0)
	if err := old.End(); err != nil {
		t.Errorf("the old session: %v", err)
	}
	w.awaitLog("reason=replaced")
	if count, err := young.Count(); err != nil || count != 1 {
		t.Errorf("the new session sees %d messages (%v)", count, err)
	}
	quit(t, young)
}

// busySession is one that is not silent: it stays, and the other hears so.
func busySession(t *testing.T) {
	w := newWard(t, wardOptions{
		victim: realtest.VictimOptions{LockSession: true}, timeouts: "drain: 5s",
		backends: "  replace_stale: 10m",
	})
	old := w.stay(0)
	if h := w.login(sickUser(0), "secret"); !strings.HasPrefix(h.answer, "-ERR [IN-USE] ") {
		t.Errorf("a second session hears %q after %v", h.answer, h.after)
	}
	if count, err := old.Count(); err != nil || count != 1 {
		t.Errorf("the first session sees %d messages (%v)", count, err)
	}
	quit(t, old)
	w.neverOpened()
}

const hugeSize = 64 << 20

// drain says the operator's word through the API.
func (w *ward) drain(deadline string) {
	w.t.Helper()
	answer, err := w.api.Post("http://localhost/api/v1/backends/sick/drain?deadline="+deadline, "", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		w.t.Fatalf("draining: %s", answer.Status)
	}
}

// awaitLog waits for a record of the gateway.
func (w *ward) awaitLog(words string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(w.process.LogTail(1<<20), words); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("no record with %q", words)
		}
	}
}

// drainedInTheMidst ends a session in the midst of a message: the message arrives whole,
// then comes the word.
func drainedInTheMidst(t *testing.T) {
	huge := realtest.LargeMessage("sick", hugeSize)
	w := newWard(t, wardOptions{messages: []realtest.Message{huge}, users: 1})
	reading := w.stay(0)
	if _, err := reading.Must("RETR 1"); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	err := reading.CopyTo(&slowDown{to: sum, at: hugeSize / 4 * 3, then: func() {
		w.drain("100ms")
		w.expectTemporary([]heard{w.login(sickUser(1), "secret")}, slack)
		w.awaitLog("sessions of a drained backend ended")
	}}, len(huge.Wire())) // no line of it begins with a dot
	if want := realtest.Sum(huge.Wire()); err != nil || hex.EncodeToString(sum.Sum(nil)) != want {
		t.Errorf("the message arrives with another sum (%v)", err)
	}
	if rest, err := reading.Message(); err != nil || len(rest) > 0 {
		t.Errorf("and does not end: %q (%v)", rest, err)
	}
	if err := reading.End(); err == nil || !strings.Contains(err.Error(), "-ERR [SYS/TEMP] ") {
		t.Errorf("behind the message comes %v, want a word", err)
	}
	w.awaitLog("reason=drained")
}

// drainedUnread is a client that doesn't go on reading: nothing is put into its message.
func drainedUnread(t *testing.T) {
	w := newWard(t, wardOptions{messages: []realtest.Message{realtest.LargeMessage("sick", hugeSize)}, users: 1})
	reading := w.stay(0)
	if _, err := reading.Must("RETR 1"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	w.drain("100ms")
	w.awaitLog("reason=drained")
	message, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer message.Close()
	if size, err := reading.MessageTo(message); err == nil {
		t.Errorf("the message comes to an end, with %d octets", size)
	}
	last := make([]byte, 200)
	if at, err := message.Seek(-200, io.SeekEnd); err != nil {
		t.Fatal(err)
	} else if _, err := message.ReadAt(last, at); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if strings.Contains(string(last), "-ERR") {
		t.Errorf("the gateway has put a word into the message: %q", last)
	}
}

// slowDown is a reader of a message to whom something happens in the midst of it.
type slowDown struct {
	to   io.Writer
	seen int
	at   int
	then func()
}

func (s *slowDown) Write(p []byte) (int, error) {
	before := s.seen
	s.seen += len(p)
	if before < s.at && s.seen >= s.at {
		s.then()
	}
	return s.to.Write(p)
}
