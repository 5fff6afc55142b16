package tls

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// listener is the TLS side of one listener.
type listener struct {
	name     string
	required bool   // client certificates
	path     string // of their authorities; empty: clients are not asked for a certificate
	tickets  *tickets
	journal  journal

	config  *tls.Config // what its connections are given
	plain   *tls.Config // all of it but client certificates and tickets
	trusted *authority
	current atomic.Pointer[tls.Config] // with authorities: what config refers to
}

func newListener(o ListenerOptions, p policy, certificates *store, f *Front) *listener {
	l := &listener{
		name: o.Name, path: o.ClientCA, required: o.ClientRequired,
		tickets: f.tickets, journal: newJournal(f.log.With("listener", o.Name)),
	}
	l.plain = p.config()
	l.plain.GetCertificate = certificates.certificate
	if l.path == "" {
		l.config = l.with("no client certificates")
		return l
	}
	l.config = l.plain.Clone()
	l.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.current.Load(), nil }
	return l
}

// with is the listener's configuration under a policy for client certificates.
func (l *listener) with(policy string) *tls.Config {
	sealer := &sealer{tickets: l.tickets, policy: fmt.Sprintf("%q, %s", l.plain.NextProtos, policy)}
	config := l.plain.Clone()
	config.WrapSession, config.UnwrapSession = sealer.wrap, sealer.unwrap
	return config
}

// reload reads the authorities again. Those that serve stay if the file is bad.
func (l *listener) reload() Faults {
	if l.path == "" {
		return nil
	}
	starting := l.trusted == nil
	read, err := readAuthority(l.path)
	if err != nil {
		if !starting {
			l.journal.trouble(l.path, "the authorities for client certificates can't be read, the old ones stay", err)
		}
		return Faults{{l.name, "client_ca", err}}
	}
	recovered := l.journal.fine(l.path)
	if !starting && (recovered || read.id != l.trusted.id) {
		l.journal.log.Info("authorities for client certificates loaded", "path", l.path)
	}
	if starting || read.id != l.trusted.id {
		l.trust(read)
	}
	return nil
}

func (l *listener) trust(a *authority) {
	mode, policy := tls.VerifyClientCertIfGiven, "client certificates offered, of "
	if l.required {
		mode, policy = tls.RequireAndVerifyClientCert, "client certificates required, of "
	}
	config := l.with(policy + a.id)
	config.ClientAuth, config.ClientCAs = mode, a.pool
	l.trusted = a
	l.current.Store(config)
}
