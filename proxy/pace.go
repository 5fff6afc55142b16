package proxy

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"postern/backend"
	"postern/pop3"
)

// pace knows how long backends take to refuse a password, so that an unknown
// mailbox, which no backend judges, is refused as if one did: an answer that came
// earlier or later than a wrong password's would tell who exists.
//
// Each unknown name belongs to one backend, always the same as long as the traffic is,
// as a real mailbox does. At each multiple of failure_delay the recent
// refusals of that backend, and its logins that are still running, say how probable
// an answer is now if none was given before.
type pace struct {
	seed     maphash.Seed
	mu       sync.Mutex
	backends map[string]*refusalTimes
}

// recentRefusals is how many refusals of a backend are remembered.
const recentRefusals = 64

// refusalTimes is one backend's record.
type refusalTimes struct {
	ring    [recentRefusals]time.Duration // from PASS to the verdict
	next    int
	filled  int
	running map[*running]struct{}
	said    map[pop3.Mechanism]string // to a token that it refused, the last time
}

// running is a login that the backend hasn't judged yet.
type running struct {
	backend string
	began   time.Time
}

func newPace() *pace {
	return &pace{seed: maphash.MakeSeed(), backends: make(map[string]*refusalTimes)}
}

// started notes that a backend begins to judge a login.
func (p *pace) started(owner string, began time.Time) *running {
	r := &running{backend: owner, began: began}
	p.mu.Lock()
	defer p.mu.Unlock()
	times := p.backends[owner]
	if times == nil {
		times = &refusalTimes{running: make(map[*running]struct{}), said: make(map[pop3.Mechanism]string)}
		p.backends[owner] = times
	}
	times.running[r] = struct{}{}
	return r
}

// finished notes the end of a login, however it ended; only a refused password
// counts as a refusal. A login that never began, or is over, is no matter.
func (p *pace) finished(r *running, now time.Time, refused bool) {
	if r == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	times := p.backends[r.backend]
	if _, ok := times.running[r]; !ok {
		return
	}
	delete(times.running, r)
	if refused {
		times.ring[times.next] = now.Sub(r.began)
		times.next = (times.next + 1) % recentRefusals
		times.filled = min(times.filled+1, recentRefusals)
	}
}

// refusedBy tells whether the refusal of an unknown name that was not given at the
// earlier multiples of the delay is given at the n-th.
func (p *pace) refusedBy(name string, n int, delay time.Duration, now time.Time) bool {
	before, by := time.Duration(n-1)*delay, time.Duration(n)*delay
	p.mu.Lock()
	defer p.mu.Unlock()
	times := p.decoy(name)
	if times == nil {
		return true
	}
	due, later := times.count(before, by, now)
	return due+later == 0 || rand.IntN(due+later) < due
}

// challenge is what a client hears before its token is refused: the backend's own
// words, remembered for the names that no backend judged.
func (p *pace) challenge(m pop3.Mechanism, name string, at *backend.Target, text string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at == nil {
		if times := p.decoy(name); times != nil {
			return pop3.ErrorChallenge([]byte(times.said[m]))
		}
		return pop3.InvalidToken
	}
	text = pop3.ErrorChallenge([]byte(text))
	if times := p.backends[at.Name]; times != nil {
		times.said[m] = text
	}
	return text
}

// decoy picks the backend that an unknown name would be on: by weighted rendezvous
// (the weight being how many logins each backend had of late), so that the answer
// for one name doesn't wander between backends.
func (p *pace) decoy(name string) *refusalTimes {
	var chosen *refusalTimes
	best := math.Inf(-1)
	for owner, times := range p.backends {
		weight := times.filled + len(times.running)
		if weight == 0 {
			continue
		}
		var h maphash.Hash
		h.SetSeed(p.seed)
		_, _ = h.WriteString(owner)
		_ = h.WriteByte(0)
		_, _ = h.WriteString(name)
		uniform := (float64(h.Sum64()>>11) + 0.5) / (1 << 53)
		if score := float64(weight) / -math.Log(uniform); score > best {
			chosen, best = times, score
		}
	}
	return chosen
}

// count tells how many refusals came after one time and by the other, and how many
// came later or are still to come. A login that has been running for nearly as long counts
// as one that will take longer: when many begin at once, there is nothing else to know.
func (t *refusalTimes) count(after, by time.Duration, now time.Time) (due, later int) {
	for _, took := range t.ring[:t.filled] {
		switch {
		case took > by:
			later++
		case took > after:
			due++
		}
	}
	for r := range t.running {
		if now.Sub(r.began) >= by/10*9 {
			later++
		}
	}
	return due, later
}
