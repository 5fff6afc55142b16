// A guest that is back, with all its users in front of it.

package main_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// disk is what the logins of a guest share: one after the other has it. Those that wait
// cost those that work, and it does not notice who has left.
type disk struct {
	arm     sync.Mutex
	waiting atomic.Int64
}

const (
	diskTime   = 20 * time.Millisecond // of one login
	diskKnee   = 10                    // waiting logins that cost nothing
	diskThrash = 0.25                  // what each further ten cost

	stormEnds = 4 * time.Minute
)

func (d *disk) login() {
	d.waiting.Add(1)
	defer d.waiting.Add(-1)
	d.arm.Lock()
	defer d.arm.Unlock()
	beyond := float64(max(0, d.waiting.Load()-diskKnee)) / diskKnee
	<-time.After(time.Duration(float64(diskTime) * (1 + diskThrash*beyond)))
}

// TestRealStorm lets all users in, as fast as the guest can take them.
func TestRealStorm(t *testing.T) {
	needReal(t)
	users, policies := 100, map[string]string{"max_logins 5": ", max_logins: 5"}
	if long() {
		users = 300
		policies["max_logins 20"] = ", max_logins: 20"
		policies["no limit"] = ", max_logins: 0"
	}
	for name, keys := range policies {
		t.Run(name, func(t *testing.T) { storm(t, users, keys) })
	}
}

func storm(t *testing.T, users int, keys string) {
	var guest disk
	w := newWard(t, wardOptions{users: users, backend: keys, path: &realtest.Path{Login: guest.login}})
	began := time.Now()
	in, refused := make([]time.Duration, users), atomic.Int64{}
	var all sync.WaitGroup
	for number := range users {
		all.Go(func() {
			for {
				if h := w.loginFrom(number); h.ok() {
					in[number] = time.Since(began)
					return
				} else if !strings.HasPrefix(h.answer, "-ERR [SYS/TEMP] ") {
					t.Errorf("a user hears %q after %v", h.answer, h.after)
				}
				refused.Add(1)
				if time.Since(began) > stormEnds {
					t.Errorf("%s is not in after %v", sickUser(number), stormEnds)
					return
				}
				time.Sleep(time.Second + rand.N(2*time.Second))
			}
		})
	}
	all.Wait()
	slices.Sort(in)
	t.Logf("%d users: half are in after %v, 95 %% after %v, all after %v; %d attempts were refused; the guest alone needs %v",
		users, in[users/2].Round(100*time.Millisecond), in[users*95/100].Round(100*time.Millisecond),
		in[users-1].Round(100*time.Millisecond), refused.Load(), time.Duration(users)*diskTime)
}

// loginFrom logs in from an address of the user's own, as people do.
func (w *ward) loginFrom(number int) heard {
	terminal, h := w.enterFrom(net.IPv4(127, 0, byte(1+number/250), byte(1+number%250)), sickUser(number), "secret")
	if terminal == nil {
		return h
	}
	defer terminal.Close()
	if h.ok() {
		if _, err := terminal.Must("QUIT"); err != nil {
			return heard{fmt.Sprint("no good end: ", err), h.after}
		}
	}
	return h
}
