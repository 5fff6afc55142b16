package configs

import (
	"errors"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a password or a token that cannot print itself, whatever verb,
// encoder or logger it is handed to.
//
// The text lies behind a pointer, because fmt prints an unexported field of
// another package's struct without asking its methods: there it shows an address.
type Secret struct{ text *string }

// NewSecret returns a Secret that reveals text.
func NewSecret(text string) Secret { return Secret{&text} }

func parseSecret(text string) (Secret, error) {
	if text == "" {
		return Secret{}, errors.New("want a secret that is not empty")
	}
	return NewSecret(text), nil
}

// Reveal returns the text, empty if there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String hides the text.
func (Secret) String() string { return redacted }

// GoString hides the text from %#v.
func (Secret) GoString() string { return redacted }

// Format hides the text from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText hides the text from encoders such as JSON's.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the text from log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
