package main

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"postern/backend"
	"postern/configs"
	"postern/directory"
	"postern/pop3"
)

// backends are the servers that a configuration names, ready to be connected to. They are made
// once for each configuration: each keeps the TLS sessions that the next connection resumes.
type backends struct {
	targets  []backend.Target
	fallback directory.Fallback
}

func buildBackends(config *configs.Config) (*backends, error) {
	section := config.Backends
	made := &backends{}
	defaults, fault := buildTarget(section.Defaults, backend.Target{})
	faults := []error{placeBackend(config, "backends.defaults", fault)}
	for i, b := range section.Static {
		target, err := buildTarget(b.BackendSettings, backend.Target{
			Name: string(b.Name), Addresses: texts(b.Address), Aliases: texts(b.Aliases), Declared: true,
		})
		if fault == nil || b.CA != section.Defaults.CA { // else it is told, and once is enough
			faults = append(faults, placeBackend(config, fmt.Sprintf("backends.static[%d]", i), err))
		}
		made.targets = append(made.targets, target)
	}
	made.fallback = directory.Fallback{Networks: section.AllowedNetworks, Login: defaults.Login, Make: func(t backend.Target) backend.Target {
		t, _ = buildTarget(section.Defaults, t) // it could be made a moment ago
		return t
	}}
	return made, errors.Join(faults...)
}

// placeBackend finds the line of what the configuration's own checks could not see: that a file of authorities is
// not there, or none.
func placeBackend(config *configs.Config, path string, err error) error {
	if err == nil {
		return nil
	}
	at, _ := config.Position(path + ".ca")
	at.Message = err.Error()
	return at
}

// giveTo has a directory resolve its entries by these backends.
func (b *backends) giveTo(dir *directory.Directory) error {
	if err := dir.SetBackends(b.targets, b.fallback); err != nil {
		return fmt.Errorf("setting the backends: %w", err)
	}
	return nil
}

// buildTarget completes a backend that has a name and addresses.
func buildTarget(s configs.BackendSettings, t backend.Target) (backend.Target, error) {
	var err [4]error
	t.Login, err[0] = backend.ParseLoginForm(string(s.Login))
	t.ProxyProtocol, err[1] = backend.ParseProxyProtocol(string(s.ProxyProtocol))
	if s.SourceAddress != "" {
		t.Source, err[2] = netip.ParseAddr(string(s.SourceAddress))
	}
	t.TLS, err[3] = buildBackendTLS(s, t.Addresses)
	t.Capabilities, t.XCLIENT = capabilities(s.Capabilities), s.XCLIENT
	t.Weight, t.MaxSessions, t.MaxLogins = s.Weight, s.MaxSessions, s.MaxLogins
	t.Ports = map[string]uint16{"imap": uint16(s.Ports.IMAP), "smtp": uint16(s.Ports.SMTP), "lmtp": uint16(s.Ports.LMTP)}
	return t, errors.Join(err[:]...)
}

// buildBackendTLS is nil for a backend without.
func buildBackendTLS(s configs.BackendSettings, addresses []string) (*backend.TLS, error) {
	o, err := backendTLS(s)
	if err != nil || o.Mode == backend.TLSNone {
		return nil, err
	}
	return backend.NewTLS(o, addresses), nil
}

func backendTLS(s configs.BackendSettings) (o backend.TLSOptions, err error) {
	if o.Mode, err = backend.ParseTLSMode(string(s.TLS)); err != nil {
		return o, err
	}
	o.ServerName, o.InsecureSkipVerify = string(s.ServerName), s.InsecureSkipVerify
	if s.CA != "" {
		if o.Roots, err = authorities(string(s.CA)); err != nil {
			return o, fmt.Errorf("ca: %w", err)
		}
	}
	for _, p := range s.Pins {
		var pin backend.Pin
		if _, err := hex.Decode(pin[:], []byte(p)); err != nil {
			return o, fmt.Errorf("pins: %w", err)
		}
		o.Pins = append(o.Pins, pin)
	}
	return o, nil
}

func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

// capabilities are what an operator says that a backend offers; nil: it is asked.
func capabilities(list []configs.Capability) *pop3.Capabilities {
	if len(list) == 0 {
		return nil
	}
	var reader pop3.CapabilityReader
	for _, tag := range list {
		_, _ = reader.Take([]byte(tag)) // as many as there are tags, which is few
	}
	c := reader.Capabilities()
	return &c
}

func buildRefusals(section configs.Backends) (*backend.Refusals, error) {
	var rules []backend.Rule
	for _, r := range section.Refusals {
		rules = append(rules, backend.Rule{Match: string(r.Match), Code: pop3.Code(r.Code)})
	}
	refusals, err := backend.CompileRefusals(rules)
	if err != nil {
		return nil, fmt.Errorf("backends.refusals: %w", err)
	}
	return refusals, nil
}

// poolSettings are what backends are judged by.
func poolSettings(section configs.Backends) backend.Settings {
	h := section.Health
	return backend.Settings{
		Interval: h.Interval, DownInterval: h.DownInterval, Timeout: h.Timeout, Fall: h.Fall, Rise: h.Rise,
		QueueTimeout: section.QueueTimeout,
	}
}

// buildChecker makes the checks of backends, as the configuration in force has them.
func buildChecker(section configs.Backends, dialer backend.Dialer, refusals *backend.Refusals) backend.Checker {
	users, named := make(map[string]backend.ProbeMailbox), make(map[string]bool)
	for _, b := range section.Static {
		if b.ProbeUser != "" {
			users[string(b.Name)] = backend.ProbeMailbox{User: string(b.ProbeUser), Password: secret(b.ProbePassword)}
		}
		named[string(b.Name)] = true
	}
	usual := backend.ProbeMailbox{User: string(section.Defaults.ProbeUser), Password: secret(section.Defaults.ProbePassword)}
	return backend.Checker{
		Connector: dialer, Refusals: refusals, Capa: section.Health.CAPA,
		Mailbox: func(name string) (backend.ProbeMailbox, bool) {
			if m, ok := users[name]; ok || named[name] {
				return m, ok
			}
			return usual, usual.User != "" // of a catalogue, or of an address that a directory names
		},
	}
}
