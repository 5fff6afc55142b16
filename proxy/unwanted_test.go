package proxy

import (
	"testing"
	"testing/synctest"

	"postern/backend"
	"postern/directory"
)

// A mailbox that moved while its user logged in is none that anybody could have found to end: the session asks
// itself when it begins.
func TestASessionThatIsUnwantedWhenItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		y := newYard(t, backend.Target{}, maildropOf(0), func(_ *Settings, o *Options) {
			o.Unwanted = func(r directory.Route) string {
				asked = append(asked, r.Mailbox)
				if len(asked) > 1 {
					return ""
				}
				return "moved"
			}
		})
		c, reply, _ := y.login(t, 1, "alice")
		if reply != "+OK in" {
			t.Fatalf("alice hears %q", reply)
		}
		expectLine(t, c, partingText)
		expectEnd(t, c)
		_ = c.Close()
		y.logs.waitFor(t, "msg=end", "ended_by=gateway", "reason=moved")
		again, _ := y.in(t, 1, "alice")
		says(t, again, "NOOP", "+OK")
		_ = again.Close()
		if len(asked) != 2 {
			t.Errorf("asked for %q", asked)
		}
		y.wantIdle(t)
	})
}
