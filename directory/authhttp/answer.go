package authhttp

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"postern/directory"
	"postern/pop3"
)

// maxWait bounds Auth-Wait: whoever answers may not keep a session for hours.
const maxWait = 60 * time.Second

// What is wrong with an answer. None of these shows what was answered: a service that is
// something else may send back what it got, the password included.
var (
	errStatus   = errors.New("the answer's status is not 200")
	errTwice    = errors.New("a header of the answer is there twice")
	errSilent   = errors.New("the answer has no Auth-Status")
	errServer   = errors.New("the answer's Auth-Server is neither an address nor a name")
	errPort     = errors.New("the answer's Auth-Port is none")
	errUser     = errors.New("the answer's Auth-User can't be a backend's user name")
	errBraces   = errors.New("the answer's Auth-User holds a brace, which a login can't")
	errPassword = errors.New("the answer's Auth-Pass holds control octets")
)

// answer is what is used of a response.
type answer struct {
	status int
	header http.Header
}

// get returns the one value of a header.
func (a *answer) get(name string) string { return a.header.Get(name) }

// fields are the headers of the protocol.
var fields = [...]string{
	"Auth-Status", "Auth-Server", "Auth-Port", "Auth-User", "Auth-Pass", "Auth-Wait", "Auth-Error-Code",
}

// verdict returns the service's yes, its no as *directory.RefusalError, or what is wrong.
func (a *answer) verdict() (directory.Verdict, error) {
	if a.status/100 != 2 { // redirections are not followed: they name somebody else
		return directory.Verdict{}, errStatus
	}
	for _, field := range fields {
		if len(a.header.Values(field)) > 1 { // which one counts, two readers may see differently
			return directory.Verdict{}, errTwice
		}
	}
	switch status := a.get("Auth-Status"); status {
	case "":
		return directory.Verdict{}, errSilent
	case "OK":
		return a.route()
	case "WAIT":
		return directory.Verdict{}, &directory.RefusalError{Code: pop3.SysTemp, Wait: a.wait()}
	default:
		return directory.Verdict{}, &directory.RefusalError{Code: a.code(status), Wait: a.wait()}
	}
}

func (a *answer) route() (v directory.Verdict, err error) {
	if v.Backend, err = a.backend(); err != nil {
		return directory.Verdict{}, err
	}
	if v.Login, err = a.login(); err != nil {
		return directory.Verdict{}, err
	}
	if password := a.get("Auth-Pass"); password != "" {
		if pop3.HasControl([]byte(password)) {
			return directory.Verdict{}, errPassword
		}
		v.Password = pop3.NewSecret([]byte(password))
	}
	return v, nil
}

func (a *answer) backend() (string, error) {
	host := a.get("Auth-Server")
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		host = addr.Unmap().String()
	} else if !isHost(host) {
		return "", errServer
	}
	port, err := strconv.ParseUint(a.get("Auth-Port"), 10, 16)
	if err != nil || port == 0 {
		return "", errPort
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

// login returns the user name for the backend as it stands there: nginx doesn't unescape it.
//
// A directory's login is a template, in which {local} and {address} are filled in, and no way
// leads to a brace that is meant. Such a name is refused rather than changed.
func (a *answer) login() (string, error) {
	login := a.get("Auth-User")
	if strings.Contains(login, "{") {
		return "", errBraces
	}
	if directory.CheckLogin(login) != nil {
		return "", errUser
	}
	return login, nil
}

// code tells what kind of no it is. Without a word on that it is the password's.
func (a *answer) code(status string) pop3.Code {
	reply, err := pop3.ParseReply([]byte("-ERR " + status))
	switch {
	case err == nil && reply.Code != pop3.NoCode:
		return reply.Code
	case strings.HasPrefix(a.get("Auth-Error-Code"), "4"):
		return pop3.SysTemp
	}
	return pop3.Auth
}

// wait is 0 for what isn't a number, as nginx has it.
func (a *answer) wait() time.Duration {
	text := a.get("Auth-Wait")
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return min(time.Duration(min(seconds, 1<<20))*time.Second, maxWait)
}

// isHost knows a host's name by its octets; the directory knows it by heart.
func isHost(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 253
}
