package backend

import (
	"errors"
	"fmt"
)

// This file is what a login says before it names the user: TLS by STLS, and who
// the client is by XCLIENT. Neither is trusted to have worked without its +OK: a
// login that is to be encrypted is never made in plain text.

const sendStls = "STLS\r\n"

var errInjected = errors.New("octets behind the answer to STLS")

// early is what is wrong with octets that come in our turn.
func early(at Step) error {
	if at == Secure {
		return errInjected
	}
	return errOutOfTurn
}

// refuseLoop ends the login of a session that has come through too many proxies
// before it begins: the next would send it back to one of them.
func (l *Login) refuseLoop() {
	if !l.done && l.xclient && l.origin.ttl() == 0 {
		l.step = Xclient
		l.fail(Error{Kind: Loop})
	}
}

// needTLS asks the driver for the handshake. What came behind STLS's +OK was said in
// plain text, by whom nobody knows, and would count as said by the backend
// (CVE-2011-0411 and its relatives).
func (l *Login) needTLS() {
	l.step, l.needs = Secure, true
	if l.lines.Buffered() > 0 {
		l.fail(Error{Kind: Protocol, Err: errInjected})
	}
}

// NeedsTLS tells whether the backend waits for the TLS handshake. The driver makes
// it, see [Handshake], and calls Secured; Input comes from the encrypted connection then.
func (l *Login) NeedsTLS() bool { return l.needs }

// Secured tells how the handshake went: nil, or its error, which ends the login.
func (l *Login) Secured(err error) {
	if !l.needs {
		return
	}
	l.needs = false
	if err != nil {
		l.fail(unsecured(err))
		return
	}
	l.proceed()
}

// unsecured is the verdict on a failed handshake.
func unsecured(err error) Error {
	if fault, ok := errors.AsType[*Error](err); ok {
		return *fault
	}
	return Error{Kind: Unsecured, Err: fmt.Errorf("tls handshake: %w", err)}
}
