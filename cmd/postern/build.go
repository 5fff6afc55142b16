package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"postern/backend"
	"postern/configs"
	"postern/directory"
	"postern/pop3"
	"postern/proxy"
	"postern/proxy/limits"
	posterntls "postern/proxy/tls"
)

// This file turns configuration into the options of the packages that don't know
// of it. It is the only one that sees them all.

// buildDirectory makes the directory of a configuration, with its backends, which keeps its
// state in a folder. It knows no mailbox yet; where only some are wanted, it will know no other.
func buildDirectory(config *configs.Config, made *backends, state string, log *slog.Logger, only ...string) (*directory.Directory, []directory.NamedSource, error) {
	section := config.Directory
	options := directory.Options{
		DefaultDomain: string(section.DefaultDomain),
		ShrinkGuard:   shrinkGuard(config),
		Logger:        log,
		State:         state,
	}
	names, shadowNames := nameSources(section)
	var err error
	if options.Unknown, err = directory.ParseUnknown(string(section.Unknown)); err != nil {
		return nil, nil, err
	}
	if options.Sources, err = buildSources(section.Sources, names, options.DefaultDomain, only...); err != nil {
		return nil, nil, err
	}
	if options.Shadow, err = buildSources(section.Shadow, shadowNames, options.DefaultDomain, only...); err != nil {
		closeSources(options.Sources)
		return nil, nil, err
	}
	named := slices.Concat(options.Sources, options.Shadow)
	dir, err := directory.New(options)
	if err != nil {
		err = fmt.Errorf("making the directory: %w", err)
	} else {
		err = made.giveTo(dir)
	}
	if err != nil {
		closeSources(named) // they are the directory's only when it runs
		return nil, nil, err
	}
	return dir, named, nil
}

func shrinkGuard(config *configs.Config) directory.ShrinkGuard {
	section := config.Directory.ShrinkGuard
	return directory.ShrinkGuard{Ratio: section.Ratio, Rows: section.Rows}
}

func texts[S ~string](list []S) []string {
	var all []string
	for _, s := range list {
		all = append(all, string(s))
	}
	return all
}

var plaintexts = map[configs.Plaintext]proxy.Plaintext{
	configs.PlaintextNever:    proxy.PlaintextNever,
	configs.PlaintextLoopback: proxy.PlaintextLoopback,
	configs.PlaintextAlways:   proxy.PlaintextAlways,
}

var unknownUsers = map[configs.UnknownUsers]proxy.UnknownUsers{
	configs.UnknownUsersHash:  proxy.HashUnknown,
	configs.UnknownUsersOmit:  proxy.OmitUnknown,
	configs.UnknownUsersPlain: proxy.PlainUnknown,
}

var clientStyles = map[configs.ClientDetail]proxy.ClientStyle{
	configs.ClientFull:   proxy.FullClient,
	configs.ClientPrefix: proxy.PrefixClient,
}

// buildSettings makes what sessions live by. The number of sessions is lowered to what the
// descriptors allow.
func buildSettings(config *configs.Config, learner *backend.Learner, log *slog.Logger) (*proxy.Settings, error) {
	refusals, err := buildRefusals(config.Backends)
	if err != nil {
		return nil, err
	}
	return &proxy.Settings{
		Plaintext:            plaintexts[config.Auth.Plaintext],
		FailureDelay:         config.Auth.FailureDelay,
		MaxFailures:          config.Auth.MaxFailures,
		Login:                config.Timeouts.Login,
		Backend:              config.Timeouts.Backend,
		BackendLogin:         config.Timeouts.BackendLogin,
		Idle:                 config.Timeouts.Idle,
		Linger:               config.Timeouts.Linger,
		Mechanisms:           mechanisms(config.Auth.Mechanisms),
		Handshake:            config.Timeouts.Handshake,
		Limits:               sessionRules(config.Limits, log),
		LoginMemory:          int64(config.Limits.LoginMemory),
		LoginInterval:        config.Limits.LoginInterval,
		ConnectionsPerMinute: config.Limits.ConnectionsPerMinute,
		Refusals:             refusals,
		Common:               learner.Common,
		Offer: func(name string) pop3.Capabilities {
			offer, _ := learner.Of(name)
			return offer
		},
		Suspect:      learner.Suspect,
		ReplaceStale: time.Duration(config.Backends.ReplaceStale),
		EagerConnect: config.Backends.EagerConnect,
		Records: proxy.RecordStyle{
			UnknownUsers: unknownUsers[config.Log.UnknownUsers],
			Client:       clientStyles[config.Log.Client],
		},
	}, nil
}

