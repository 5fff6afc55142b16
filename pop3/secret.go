package pop3

import (
	"bytes"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret holds a password or token and can't print itself: not by fmt in any
// verb, not by encoders or slog, and not as an unexported field of something that
// is printed, where fmt walks past methods. Hence the pointers, and hence two: fmt
// shows one as an address for %v, but for a verb that doesn't fit, such as %s, it
// falls back to what the pointer points to.
type Secret struct{ octets **[]byte }

// NewSecret copies p, so that the buffer it was read into can be reused.
func NewSecret(p []byte) Secret {
	octets := bytes.Clone(p)
	inner := &octets
	return Secret{&inner}
}

// Reveal returns the octets themselves. The caller neither keeps nor changes them.
func (s Secret) Reveal() []byte {
	if s.octets == nil {
		return nil
	}
	return **s.octets
}

// Wipe overwrites the octets. The secret is empty from then on, in all its copies.
func (s Secret) Wipe() {
	if s.octets != nil {
		clear(**s.octets)
		**s.octets = nil
	}
}

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText keeps the secret out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
