package limits

import (
	"math/bits"
	"time"
)

// nameWindow is for how long a failing name counts at least; at most it is twice that.
const nameWindow = time.Hour

// names counts the different mailboxes that fail from one address. Each name sets one bit,
// the same one however often it fails, so a single name never counts twice. Two
// may share a bit: of 5 names that hides one with a probability of 4 %, of 100 it hides
// 17, which is near enough for a penalty that doubles. A list of the names'
// hashes would be eight times as large, and have to be cut somewhere.
type names struct {
	now, before bitmap // this hour's and the last one's
	since       uint32 // when this hour began, Unix time
}

type bitmap [4]uint64

func (n *names) add(now time.Time, hash uint64) {
	n.turn(now)
	n.now[hash>>6&3] |= 1 << (hash & 63)
}

func (n *names) count(now time.Time) int {
	n.turn(now)
	count := 0
	for i := range n.now {
		count += bits.OnesCount64(n.now[i] | n.before[i])
	}
	return count
}

// turn begins a new hour when the old one is over.
func (n *names) turn(now time.Time) {
	age := (time.Duration(now.Unix()-int64(n.since)) * time.Second).Abs()
	switch {
	case age < nameWindow:
		return
	case age < 2*nameWindow:
		n.before = n.now
	default:
		n.before = bitmap{}
	}
	n.now, n.since = bitmap{}, uint32(now.Unix())
}
