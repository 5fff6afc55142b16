package authhttp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"postern/directory"
	"postern/pop3"
)

// requestFields are the header fields in nginx's order. The caller wipes them.
func requestFields(l directory.Login, more []Header) ([]byte, error) {
	method, password, err := method(l)
	if err != nil {
		return nil, err
	}
	if pop3.HasControl([]byte(l.User)) || pop3.HasControl(password) {
		return nil, errors.New("control octets in user or password") // each could make a field of its own
	}
	// Room for all of it, so that no copy of a secret is left behind by growing.
	size := 512 + 3*len(l.User) + 3*len(password)
	for _, m := range more {
		size += len(m.Name) + len(m.Value.Reveal()) + len(": \r\n")
	}
	fields := make([]byte, 0, size)
	fields = fmt.Appendf(fields, "Auth-Method: %s\r\n", method)
	fields = append(appendEscaped(append(fields, "Auth-User: "...), []byte(l.User)), "\r\n"...)
	fields = append(appendEscaped(append(fields, "Auth-Pass: "...), password), "\r\n"...)
	fields = fmt.Appendf(fields, "Auth-Protocol: pop3\r\nAuth-Login-Attempt: %d\r\n", l.Attempt)
	if l.Client.IsValid() {
		fields = fmt.Appendf(fields, "Client-IP: %s\r\n", l.Client.Unmap().WithZone("")) // an interface's name means nothing elsewhere
	}
	if l.TLS {
		fields = append(fields, "Auth-SSL: on\r\n"...)
	}
	for _, m := range more {
		fields = fmt.Appendf(fields, "%s: %s\r\n", m.Name, m.Value.Reveal())
	}
	return fields, nil
}

// method returns nginx's name for the way in which the password came, and the password. For nginx
// PLAIN, LOGIN and USER are all one.
func method(l directory.Login) (name string, password []byte, err error) {
	password = l.Password.Reveal()
	if !l.Mechanism.OAuth() {
		return "plain", password, nil
	}
	token, err := bearer(password)
	return strings.ToLower(string(l.Mechanism)), token, err
}

// bearer finds the token in an OAuth message, whose fields end with an octet 1 (RFC 7628,
// section 3.1; XOAUTH2 is alike).
func bearer(message []byte) ([]byte, error) {
	const field, scheme = "auth=", "Bearer "
	for part := range bytes.SplitSeq(message, []byte{1}) {
		value, found := bytes.CutPrefix(part, []byte(field))
		if found && len(value) > len(scheme) && bytes.EqualFold(value[:len(scheme)], []byte(scheme)) {
			return bytes.TrimLeft(value[len(scheme):], " "), nil
		}
	}
	return nil, errors.New("no token in an OAuth message")
}

// appendEscaped is nginx's NGX_ESCAPE_MAIL_AUTH: space, percent sign and control octets become %XX,
// everything else stays as it is, beyond ASCII too.
func appendEscaped(dst, text []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range text {
		if c <= ' ' || c == '%' {
			dst = append(dst, '%', digits[c>>4], digits[c&0xf])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// checkHeaders refuses what would change the question, or the way in which it is sent.
func checkHeaders(headers []Header) error {
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		switch {
		case !isToken(name):
			return fmt.Errorf("header %.40q: not a header's name", h.Name)
		case name == "client-ip", strings.HasPrefix(name, "auth-"), hopByHop(name):
			return fmt.Errorf("header %s belongs to the protocol", h.Name)
		case pop3.HasControl(h.Value.Reveal()):
			return fmt.Errorf("header %s: control octets in its value", h.Name)
		}
	}
	return nil
}

func hopByHop(name string) bool {
	switch name {
	case "host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect":
		return true
	}
	return false
}

// isToken knows a lower-case header name (RFC 9110, section 5.1).
func isToken(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || 'z' < c) && (c < '0' || '9' < c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return name != ""
}
