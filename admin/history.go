package admin

import (
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// perMailbox is how many logins of one mailbox are remembered.
const perMailbox = 5

// History remembers the last logins of the mailboxes that logged in last, so that
// "why can't I fetch my mail" has an answer without a search in the log. It is bounded, and gone
// with the process.
type History struct {
	mu        sync.Mutex
	mailboxes *simplelru.LRU[string, *attempts]
}

// attempts is a ring.
type attempts struct {
	ring  [perMailbox]LoginAttempt
	total int
}

// NewHistory remembers so many mailboxes.
func NewHistory(mailboxes int) (*History, error) {
	lru, err := simplelru.NewLRU[string, *attempts](mailboxes, nil)
	if err != nil {
		return nil, fmt.Errorf("a history of %d mailboxes: %w", mailboxes, err)
	}
	return &History{mailboxes: lru}, nil
}

// Add notes a login to a mailbox that exists. What else a client typed must not come here.
func (h *History) Add(mailbox string, a LoginAttempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of, ok := h.mailboxes.Get(mailbox)
	if !ok {
		of = new(attempts)
		h.mailboxes.Add(mailbox, of)
	}
	of.ring[of.total%perMailbox] = a
	of.total++
}

// Of returns what is remembered of a mailbox, the newest first.
func (h *History) Of(mailbox string) []LoginAttempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	of, ok := h.mailboxes.Peek(mailbox)
	if !ok {
		return nil
	}
	var last []LoginAttempt
	for i := of.total - 1; i >= max(0, of.total-perMailbox); i-- {
		last = append(last, of.ring[i%perMailbox])
	}
	return last
}
