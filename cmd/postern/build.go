package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"postern/backend"
	"postern/configs"
	"postern/directory"
	"postern/directory/file"
	"postern/pop3"
	"postern/proxy"
)

// This file turns configuration into the options of the packages that don't know
// of it. It is the only one that sees them all.

// buildDirectory makes the directory of a configuration, with its backends. It
// knows no mailbox yet.
func buildDirectory(config *configs.Config, log *slog.Logger) (*directory.Directory, error) {
	section := config.Directory
	options := directory.Options{
		DefaultDomain: string(section.DefaultDomain),
		ShrinkGuard:   shrinkGuard(config),
		Logger:        log,
	}
	for i, source := range section.Sources {
		followed, err := file.New(file.Options{Path: string(source.Path), DefaultDomain: options.DefaultDomain})
		if err != nil {
			return nil, err
		}
		options.Sources = append(options.Sources, directory.NamedSource{Name: sourceName(section.Sources, i), Source: followed})
	}
	dir, err := directory.New(options)
	if err != nil {
		return nil, fmt.Errorf("making the directory: %w", err)
	}
	return dir, setBackends(dir, config)
}

func shrinkGuard(config *configs.Config) directory.ShrinkGuard {
	section := config.Directory.ShrinkGuard
	return directory.ShrinkGuard{Ratio: section.Ratio, Rows: section.Rows}
}

// sourceName is how records, routes and the operator call a source: by its file's
// name, or its whole path where another's has the same name.
func sourceName(sources []configs.Source, i int) string {
	s := sources[i]
	name := filepath.Base(string(s.Path))
	for j, other := range sources {
		if j != i && filepath.Base(string(other.Path)) == name {
			name = string(s.Path)
		}
	}
	return string(s.Type) + ":" + name
}

func setBackends(dir *directory.Directory, config *configs.Config) error {
	targets, fallback, err := targets(config.Backends)
	if err != nil {
		return err
	}
	if err := dir.SetBackends(targets, fallback); err != nil {
		return fmt.Errorf("setting the backends: %w", err)
	}
	return nil
}

func targets(section configs.Backends) ([]backend.Target, directory.Fallback, error) {
	form, err := backend.ParseLoginForm(string(section.Defaults.Login))
	if err != nil {
		return nil, directory.Fallback{}, err
	}
	fallback := directory.Fallback{Networks: section.AllowedNetworks, Login: form}
	var all []backend.Target
	for _, b := range section.Static {
		form, err := backend.ParseLoginForm(string(b.Login))
		if err != nil {
			return nil, directory.Fallback{}, err
		}
		all = append(all, backend.Target{
			Name: string(b.Name), Addresses: texts(b.Address), Aliases: texts(b.Aliases), Login: form,
		})
	}
	return all, fallback, nil
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
func buildSettings(config *configs.Config, log *slog.Logger) (*proxy.Settings, error) {
	var rules []backend.Rule
	for _, r := range config.Backends.Refusals {
		rules = append(rules, backend.Rule{Match: string(r.Match), Code: pop3.Code(r.Code)})
	}
	refusals, err := backend.CompileRefusals(rules)
	if err != nil {
		return nil, fmt.Errorf("backends.refusals: %w", err)
	}
	return &proxy.Settings{
		Plaintext:          plaintexts[config.Auth.Plaintext],
		FailureDelay:       config.Auth.FailureDelay,
		MaxFailures:        config.Auth.MaxFailures,
		Login:              config.Timeouts.Login,
		Backend:            config.Timeouts.Backend,
		BackendLogin:       config.Timeouts.BackendLogin,
		Idle:               config.Timeouts.Idle,
		Linger:             config.Timeouts.Linger,
		Sessions:           affordable(config.Limits.Sessions, log),
		SessionsPerAddress: config.Limits.SessionsPerAddress,
		Exempt:             config.Limits.Exempt,
		Refusals:           refusals,
		Records: proxy.RecordStyle{
			UnknownUsers: unknownUsers[config.Log.UnknownUsers],
			Client:       clientStyles[config.Log.Client],
		},
	}, nil
}

func buildAccesses(config *configs.Config) ([]*proxy.Access, error) {
	var all []*proxy.Access
	for _, l := range config.Listeners {
		access, err := buildAccess(l)
		if err != nil {
			return nil, err
		}
		all = append(all, access)
	}
	return all, nil
}

func buildAccess(l configs.Listener) (*proxy.Access, error) {
	access := &proxy.Access{Allow: l.Allow, Deny: l.Deny}
	if l.DefaultDomain == "" {
		return access, nil
	}
	domain, err := directory.Domain(string(l.DefaultDomain))
	if err != nil {
		return nil, fmt.Errorf("listener %s: default domain %q: %w", l.Name, l.DefaultDomain, err)
	}
	access.DefaultDomain = domain
	return access, nil
}
