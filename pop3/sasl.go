package pop3

import (
	"encoding/base64"
	"errors"
)

// Mechanism is the name of a SASL mechanism (RFC 4422, section 3.1). The empty
// one stands for USER and PASS.
type Mechanism string

// The mechanisms that carry something a backend can check: a password or a token.
const (
	PLAIN       Mechanism = "PLAIN"       // RFC 4616
	LOGIN       Mechanism = "LOGIN"       // never standardized, but all that old Outlooks know
	XOAUTH2     Mechanism = "XOAUTH2"     // bearer tokens as Google and Microsoft have them
	OAUTHBEARER Mechanism = "OAUTHBEARER" // bearer tokens by RFC 7628
)

var mechanisms = [...]Mechanism{PLAIN, LOGIN, XOAUTH2, OAUTHBEARER}

// ParseMechanism reads a mechanism's name in any case, as POP3's keywords are read.
func ParseMechanism(word []byte) (Mechanism, bool) {
	for _, m := range mechanisms {
		if isWord(word, string(m)) {
			return m, true
		}
	}
	return "", false
}

// OAuth tells whether the mechanism carries a bearer token in place of a password.
func (m Mechanism) OAuth() bool { return m == XOAUTH2 || m == OAUTHBEARER }

// Longest lines of an exchange in octets, line end included.
const (
	// maxPasswordLine holds PLAIN's longest message, three times maxField, in
	// base64 and behind "AUTH PLAIN ".
	maxPasswordLine = 1024
	// maxOAuthLine holds tokens of 16 KiB with room to spare: those of large
	// directories carry a claim for each group.
	maxOAuthLine = 32 << 10
)

// maxField is the longest user or password that can go on to a backend by USER or PASS.
const maxField = MaxCommandLine - len("USER \r\n")

// MaxLine returns how long a line of an exchange may be, line end included,
// whether it is a response or the AUTH command with an initial one. RFC 5034,
// section 4, lifts the limit of 255 octets from responses only, but clients send
// longer initial ones all the same.
func MaxLine(m Mechanism) int {
	switch {
	case m.OAuth():
		return maxOAuthLine
	case m == PLAIN || m == LOGIN:
		return maxPasswordLine
	}
	return MaxCommandLine
}

// Credentials are what a client showed to get in. Whoever holds them last wipes
// the secret.
type Credentials struct {
	Mechanism Mechanism // empty: USER and PASS
	User      string    // as typed, never empty, without control octets
	// Secret is the password. For an OAuth mechanism it is the whole message, which
	// a backend gets as it came: only who made it knows what its further fields mean.
	Secret Secret
}

// What can be wrong with an exchange. None of them holds octets of the message.
var (
	ErrCanceled = errors.New("the client canceled the exchange")
	ErrBase64   = errors.New("not base64")
	ErrMessage  = errors.New("not a message of the mechanism") // an empty user or password too
	ErrAuthzid  = errors.New("another authorization identity")
	ErrControl  = errors.New("control octets in user, password or token")
	ErrTooLong  = errors.New("longer than a backend takes")
)

// decodeBase64 reads a response. Among the ways to write the same octets only one
// is taken (RFC 4648, section 3.5): what two decoders read differently, two sides
// of a gateway would read differently. The message may be secret: who gets it wipes it.
func decodeBase64(response []byte, maxLine int) (message []byte, err error) {
	if len(response)+len("\r\n") > maxLine {
		return nil, ErrTooLong
	}
	for _, c := range response { // Go's decoder skips them
		if c == '\r' || c == '\n' {
			return nil, ErrBase64
		}
	}
	message = make([]byte, base64.StdEncoding.DecodedLen(len(response)))
	n, err := base64.StdEncoding.Strict().Decode(message, response)
	if err != nil {
		clear(message)
		return nil, ErrBase64 // Go's error would tell where
	}
	return message[:n], nil
}

// isWord compares a word with one in upper case. Only ASCII letters fold: the
// long s and the Kelvin sign, which Unicode makes an S and a K, are no letters of POP3.
func isWord(word []byte, upper string) bool {
	if len(word) != len(upper) {
		return false
	}
	for i, c := range word {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != upper[i] {
			return false
		}
	}
	return true
}
