package pop3

import "bytes"

// Both messages put one octet, ^A, behind each of their fields, and another
// behind the last.
const (
	fieldEnd   = 1
	messageEnd = "\x01\x01"
)

// bearer is the only kind of token that both mechanisms are defined for.
const bearer = "BEARER "

// parseXOAuth2 reads user=NAME^Aauth=Bearer TOKEN^A^A, the two fields in this order,
// as Google and Microsoft document it, and returns the name.
func parseXOAuth2(message []byte) (user []byte, err error) {
	fields, ended := bytes.CutSuffix(message, []byte(messageEnd))
	first, second, _ := bytes.Cut(fields, []byte{fieldEnd})
	user, hasUser := bytes.CutPrefix(first, []byte("user="))
	token, hasToken := bytes.CutPrefix(second, []byte("auth="))
	switch {
	case hasStrayControl(message):
		return nil, ErrControl
	case !ended || !hasUser || !hasToken || bytes.IndexByte(token, fieldEnd) >= 0 || !isBearer(token):
		return nil, ErrMessage
	}
	return user, checkField(user)
}

// parseOAuthBearer reads n,a=NAME,^A, then fields KEY=VALUE^A and a last ^A (RFC
// 7628, section 3.1), and returns the name. The name is optional there, but
// without it nobody knows which backend to ask. Channel binding (y and p=) isn't
// defined for this mechanism. Keys that aren't known are passed over, as the RFC demands.
func parseOAuthBearer(message []byte) (user []byte, err error) {
	if hasStrayControl(message) {
		return nil, ErrControl
	}
	header, fields, _ := bytes.Cut(message, []byte{fieldEnd})
	name, hasName := bytes.CutPrefix(header, []byte("n,a="))
	name, whole := bytes.CutSuffix(name, []byte{','})
	if !hasName || !whole || !holdsToken(fields) {
		return nil, ErrMessage
	}
	user, ok := decodeName(name)
	if !ok {
		return nil, ErrMessage
	}
	return user, checkField(user)
}

// holdsToken walks the fields with all their ends. Exactly one may be the token:
// of two, the backend might take the other. An empty one, by which a client asks
// for the scope it needs (RFC 7628, section 4.3), is no login.
func holdsToken(fields []byte) bool {
	fields, ended := bytes.CutSuffix(fields, []byte(messageEnd))
	if !ended {
		return false
	}
	tokens := 0
	for field := range bytes.SplitSeq(fields, []byte{fieldEnd}) {
		key, value, cut := bytes.Cut(field, []byte{'='})
		if !cut || !isKey(key) {
			return false
		}
		if string(key) != "auth" {
			continue
		}
		if tokens++; !isBearer(value) {
			return false
		}
	}
	return tokens == 1
}

// isBearer tells whether a value is "Bearer" and a token (RFC 6750, section 2.1),
// the first in any case (RFC 7628, section 4).
func isBearer(value []byte) bool {
	return len(value) > len(bearer) && isWord(value[:len(bearer)], bearer) &&
		len(bytes.TrimLeft(value[len(bearer):], " ")) > 0
}

// isKey tells whether a key is of letters only.
func isKey(key []byte) bool {
	for _, c := range key {
		if lower := c | 0x20; lower < 'a' || lower > 'z' {
			return false
		}
	}
	return len(key) > 0
}

// decodeName reads a saslname (RFC 5801, section 4): a comma is written =2C and an
// equals sign =3D; neither may stand for itself.
func decodeName(name []byte) (decoded []byte, ok bool) {
	decoded = make([]byte, 0, len(name))
	for len(name) > 0 {
		plain, escape, escaped := bytes.Cut(name, []byte{'='})
		if bytes.IndexByte(plain, ',') >= 0 {
			return nil, false
		}
		decoded = append(decoded, plain...)
		if !escaped {
			break
		}
		switch {
		case len(escape) >= 2 && isWord(escape[:2], "2C"):
			decoded = append(decoded, ',')
		case len(escape) >= 2 && isWord(escape[:2], "3D"):
			decoded = append(decoded, '=')
		default:
			return nil, false
		}
		name = escape[2:]
	}
	return decoded, true
}

// hasStrayControl tells whether a message holds control octets besides its field
// ends. RFC 7628 would allow CR, LF and tab in a value; no token needs them, and
// whoever logs or forwards one would stumble.
func hasStrayControl(message []byte) bool {
	for _, c := range message {
		if c != fieldEnd && (c < ' ' || c == 0x7f) {
			return true
		}
	}
	return false
}
