package pop3

import "bytes"

// LOGIN's two questions, in base64. Clients compare them, so they are these and
// no others.
const (
	askUser     = "VXNlcm5hbWU6" // Username:
	askPassword = "UGFzc3dvcmQ6" // Password:
)

// Exchange is the server's side of one SASL exchange (RFC 5034, section 4), from
// what followed the mechanism in the AUTH command to the credentials. It is fed
// lines and owns no connection: whether the credentials are right is not its matter.
//
// Each call comes to one of three: a challenge for the client (done false, err
// nil), credentials (done true), or an error, which ends the exchange as well.
// After an end nothing more is taken.
type Exchange struct {
	mechanism   Mechanism
	user        string // LOGIN's, once it is known
	over        bool
	credentials Credentials
}

// NewExchange begins an exchange of a mechanism that ParseMechanism knows.
func NewExchange(m Mechanism) *Exchange { return &Exchange{mechanism: m} }

// Initial takes the initial response as it stood in the AUTH command, "=" for one
// of no octets. An empty arg is none at all, and the first challenge asks for it.
func (e *Exchange) Initial(arg []byte) (challenge string, done bool, err error) {
	switch {
	case len(arg) == 0 && !e.over:
		return e.challenge(), false, nil
	case string(arg) == "=":
		return e.take(nil)
	}
	return e.take(arg)
}

// Respond takes a client's answer to a challenge, a line without its end; "*"
// cancels.
func (e *Exchange) Respond(line []byte) (challenge string, done bool, err error) {
	if string(line) == "*" {
		e.over = true
		return "", false, ErrCanceled
	}
	return e.take(line)
}

// MaxLine returns how long the next response may be; see the function MaxLine.
func (e *Exchange) MaxLine() int { return MaxLine(e.mechanism) }

// Credentials returns what a done exchange came to, for the caller to wipe.
func (e *Exchange) Credentials() Credentials { return e.credentials }

// AppendChallenge writes a challenge as a line. An empty one keeps its space (RFC
// 5034, section 4).
func AppendChallenge(dst []byte, challenge string) []byte {
	return append(append(append(dst, "+ "...), challenge...), "\r\n"...)
}

// challenge asks for the next message. All but LOGIN's are the client's to begin,
// so that the challenge is empty.
func (e *Exchange) challenge() string {
	switch {
	case e.mechanism != LOGIN:
		return ""
	case e.user == "":
		return askUser
	}
	return askPassword
}

func (e *Exchange) take(response []byte) (challenge string, done bool, err error) {
	if e.over {
		return "", false, ErrMessage
	}
	message, err := decodeBase64(response, MaxLine(e.mechanism))
	if err == nil {
		done, err = e.read(message)
	}
	if done || err != nil {
		e.over = true
		return "", done, err
	}
	return e.challenge(), false, nil
}

// read takes a decoded message. It keeps nothing of it but copies, and wipes it.
func (e *Exchange) read(message []byte) (done bool, err error) {
	defer clear(message)
	var user, secret []byte
	switch e.mechanism {
	case PLAIN:
		user, secret, err = parsePlain(message)
	case LOGIN:
		return e.readLogin(message)
	case XOAUTH2:
		user, err = parseXOAuth2(message)
		secret = message
	case OAUTHBEARER:
		user, err = parseOAuthBearer(message)
		secret = message
	default:
		err = ErrMessage
	}
	if err != nil {
		return false, err
	}
	e.finish(string(user), secret)
	return true, nil
}

// readLogin takes the user, then the password.
func (e *Exchange) readLogin(message []byte) (done bool, err error) {
	if err := checkField(message); err != nil {
		return false, err
	}
	if e.user == "" {
		e.user = string(message)
		return false, nil
	}
	e.finish(e.user, message)
	return true, nil
}

func (e *Exchange) finish(user string, secret []byte) {
	e.credentials = Credentials{Mechanism: e.mechanism, User: user, Secret: NewSecret(secret)}
}

// parsePlain reads [authzid] NUL authcid NUL passwd (RFC 4616, section 2). The
// authorization identity may repeat the user and nothing else: a gateway that
// passed over it would log the client in as somebody it didn't ask for. Valid
// UTF-8 is not demanded, since passwords in Latin-1 exist.
func parsePlain(message []byte) (user, password []byte, err error) {
	authzid, rest, _ := bytes.Cut(message, []byte{0})
	user, password, _ = bytes.Cut(rest, []byte{0})
	switch {
	case bytes.Count(message, []byte{0}) != 2:
		return nil, nil, ErrMessage
	case HasControl(authzid): // before it is compared, so that each is named for what it is
		return nil, nil, ErrControl
	}
	for _, field := range [...][]byte{user, password} {
		if err := checkField(field); err != nil {
			return nil, nil, err
		}
	}
	if len(authzid) > 0 && !bytes.Equal(authzid, user) {
		return nil, nil, ErrAuthzid
	}
	return user, password, nil
}

// checkField tells what keeps a user or password from going on to a backend. CR
// and LF would be further commands there.
func checkField(field []byte) error {
	switch {
	case len(field) == 0:
		return ErrMessage
	case HasControl(field):
		return ErrControl
	case len(field) > maxField:
		return ErrTooLong
	}
	return nil
}
