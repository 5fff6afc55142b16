package proxy

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/pop3/pop3test"
)

const partingText = "-ERR [SYS/TEMP] The session is ended by the mail system, try again later"

// inside logs in and returns the session's id.
func (y *yard) in(t *testing.T, n int, user string) (*pop3test.Client, string) {
	t.Helper()
	c, reply, _ := y.login(t, n, user)
	if reply != "+OK in" {
		t.Fatalf("%s hears %q", user, reply)
	}
	for _, s := range y.List() {
		if s.Client.Addr().String() == from(n) {
			return c, s.ID
		}
	}
	t.Fatalf("no session of %s", user)
	return nil, ""
}

// Between two commands a session that is kicked hears why at once, and its record says it too.
func TestKickBetweenTwoCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, maildropOf(0), nil)
		c, id := y.in(t, 1, "alice")
		says(t, c, "NOOP", "+OK")
		begin := time.Now()
		if n := y.Kick([]string{id, "nobody's", id}, "moved"); n != 2 || time.Since(begin) != 0 {
			t.Errorf("%d kicked, after %v", n, time.Since(begin))
		}
		expectLine(t, c, partingText)
		expectEnd(t, c)
		if took := time.Since(begin); took != 0 {
			t.Errorf("told after %v", took)
		}
		_ = c.Close()
		y.logs.waitFor(t, "msg=end", "ended_by=gateway", "reason=moved")
		if strings.Contains(y.network.heard(), "QUIT") {
			t.Error("the backend was told QUIT, which deletes")
		}
		y.wantIdle(t)
	})
}

// In a message the word waits for its end, as long as it may; it never comes inside.
func TestKickInAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, maildropOf(0), nil)
		c, id := y.in(t, 1, "alice")
		says(t, c, "RETR 1", "+OK")
		time.Sleep(time.Second)
		begin := time.Now()
		if y.Kick([]string{id}, "kicked"); time.Since(begin) != 0 {
			t.Errorf("Kick returned after %v", time.Since(begin))
		}
		for _, want := range []string{"Subject: long", "", "body", ".", partingText} {
			expectLine(t, c, want)
		}
		expectEnd(t, c)
		if took := time.Since(begin); took != 500*time.Millisecond {
			t.Errorf("told after %v", took)
		}
		_ = c.Close()
		y.logs.waitFor(t, "msg=end", "reason=kicked")
		y.wantIdle(t)
	})
}

// Whose answer doesn't end within the grace, or is none that is known, is closed without a word.
func TestKickWithoutAWord(t *testing.T) {
	for name, say := range map[string]string{
		"an answer that doesn't come": "HANG\r\n", "half a command": "NOO", "behind QUIT of a server that goes on": "HANG\r\nQUIT\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, backend.Target{}, maildropOf(0), nil)
				c, id := y.in(t, 1, "alice")
				if err := c.Send([]byte(say)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				begin := time.Now()
				y.Kick([]string{id}, "kicked")
				expectEnd(t, c)
				if took := time.Since(begin); took != kickGrace {
					t.Errorf("closed after %v", took)
				}
				y.logs.waitFor(t, "msg=end", "reason=kicked")
				y.wantIdle(t)
			})
		})
	}
}

// A client that reads nothing can't hold up who kicks it, nor its own end.
func TestKickOfAClientThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, func(c *pop3test.Conn) {
			judge(c, func(string, string) string { return "+OK in" })
			forever(c)
			block := []byte(strings.Repeat("x", 32<<10))
			for {
				if _, err := c.Raw().Write(block); err != nil {
					return
				}
			}
		}, nil)
		c, id := y.in(t, 1, "alice")
		time.Sleep(time.Second)
		begin := time.Now()
		if y.Kick([]string{id}, "kicked"); time.Since(begin) != 0 {
			t.Errorf("Kick returned after %v", time.Since(begin))
		}
		time.Sleep(5 * time.Second)
		y.wantIdle(t)
		_ = c.Close()
	})
}

// All sessions of a gateway that goes down end within the grace, whatever they are at, each as it can.
func TestShutdownOfAThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, backend.Target{}, maildropOf(0), func(set *Settings, _ *Options) { set.EagerConnect = true })
		const each = 250
		var clients sync.WaitGroup
		told := make(chan string, 4*each)
		for n := range 4 * each {
			clients.Go(func() {
				c := y.client(t, from(n))
				expectLine(t, c, "+OK")
				enters(t, c, fmt.Sprintf("user%d", n), rightPassword, "+OK in")
				switch n % 4 {
				case 1:
					says(t, c, "NOOP", "+OK")
				case 2:
					_ = c.SendLine("HANG")
				case 3:
					time.Sleep(4500 * time.Millisecond)
					_ = c.SendLine("RETR 1")
				}
				c.SetTimeout(time.Hour)
				forever(c.Conn)
				rest, _ := io.ReadAll(c.Raw())
				told <- string(rest)
				_ = c.Close()
			})
			if n%100 == 99 {
				time.Sleep(time.Millisecond) // a listener's backlog is finite
			}
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if cut := y.Shutdown(ctx); cut != 4*each {
			t.Errorf("%d were cut", cut)
		}
		if took := time.Since(begin) - 5*time.Second; took > lastGrace+farewellTime {
			t.Errorf("it took %v over its time", took)
		}
		clients.Wait()
		close(told)
		words, silent := 0, 0
		for text := range told {
			switch {
			case strings.HasSuffix(text, partingText+"\r\n") && (len(text) == len(partingText)+2 || strings.HasSuffix(text, "\r\n.\r\n"+partingText+"\r\n")):
				words++
			case text == "":
				silent++
			default:
				t.Errorf("a client got %q", text)
			}
		}
		if words != 3*each || silent != each {
			t.Errorf("%d heard the word, %d nothing", words, silent)
		}
		y.wantIdle(t)
	})
}
