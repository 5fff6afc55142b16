package directory

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"

	"postern/backend"
)

// Policy says what becomes of a mailbox that no source knows.
type Policy uint8

// The policies.
const (
	Reject  Policy = iota // it is unknown
	Hash                  // it lives on the declared backend that its name's hash chooses
	Forward               // it lives on one backend: the old gateway, while migrating
)

// Unknown is a policy and what it needs.
type Unknown struct {
	Policy  Policy
	Backend string // of Forward, as a source would name it
}

// ParseUnknown reads a policy as the configuration spells it: reject, hash or backend:NAME.
func ParseUnknown(text string) (Unknown, error) {
	name, forward := strings.CutPrefix(text, "backend:")
	switch {
	case text == "reject":
		return Unknown{}, nil
	case text == "hash":
		return Unknown{Policy: Hash}, nil
	case forward && name != "":
		return Unknown{Policy: Forward, Backend: name}, nil
	}
	return Unknown{}, fmt.Errorf("unknown %.80q: want reject, hash or backend:NAME", text)
}

// errNoneDeclared is what Hash has to say where nobody could own anything.
var errNoneDeclared = errors.New("no backend is declared that an unknown mailbox could live on")

// policy is Unknown at work.
type policy struct {
	Unknown
	declared  atomic.Pointer[[]candidate]
	forwarded atomic.Uint64 // mailboxes located by it
}

// candidate is a declared backend.
type candidate struct {
	target *backend.Target
	name   string // in lower case: another spelling moves nobody
}

func (p *policy) declare(targets []*backend.Target) {
	var list []candidate
	for _, t := range targets {
		list = append(list, candidate{target: t, name: strings.ToLower(t.Name)})
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.name, b.name) })
	p.declared.Store(&list)
}

// unknown answers for a mailbox that no source knows.
func (d *Directory) unknown(mailbox, typed string, count bool) (Route, error) {
	var target *backend.Target
	var err error
	switch d.policy.Policy {
	case Hash:
		target, err = d.policy.choose(mailbox)
	case Forward:
		target, err = d.target(d.policy.Backend)
		if err == nil && target == nil {
			err = &NoBackendError{Mailbox: mailbox, Backend: d.policy.Backend, Source: PolicySource}
		}
	default:
		return Route{}, ErrUnknown
	}
	if err != nil {
		return Route{}, err
	}
	route, err := routeTo(target, mailbox, typed, "")
	if err != nil {
		return Route{}, err
	}
	if count {
		d.policy.forwarded.Add(1)
	}
	route.Source = PolicySource
	return route, nil
}

func (p *policy) choose(mailbox string) (*backend.Target, error) {
	list := p.declared.Load()
	if list == nil || len(*list) == 0 {
		return nil, errNoneDeclared
	}
	return rendezvous(*list, mailbox), nil
}

// rendezvous chooses a mailbox's backend by weighted rendezvous hashing, so that only the mailboxes
// of a backend that comes or goes move. It takes the backends that are declared, never those that are up:
// users of one that is away would find an empty maildrop elsewhere.
//
// The formula is the same on every gateway and machine, and for ever; changing it moves
// everybody's mail. Of each backend, with its name in lower case and its weight w:
//
//	h = the first 8 octets, as a big-endian number, of SHA-256(name, a zero octet, mailbox)
//	d = 64 - log2(h), in units of 2^-32; h = 0 counts as 1
//
// The backend with the smallest d/w owns the mailbox, at a tie the first by name. d is exponentially distributed,
// and the smallest of d/w falls to each backend in proportion to its weight. There is
// no floating point in it: logarithms differ between machines in their last bit.
func rendezvous(list []candidate, mailbox string) *backend.Target {
	var best *backend.Target
	var bestDistance, bestWeight uint64
	var space [512]byte
	for _, c := range list {
		text := append(append(append(space[:0], c.name...), 0), mailbox...)
		sum := sha256.Sum256(text)
		d, w := distance(binary.BigEndian.Uint64(sum[:8])), weight(c.target)
		if best == nil || less(d, bestWeight, bestDistance, w) { // d/w < bestDistance/bestWeight
			best, bestDistance, bestWeight = c.target, d, w
		}
	}
	return best
}

func weight(t *backend.Target) uint64 { return uint64(max(1, t.Weight)) }

// less tells whether a*b < c*d.
func less(a, b, c, d uint64) bool {
	high, low := bits.Mul64(a, b)
	otherHigh, otherLow := bits.Mul64(c, d)
	return high < otherHigh || high == otherHigh && low < otherLow
}

// distance returns 64 - log2(h) in units of 2^-32.
func distance(h uint64) uint64 {
	h = max(h, 1)
	zeros := bits.LeadingZeros64(h)
	m := h << zeros // 1.xxx with 63 bits behind the point
	log := uint64(63 - zeros)
	for range 32 { // squaring doubles the logarithm, whose next bit is what reaches 2
		high, low := bits.Mul64(m, m)
		log <<= 1
		if high>>63 != 0 {
			log |= 1
			m = high
		} else {
			m = high<<1 | low>>63
		}
	}
	return 64<<32 - log
}