func sessionRules(section configs.Limits, log *slog.Logger) limits.Rules {
	r := limits.Rules{
		Sessions: affordable(section.Sessions, log), PerAddress: section.SessionsPerAddress,
		PerMailbox: section.SessionsPerMailbox, Exempt: section.Exempt,
	}
	for _, n := range section.PerNetwork {
		r.PerNetwork = append(r.PerNetwork, limits.Network{Networks: n.Networks, Sessions: n.Sessions})
	}
	return r
}

func mechanisms(list []configs.Mechanism) []pop3.Mechanism {
	var all []pop3.Mechanism
	for _, m := range list {
		all = append(all, pop3.Mechanism(m))
	}
	return all
}

// buildFront makes the TLS side of the listeners; nil without one that has any. What the
// previous one sealed can be resumed.
func buildFront(config *configs.Config, previous *posterntls.Front, log *slog.Logger) (*posterntls.Front, error) {
	o := posterntls.Options{
		Certificates: certificates(config.TLS.Certificates), MinVersion: string(config.TLS.MinVersion),
		Curves: texts(config.TLS.Curves), TicketKeys: string(config.TLS.TicketKeys),
		Logger: log, Previous: previous,
	}
	for _, l := range config.Listeners {
		if len(config.CertificatesFor(l)) > 0 {
			o.Listeners = append(o.Listeners, posterntls.ListenerOptions{
				Name: string(l.Name), Certificates: certificates(l.Certificates), MinVersion: string(l.MinVersion),
				ClientCA: string(l.ClientCA), ClientRequired: l.ClientAuth == configs.ClientAuthRequire,
			})
		}
	}
	if len(o.Listeners) == 0 {
		return nil, nil
	}
	front, err := posterntls.New(o)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return front, nil
}

func certificates(list []configs.Certificate) []posterntls.Source {
	var all []posterntls.Source
	for _, c := range list {
		all = append(all, posterntls.Source{Cert: string(c.Cert), Key: string(c.Key), Dir: string(c.Dir)})
	}
	return all
}

// buildAccesses makes the listeners' rules, in the order of the configuration.
func buildAccesses(config *configs.Config, front *posterntls.Front) ([]*proxy.Access, error) {
	var all []*proxy.Access
	for _, l := range config.Listeners {
		access, err := buildAccess(l, cmp.Or(l.DefaultDomain, config.Directory.DefaultDomain))
		if err != nil {
			return nil, err
		}
		if front != nil {
			access.TLS = front.Config(string(l.Name))
		}
		all = append(all, access)
	}
	return all, nil
}

func buildAccess(l configs.Listener, defaultDomain configs.Domain) (*proxy.Access, error) {
	access := &proxy.Access{
		Allow: l.Allow, Deny: l.Deny, Proxies: l.ProxyProtocol, XCLIENT: l.XCLIENT,
		Implicit: l.TLS == configs.ListenerImplicit,
	}
	if defaultDomain == "" {
		return access, nil
	}
	domain, err := directory.Domain(string(defaultDomain))
	if err != nil {
		return nil, fmt.Errorf("listener %s: default domain %q: %w", l.Name, defaultDomain, err)
	}
	access.DefaultDomain = domain
	return access, nil
}
