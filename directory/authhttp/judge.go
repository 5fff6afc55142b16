package authhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"postern/directory"
	"postern/pop3"
)

// defaultTimeout is for a question, from the first connect to the answer.
const defaultTimeout = 5 * time.Second

// Options say whom to ask.
type Options struct {
	URLs    []string      // http or https; the first that works is asked
	Timeout time.Duration // for one login's question, all servers together; 0: 5 s
	TLS     TLS
	Headers []Header // sent with each request, as nginx's auth_http_header does
}

// Header is a line of each request. The value may be a shared key.
type Header struct {
	Name  string
	Value pop3.Secret
}

// Judge asks the service.
type Judge struct {
	timeout time.Duration
	headers []Header
	servers []*server
}

var _ directory.Judge = (*Judge)(nil)

// New checks the options and reads the files that they name. It connects to nothing yet.
func New(o Options) (*Judge, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	// A server that swallows packets leaves time for those behind it.
	connect := o.Timeout / time.Duration(1+len(o.URLs))
	return newJudge(o, connect, new(net.Dialer).DialContext)
}

func newJudge(o Options, connect time.Duration, dial dialFunc) (*Judge, error) {
	config, err := o.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("auth_http: %w", err)
	}
	if err := checkHeaders(o.Headers); err != nil {
		return nil, fmt.Errorf("auth_http: %w", err)
	}
	if len(o.URLs) == 0 {
		return nil, errors.New("auth_http: no url")
	}
	j := &Judge{timeout: o.Timeout, headers: o.Headers}
	for i, text := range o.URLs {
		u, err := parseURL(text)
		if err != nil {
			return nil, fmt.Errorf("auth_http: url %d of %d: %w", i+1, len(o.URLs), err)
		}
		j.servers = append(j.servers, newServer(u, config, connect, dial))
	}
	return j, nil
}

// parseURL shows nothing of what it refuses: a password may be in it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("want http or https")
	case u.User != nil:
		return nil, errors.New("want neither user nor password in it; a header can hold a shared key")
	case u.Hostname() == "":
		return nil, errors.New("it names no host")
	case u.Fragment != "":
		return nil, errors.New("want no fragment")
	}
	return u, nil
}

// Judge asks about one login, once.
//
// The next server is tried only as long as no octet of the question was written, or tried to be. Then it goes
// to nobody else, nor to the same server again, whatever happens: the service may have counted a
// failed login, and two are more than the user made.
func (j *Judge) Judge(ctx context.Context, _ directory.Mailbox, l directory.Login) (directory.Verdict, error) {
	fields, err := requestFields(l, j.headers)
	if err != nil {
		return directory.Verdict{}, fmt.Errorf("auth_http: %w", err)
	}
	defer clear(fields)
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	var failures []error
	for _, s := range inOrder(j.servers, time.Now()) {
		a, asked, err := s.ask(ctx, fields)
		if err == nil {
			var v directory.Verdict
			if v, err = a.verdict(); err == nil || isRefusal(err) {
				return v, err
			}
		}
		failures = append(failures, fmt.Errorf("auth_http %s: %w", s.host, err))
		if asked || ctx.Err() != nil {
			break
		}
	}
	return directory.Verdict{}, errors.Join(failures...)
}

func isRefusal(err error) bool {
	_, is := errors.AsType[*directory.RefusalError](err)
	return is
}

// Close ends the connections that are kept. Those in use end with their question.
func (j *Judge) Close() error {
	for _, s := range j.servers {
		s.close()
	}
	return nil
}
