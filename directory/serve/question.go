package serve

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
)

// question is what nginx asks.
type question struct {
	protocol string // imap, pop3 or smtp
	user     string
	attempt  int
}

var (
	errProtocol = errors.New("Auth-Protocol: want imap, pop3 or smtp")
	errEscape   = errors.New("Auth-User: not escaped as nginx does")
)

// maxAttempts is when a session ends: nginx keeps some memory for each attempt as long as it
// lasts, and its documentation asks for an end after 10 to 20.
const maxAttempts = 10

func readQuestion(h http.Header) (question, error) {
	q := question{protocol: h.Get("Auth-Protocol")}
	if _, known := words[q.protocol]; !known {
		return q, errProtocol
	}
	user, ok := unescape(h.Get("Auth-User"))
	if !ok {
		return q, errEscape
	}
	q.user = user
	q.attempt, _ = strconv.Atoi(h.Get("Auth-Login-Attempt")) // 0 where there is none: not the last
	return q, nil
}

// unescape undoes nginx's NGX_ESCAPE_MAIL_AUTH. Every percent sign of a name comes escaped.
func unescape(text string) (string, bool) {
	if !strings.Contains(text, "%") {
		return text, true
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return "", false
			}
			code, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			c, i = byte(code), i+2
		}
		plain = append(plain, c)
	}
	return string(plain), true
}

// wording is how a protocol's client is told of a refusal. The codes are RFC 3206's for POP3, RFC
// 5530's for IMAP, RFC 3463's for SMTP, where nginx puts Auth-Error-Code before the text.
type wording struct {
	unknown, unknownCode string
	temp, tempCode       string
}

var words = map[string]wording{
	"pop3": {unknown: "[AUTH] Invalid login or password", temp: "[SYS/TEMP] Try again later"},
	"imap": {unknown: "[AUTHENTICATIONFAILED] Invalid login or password", temp: "[UNAVAILABLE] Try again later"},
	"smtp": {
		unknown: "Invalid login or password", unknownCode: "535 5.7.8",
		temp: "Try again later", tempCode: "451 4.3.0",
	},
}

// answer returns the answer's headers. A session that may not be opened ends in a refusal:
//
//   - An unknown mailbox is one like a wrong password. So is a suspended one, since to tell more the
//     password would have to be known right, and only the backend can say that.
//   - A moving mailbox, and whatever keeps the directory from an answer, is temporary.
func (a *AuthHTTP) answer(ctx context.Context, q question) map[string]string {
	w := words[q.protocol]
	route, err := a.options.Locate(ctx, query(q.user))
	switch {
	case errors.Is(err, directory.ErrUnknown), err == nil && route.State == directory.Suspended:
		return refusal(w.unknown, w.unknownCode, a.wait(q))
	case err != nil:
		a.log.Debug("auth_http: no answer", "error", err)
		return refusal(w.temp, w.tempCode, "")
	case route.State == directory.Moving:
		return refusal(w.temp, w.tempCode, "")
	}
	at, err := a.place(ctx, route.Backend, q.protocol)
	if err == nil && !canTravel(route.Login) {
		err = errors.New("a login that no header can hold")
	}
	if err != nil {
		a.log.Warn("auth_http: no way to the backend", "backend", route.Backend.Name, "protocol", q.protocol, "error", err)
		return refusal(w.temp, w.tempCode, "")
	}
	return map[string]string{
		"Auth-Status": "OK",
		"Auth-Server": at.Addr().String(),
		"Auth-Port":   strconv.Itoa(int(at.Port())),
		"Auth-User":   route.Login, // as it is: nginx doesn't unescape it
	}
}

// refusal without a wait ends the session.
func refusal(status, code, wait string) map[string]string {
	h := map[string]string{"Auth-Status": status}
	if code != "" {
		h["Auth-Error-Code"] = code
	}
	if wait != "" {
		h["Auth-Wait"] = wait
	}
	return h
}

func (a *AuthHTTP) wait(q question) string {
	if q.attempt >= maxAttempts {
		return ""
	}
	return strconv.Itoa(max(1, int(a.options.Wait.Seconds())))
}

// place is where nginx connects to.
func (a *AuthHTTP) place(ctx context.Context, t *backend.Target, protocol string) (netip.AddrPort, error) {
	host, port, err := a.options.Ports.place(t, protocol)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		addr, err = a.options.Resolve(ctx, host)
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), port), err
}

// canTravel: a header's value has no control octets, and loses spaces at its ends.
func canTravel(login string) bool {
	return login != "" && !pop3.HasControl([]byte(login)) && strings.Trim(login, " ") == login
}
