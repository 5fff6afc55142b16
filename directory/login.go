package directory

import (
	"bytes"
	"fmt"
	"strings"

	"postern/backend"
	"postern/pop3"
)

// maxLogin is what a USER line has room for.
const maxLogin = pop3.MaxCommandLine - len("USER \r\n")

// The places in an entry's login that are filled in.
const (
	placeLocal   = "{local}"
	placeAddress = "{address}"
)

// CheckLogin refuses an entry's login that could never be sent, when the entry is loaded
// and an operator is looking. An empty one is none: the backend's form decides.
func CheckLogin(login string) error {
	if len(login) > maxLogin {
		return fmt.Errorf("login is longer than %d octets", maxLogin)
	}
	if login != "" && pop3.HasControl([]byte(login)) {
		return fmt.Errorf("login %.40q holds control octets", login)
	}
	for rest := login; ; {
		_, after, open := strings.Cut(rest, "{")
		if !open {
			return nil
		}
		place, behind, closed := strings.Cut(after, "}")
		if place = "{" + place + "}"; !closed || place != placeLocal && place != placeAddress {
			return fmt.Errorf("login %.40q: only %s and %s are filled in", login, placeLocal, placeAddress)
		}
		rest = behind
	}
}

// loginName makes what the backend gets as user name: the entry's login where
// there is one, else the form that the backend wants.
func loginName(login []byte, form backend.LoginForm, mailbox, typed string) (string, error) {
	name := mailbox
	switch {
	case len(login) > 0:
		var space [2 * maxLogin]byte
		name = string(appendLogin(space[:0], login, mailbox))
	case form == backend.LoginLocal:
		name = local(mailbox)
	case form == backend.LoginTyped:
		name = typed
	}
	if name == "" || len(name) > maxLogin {
		return "", fmt.Errorf("mailbox %s: a login of %d octets: %w", mailbox, len(name), ErrLogin)
	}
	return name, nil
}

func appendLogin(dst, login []byte, mailbox string) []byte {
	for {
		open := bytes.IndexByte(login, '{')
		if open < 0 {
			return append(dst, login...)
		}
		dst = append(dst, login[:open]...)
		if login = login[open:]; bytes.HasPrefix(login, []byte(placeLocal)) {
			dst, login = append(dst, local(mailbox)...), login[len(placeLocal):]
		} else {
			dst, login = append(dst, mailbox...), login[len(placeAddress):]
		}
	}
}

// local returns what stands before a canonical name's last @; all of a bare name.
func local(mailbox string) string {
	if at := strings.LastIndexByte(mailbox, '@'); at >= 0 {
		return mailbox[:at]
	}
	return mailbox
}
