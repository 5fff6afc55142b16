package maildrop

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"sync"

	"postern/pop3"
)

// maxUID is the longest unique id (RFC 1939, section 7, UIDL).
const maxUID = 70

// Message is a mail as AddMailbox takes it.
type Message struct {
	UID  string // 1 to 70 octets from '!' to '~'; "" is a hash of the body
	Body []byte // any octets; lines end in CRLF or LF and leave with CRLF
}

// stored is a message in the form in which it is sent. It never changes, so that
// sessions send it without a copy.
type stored struct {
	uid   string
	size  int    // octets that a client will have, stuffing not counted (RFC 1939, section 11)
	lines []byte // ended by CRLF, stuffed, without the terminating dot
}

// terminator ends a multi-line answer.
const terminator = ".\r\n"

func newStored(m Message) *stored {
	wire := pop3.AppendStuffed(make([]byte, 0, len(m.Body)+len(m.Body)/32+len(terminator)), m.Body)
	lines := wire[:len(wire)-len(terminator)]
	size := len(lines)
	for line := range bytes.Lines(lines) {
		if line[0] == '.' {
			size--
		}
	}
	return &stored{uid: m.UID, size: size, lines: lines}
}

// top returns the header, the empty line behind it and n lines of the text.
func (m *stored) top(n int) []byte {
	taken, text := 0, false
	for line := range bytes.Lines(m.lines) {
		if text {
			if n == 0 {
				break
			}
			n--
		}
		text = text || len(line) == len("\r\n")
		taken += len(line)
	}
	return m.lines[:taken]
}

// mailbox is what one user owns. Whoever holds its lock is the only one who may
// read or change it (RFC 1939, section 4).
type mailbox struct {
	name     string
	password pop3.Secret

	mu       sync.Mutex
	locked   bool
	messages []*stored // replaced, never changed
}

func newMailbox(name, password string, messages []Message) (*mailbox, error) {
	box := &mailbox{name: name, password: pop3.NewSecret([]byte(password))}
	taken := make(map[string]bool, len(messages))
	for i, m := range messages {
		if m.UID == "" {
			m.UID = freeUID(m.Body, taken)
		}
		if err := checkUID(m.UID); err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		if taken[m.UID] {
			return nil, fmt.Errorf("message %d: unique id %s is taken", i+1, m.UID)
		}
		taken[m.UID] = true
		box.messages = append(box.messages, newStored(m))
	}
	return box, nil
}

// freeUID derives an id from the body. Of equal bodies each later one counts up.
func freeUID(body []byte, taken map[string]bool) string {
	sum := sha256.Sum256(body)
	id := hex.EncodeToString(sum[:16])
	for n := 2; taken[id]; n++ {
		id = fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:16]), n)
	}
	return id
}

func checkUID(id string) error {
	if len(id) > maxUID {
		return fmt.Errorf("unique id of %d octets, want 1 to %d", len(id), maxUID)
	}
	for i := range len(id) {
		if id[i] < '!' || id[i] > '~' {
			return fmt.Errorf("unique id %q: want octets from '!' to '~'", id)
		}
	}
	return nil
}

func (b *mailbox) accepts(password []byte) bool {
	return subtle.ConstantTimeCompare(b.password.Reveal(), password) == 1
}

// lock takes the mailbox for a session and returns what is in it.
func (b *mailbox) lock() (messages []*stored, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.locked {
		return nil, false
	}
	b.locked = true
	return b.messages, true
}

// unlock leaves kept in the mailbox and lets the next session in.
func (b *mailbox) unlock(kept []*stored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages, b.locked = kept, false
}
