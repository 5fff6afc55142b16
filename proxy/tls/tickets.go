package tls

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

const (
	keyLength = 32 // octets
	// maxKeys bounds what a file may hold: each key is tried on each ticket.
	maxKeys = 16

	// turnAfter is how long a random key seals new tickets. It then opens old ones for
	// twice as long: a ticket is good for 24 to 36 hours.
	turnAfter = 12 * time.Hour
	forgetAge = 3 * turnAfter
)

// ticketKey is what tickets are sealed with, before each policy's own key is
// derived from it.
type ticketKey struct {
	secret [keyLength]byte
	made   time.Time // zero: it came from a file
}

// tickets are the keys for session tickets: those of a file, or random ones that turn by
// time. All but keys is called under the front's lock.
type tickets struct {
	path    string // empty: random
	journal journal
	keys    atomic.Pointer[[]ticketKey] // the first seals
}

func newTickets(path string, log *slog.Logger) *tickets {
	return &tickets{path: path, journal: newJournal(log)}
}

// inherit takes over another's random keys, so that clients resume after a reload.
func (t *tickets) inherit(old *tickets) {
	if t.path == "" && old.path == "" {
		t.keys.Store(old.keys.Load())
	}
}

// reload brings the keys up to date. Those that serve stay if the file is bad.
func (t *tickets) reload(now time.Time) Faults {
	if t.path == "" {
		t.turn(now)
		return nil
	}
	starting := t.keys.Load() == nil
	keys, err := readTicketKeys(t.path)
	if err != nil {
		if !starting {
			t.journal.trouble(t.path, "the ticket keys can't be read, the old ones stay", err)
		}
		return Faults{{Key: "ticket_keys", Err: err}}
	}
	recovered := t.journal.fine(t.path)
	if starting || recovered || !slices.Equal(keys, *t.keys.Load()) {
		t.keys.Store(&keys)
		if !starting {
			t.journal.log.Info("ticket keys loaded", "path", t.path, "keys", len(keys))
		}
	}
	return nil
}

// turn makes a new random key when the first one's time is over.
func (t *tickets) turn(now time.Time) {
	var old []ticketKey
	if p := t.keys.Load(); p != nil {
		old = *p
	}
	if len(old) > 0 && now.Sub(old[0].made) < turnAfter {
		return
	}
	fresh := ticketKey{made: now}
	_, _ = rand.Read(fresh.secret[:]) // never fails, see crypto/rand
	keys := []ticketKey{fresh}
	for _, k := range old {
		if now.Sub(k.made) < forgetAge {
			keys = append(keys, k)
		}
	}
	t.keys.Store(&keys)
}

func readTicketKeys(path string) ([]ticketKey, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	keys, err := parseTicketKeys(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return keys, nil
}

// parseTicketKeys reads one key a line. Errors have a line's number, nothing of its text.
func parseTicketKeys(text []byte) ([]ticketKey, error) {
	var keys []ticketKey
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseTicketKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if keys = append(keys, key); len(keys) > maxKeys {
			return nil, fmt.Errorf("line %d: want at most %d keys", number, maxKeys)
		}
	}
	if keys == nil {
		return nil, errors.New("want at least one key")
	}
	return keys, nil
}

// parseTicketKey tells the two forms apart by their length. A key of one octet again and again
// is a placeholder that somebody forgot to fill in.
func parseTicketKey(line []byte) (key ticketKey, err error) {
	const hexLength, base64Length = 2 * keyLength, (keyLength + 2) / 3 * 4
	var secret []byte
	switch len(line) {
	case hexLength:
		secret, err = hex.AppendDecode(nil, line)
	case base64Length:
		secret, err = base64.StdEncoding.AppendDecode(nil, line)
	}
	if err != nil || len(secret) != keyLength {
		return key, fmt.Errorf("want a key of %d octets, as %d hexadecimal digits or as base64", keyLength, hexLength)
	}
	if bytes.Count(secret, secret[:1]) == keyLength {
		return key, errors.New("want a random key, not one octet again and again")
	}
	copy(key.secret[:], secret)
	return key, nil
}
