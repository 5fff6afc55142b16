package consul

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postern/backend"
	"postern/pop3"
)

// The meta keys that make a backend of instances. The others are settings.
const (
	guestKey = "guest" // its name; instances with the same one are addresses of one backend
	orderKey = "order" // of this address among them, the lowest first; 0 where there is none
)

const (
	maxNumber  = 1_000_000
	maxWeight  = 1000 // as in the configuration
	maxAliases = 32
)

// draft is a backend's target on its way from the defaults.
type draft struct {
	target backend.Target
	tls    backend.TLSOptions
}

// setting is a meta key, which is called as in the configuration and may say the same.
type setting struct {
	key  string
	read func(d *draft, value string) error
}

// settings are all of them. What decides whom to trust is not among them: with
// insecure_skip_verify, ca or pins, whoever may register an instance could have
// passwords sent anywhere.
var settings = [...]setting{
	{"login", readLogin},
	{"tls", readTLS},
	{"server_name", readServerName},
	{"proxy_protocol", readProxyProtocol},
	{"xclient", readXCLIENT},
	{"weight", readWeight},
	{"max_sessions", func(d *draft, value string) error { return readLimit(&d.target.MaxSessions, value) }},
	{"max_logins", func(d *draft, value string) error { return readLimit(&d.target.MaxLogins, value) }},
	{"aliases", readAliases},
}

// metaKeys are the settings' keys.
func metaKeys() []string {
	keys := make([]string, 0, len(settings))
	for _, s := range settings {
		keys = append(keys, s.key)
	}
	return keys
}

// target lays a backend's settings over the defaults. Its TLS is the last thing that is made.
func (d Defaults) target(r record) (draft, error) {
	made := draft{target: d.Target, tls: d.TLS}
	t := &made.target
	t.Name, t.Addresses, t.Aliases, t.TLS, t.Declared = r.Name, r.Addresses, nil, nil, false
	for _, s := range settings {
		value, ok := r.Settings[s.key]
		if !ok {
			continue
		}
		if err := s.read(&made, value); err != nil {
			return draft{}, fmt.Errorf("meta %s: %w", s.key, err)
		}
	}
	return made, nil
}

func readLogin(d *draft, value string) (err error) {
	d.target.Login, err = backend.ParseLoginForm(clean(value))
	return err
}

// readTLS refuses to switch off what the configuration demands: passwords would travel in
// the clear because of a line that anybody with a right to register wrote.
func readTLS(d *draft, value string) error {
	mode, err := backend.ParseTLSMode(clean(value))
	if err != nil {
		return err
	}
	if mode == backend.TLSNone && d.tls.Mode != backend.TLSNone {
		return fmt.Errorf("none, but backends.defaults demands %s", d.tls.Mode)
	}
	d.tls.Mode = mode
	return nil
}

func readServerName(d *draft, value string) error {
	switch {
	case !isName(value):
		return errors.New("want a host's name")
	case d.tls.ServerName != "" && !strings.EqualFold(d.tls.ServerName, value):
		return errors.New("backends.defaults has another one, and that one counts")
	}
	d.tls.ServerName = value
	return nil
}

func readProxyProtocol(d *draft, value string) (err error) {
	d.target.ProxyProtocol, err = backend.ParseProxyProtocol(clean(value))
	return err
}

func readXCLIENT(d *draft, value string) error {
	if value != "true" && value != "false" {
		return errors.New("want true or false")
	}
	d.target.XCLIENT = value == "true"
	return nil
}

func readWeight(d *draft, value string) (err error) {
	d.target.Weight, err = number(value, 1, maxWeight)
	return err
}

func readLimit(limit *int, value string) (err error) {
	*limit, err = number(value, 0, maxNumber)
	return err
}

func readAliases(d *draft, value string) error {
	separates := func(r rune) bool { return r == ',' || r == ' ' }
	for alias := range strings.FieldsFuncSeq(strings.ToLower(value), separates) {
		if !isName(alias) {
			return fmt.Errorf("%q: %w", clean(alias), errName)
		}
		d.target.Aliases = append(d.target.Aliases, alias)
	}
	if len(d.target.Aliases) > maxAliases {
		return fmt.Errorf("more than %d", maxAliases)
	}
	return nil
}

var errName = errors.New("want letters, digits, hyphens, underscores and dots, and no IP address")

func number(value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("want a number from %d to %d", low, high)
	}
	return n, nil
}

// clean makes a stranger's text fit for an error.
func clean(value string) string { return pop3.Printable(value, maxText) }
