package pop3

import (
	"bytes"
	"encoding/base64"
	"slices"
)

// AppendAuth writes the AUTH command that shows credentials to a backend, with
// the message as its initial response. Where the line would be longer than a
// command may be, 255 octets (RFC 5034, section 4), it stays without, whole is
// false, and AppendMessage's line follows the backend's challenge.
//
// A password goes as PLAIN, however the client brought it. An OAuth message goes
// by its own mechanism and as it came, so that the user it names is the typed one.
// The caller made sure that the backend offers the mechanism and that user and
// secret hold no control octets, wipes dst afterwards, and the secret in the end.
func AppendAuth(dst []byte, c Credentials) (command []byte, whole bool) {
	mechanism := sentAs(c.Mechanism)
	length := len("AUTH ") + len(mechanism) + len(" ") + encodedLen(c) + len("\r\n")
	whole = length <= MaxCommandLine
	dst = append(append(dst, "AUTH "...), mechanism...)
	if !whole {
		return append(dst, "\r\n"...), false
	}
	return AppendMessage(append(dst, ' '), c), true
}

// AppendMessage writes the message in base64, as a line: what follows a backend's
// empty challenge. It is as long as MaxLine allows.
func AppendMessage(dst []byte, c Credentials) []byte {
	// Grown beforehand: else parts of the secret would stay behind in memory
	// that append left.
	dst = slices.Grow(dst, encodedLen(c)+len("\r\n"))
	if c.Mechanism.OAuth() {
		dst = base64.StdEncoding.AppendEncode(dst, c.Secret.Reveal())
	} else {
		message := make([]byte, 0, plainLen(c))
		message = append(append(message, 0), c.User...) // no authorization identity
		message = append(append(message, 0), c.Secret.Reveal()...)
		dst = base64.StdEncoding.AppendEncode(dst, message)
		clear(message)
	}
	return append(dst, "\r\n"...)
}

// sentAs tells by which mechanism credentials are shown to a backend.
func sentAs(m Mechanism) Mechanism {
	if m.OAuth() {
		return m
	}
	return PLAIN
}

// plainLen is the length of PLAIN's message without authorization identity.
func plainLen(c Credentials) int {
	return len("\x00") + len(c.User) + len("\x00") + len(c.Secret.Reveal())
}

func encodedLen(c Credentials) int {
	n := len(c.Secret.Reveal())
	if !c.Mechanism.OAuth() {
		n = plainLen(c)
	}
	return base64.StdEncoding.EncodedLen(n)
}

// ParseChallenge reads a backend's line as a challenge, in base64 still. Servers
// exist that leave out the space of an empty one. What is no challenge is a reply.
func ParseChallenge(line []byte) (text []byte, ok bool) {
	if string(line) == "+" {
		return nil, true
	}
	return bytes.CutPrefix(line, []byte("+ "))
}

// InvalidToken is a challenge that tells why a bearer token will be refused:
// {"status":"invalid_token"} (RFC 7628, section 3.2.2). It says nothing of who exists.
const InvalidToken = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0="

// ErrorChallenge returns a backend's error challenge for the client, who may learn
// from it which scope its token lacks. Text that isn't base64 doesn't pass; InvalidToken
// takes its place. Whatever line the client answers, the refusal follows.
func ErrorChallenge(text []byte) string {
	if message, err := decodeBase64(text, maxOAuthLine); err != nil || len(message) == 0 {
		return InvalidToken
	}
	return string(text)
}

// AppendAcknowledgment writes the line that answers a backend's error challenge, so
// that it can give its refusal: a single ^A (RFC 7628, section 3.2.3), or for
// XOAUTH2 nothing.
func AppendAcknowledgment(dst []byte, m Mechanism) []byte {
	if m == OAUTHBEARER {
		dst = append(dst, "AQ=="...)
	}
	return append(dst, "\r\n"...)
}
