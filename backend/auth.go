package backend

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"postern/pop3"
)

// mechanism chooses the way in. A password that isn't UTF-8 can't go by PLAIN
// (RFC 4616, section 2), and servers take it by PASS.
func (e Entry) mechanism() pop3.Mechanism {
	switch {
	case e.Credentials.Mechanism.OAuth():
		return e.Credentials.Mechanism
	case e.AuthPlain && utf8.ValidString(e.User) && utf8.Valid(e.Credentials.Secret.Reveal()):
		return pop3.PLAIN
	}
	return ""
}

// auth begins with AUTH, unless that is PLAIN and takes more than a line: in two
// round trips USER and PASS do the same. An OAuth message of any length goes out;
// one too long for the line waits for the backend to ask for it.
func (l *Login) auth() bool {
	segment, whole := pop3.AppendAuth(l.command, l.credentials)
	if !whole && l.mechanism == pop3.PLAIN {
		return false
	}
	l.shown = whole
	l.add(Auth, segment)
	return true
}

// challenged takes a line that asks for something. An empty one after AUTH asks
// for the message, which servers from before initial responses do even if they
// got it. To an OAuth message, a challenge is the error that comes before the
// refusal (RFC 7628, section 3.2.2). No other has a place here, nor a second of either.
func (l *Login) challenged(text string) {
	switch {
	case l.step == Auth && text == "":
		l.shown = true
		l.send(Message, pop3.AppendMessage(nil, l.credentials))
	case l.shown && l.step != Challenge && l.mechanism.OAuth():
		l.step, l.challenge, l.asked = Challenge, text, true
		if l.lines.Buffered() > 0 {
			l.fail(Error{Kind: Protocol, Err: errOutOfTurn})
		}
	default:
		l.fail(Error{Kind: Protocol, Err: errChallenge})
	}
}

// Challenge returns the error that the backend gave to an OAuth message, in base64
// and not checked, see [pop3.ErrorChallenge]. It is for the client, and shorter than
// 2,048 octets. While asked is true the backend waits for Acknowledge, and the
// driver for nothing of the backend's. The text can be read to the end and behind it.
func (l *Login) Challenge() (text string, asked bool) { return l.challenge, l.asked }

// Acknowledge answers the challenge, so that the backend gives its verdict. The
// client's own answer holds nothing (RFC 7628, section 3.2.3), so a driver may show
// the client the challenge before or after that.
func (l *Login) Acknowledge() {
	if l.asked {
		l.asked = false
		l.send(Challenge, pop3.AppendAcknowledgment(l.short[:0], l.mechanism))
	}
}

// ofAuth tells whether a challenge may come at that step.
func (s Step) ofAuth() bool { return s == Auth || s == Message || s == Challenge }

// unfamiliar are the words of servers that don't know AUTH or its mechanism, as
// their first ones: no wrong password is called so.
var unfamiliar = [...]string{
	"unknown command", "invalid command", "unrecognized command", "unsupported", "unknown auth",
	"command not", "not implemented", "not supported", "authentication mechanism not", "invalid authentication mechanism",
	"invalid auth mechanism", "bad command",
}

// isUnknown tells whether AUTH was refused for its own sake, and not the user's. What
// was learnt of the backend is wrong then, and may not cost anybody a password that
// the mail program throws away behind [AUTH].
func isUnknown(refusal pop3.Reply) bool {
	if refusal.Code != pop3.NoCode {
		return false
	}
	text := strings.ToLower(refusal.Text[:min(len(refusal.Text), maxRefusal)])
	return slices.ContainsFunc(unfamiliar[:], func(words string) bool { return strings.HasPrefix(text, words) })
}

// Unlearnt tells whether the backend didn't know what it was known to offer, so
// that it is to be asked anew, see [Learner.Suspect].
func (e *Error) Unlearnt() bool { return e.Kind == Temporary && e.Step == Auth }

// withheld stands for a text that repeats a secret.
const withheld = "[withheld: it repeats the secret]"

// quote makes a peer's line fit for a log. A server that repeats the secret in its
// refusal, whole or cut, encoded or not, may not bring it there.
func (l *Login) quote(line []byte) string {
	secret := l.secret()
	for _, told := range [...][]byte{secret, beginning(token(secret)), l.encoded()} {
		if len(told) > 0 && bytes.Contains(line, told) {
			return withheld
		}
	}
	return quoted(line)
}

// How much of a token, and of a message, is taken for the whole when a server
// repeats it: a line of its can't hold the rest. Of a password all is compared,
// since its beginning may be a word.
const (
	toldToken   = 16
	toldMessage = 12 // 16 octets of base64
)

func beginning(p []byte) []byte { return p[:min(len(p), toldToken)] }

// token finds the bearer token in an OAuth message, which pop3 has checked.
func token(message []byte) []byte {
	_, behind, found := bytes.Cut(message, []byte("\x01auth="))
	if !found {
		return nil
	}
	value, _, _ := bytes.Cut(behind, []byte{1})
	_, token, _ := bytes.Cut(value, []byte{' '})
	return bytes.TrimLeft(token, " ")
}

// encoded is how the message begins on the wire, if there is one.
func (l *Login) encoded() []byte {
	var message []byte
	switch l.mechanism {
	case "":
		return nil
	case pop3.PLAIN:
		message = append(message, "\x00"+l.credentials.User+"\x00"...)
	}
	message = append(message, l.secret()...)
	defer clear(message)
	return base64.StdEncoding.AppendEncode(nil, message[:min(len(message), toldMessage)])
}
